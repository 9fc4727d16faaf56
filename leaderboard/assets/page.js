"use strict";
// For every page: local times beside the published ones, and the reader's own pseudonym, kept in this browser only.
// Everything a page says is in its HTML; without this file only these comforts are missing.

const site = (() => {
  const root = document.documentElement.dataset.root;
  const key = `leaderboard ${document.documentElement.dataset.term}`; // pseudonyms are new each term
  const pattern = /^[a-z][0-9]{4,6}$/;

  let current = "";
  try {
    current = localStorage.getItem(key) || "";
  } catch {
    // storage is switched off
  }
  if (!pattern.test(current)) current = "";

  const me = () => current;

  const keep = (user) => {
    current = user;
    try {
      if (user) localStorage.setItem(key, user);
      else localStorage.removeItem(key);
    } catch {
      // storage is switched off: this page works on, the next one has forgotten
    }
    show(user);
  };

  const show = (user) => {
    const link = document.getElementById("mine");
    link.hidden = !user;
    link.textContent = user ? `My page (${user})` : "";
    if (user) link.href = `${root}u/${user}.html`;
    else link.removeAttribute("href");
    const field = document.getElementById("me");
    if (field && user) field.value = user;
    const forget = document.getElementById("forget");
    if (forget) forget.hidden = !user;
    const claim = document.getElementById("claim");
    if (claim) {
      claim.hidden = false;
      claim.textContent = claim.dataset.user === user ? "Forget that this is me" : "This is me";
    }
  };

  const say = (text) => {
    document.getElementById("shown").textContent = text;
  };

  // What is typed, as a pseudonym: people type capitals, spaces, or the number alone.
  const typed = (text) => {
    const word = text.trim().toLowerCase();
    return /^[0-9]{4,6}$/.test(word) ? `u${word}` : word;
  };

  for (const time of document.querySelectorAll("time[data-local]")) {
    const moment = new Date(time.dateTime);
    const form = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const note = document.createElement("span");
    note.className = "local";
    note.textContent = `${form.format(moment)} your time (${zone})`;
    const utc = time.nextElementSibling;
    (utc?.classList.contains("utc") ? utc : time).after(" ", note);
  }

  return { root, me, keep, show, say, typed, pattern };
})();

site.show(site.me());

const claim = document.getElementById("claim");
if (claim) {
  claim.addEventListener("click", () => {
    const mine = claim.dataset.user === site.me();
    site.keep(mine ? "" : claim.dataset.user);
    site.say(mine ? "Forgotten." : "Kept in this browser only.");
  });
}

// On the index there are no rows to look in: ask whether the page of that pseudonym is there.
if (document.getElementById("controls") && !document.getElementById("board")) {
  const field = document.getElementById("me");
  const find = async () => {
    const user = site.typed(field.value);
    const address = `${site.root}u/${user}.html`;
    let there = site.pattern.test(user);
    if (there && location.protocol !== "file:") there = (await fetch(address, { method: "HEAD" })).ok;
    if (!there) {
      site.say("No such pseudonym here. It is a letter and four digits, such as u1234.");
      return;
    }
    site.keep(user);
    location.assign(address);
  };
  document.getElementById("controls").hidden = false;
  document.getElementById("find").addEventListener("click", find);
  field.addEventListener("keydown", (event) => event.key === "Enter" && find());
  document.getElementById("forget").addEventListener("click", () => {
    site.keep("");
    field.value = "";
    site.say("Forgotten.");
  });
}
