"use strict";
// A board: sort, search, filter, find me. The rows are those of the HTML; on a board of several pages the other pages are
// fetched when somebody first asks for something that needs them. The address keeps sort, search and filter.

(() => {
  const table = document.getElementById("board");
  if (!table) return;
  const count = Number(table.dataset.pages);
  const size = Number(table.dataset.size);
  const heads = [...table.tHead.rows[0].cells];
  const original = [...table.tBodies];
  const groups = original.map((one) => [one, [...one.rows]]); // for the way back to the order of the HTML
  const controls = { q: "", passed: false, sort: 0, down: false };
  const field = Object.fromEntries(["q", "passed", "me", "find", "forget", "more"].map((id) => [id, document.getElementById(id)]));
  let rows = null; // every row of the board in rank order, baselines among them
  let limit = size;

  const number = (cell) => {
    // the first piece only: a rank is followed by its band
    const text = (cell.firstChild?.textContent ?? "").replace(/,/g, "").replace("\u2212", "-");
    const value = parseFloat(text);
    return Number.isNaN(value) ? -Infinity : value;
  };

  const read = (body) =>
    [...body.rows]
      .filter((tr) => !tr.closest("tbody").classList.contains("mark"))
      .map((tr) => {
        const cells = [...tr.cells];
        const keys = cells.map((cell, at) => {
          if (at === 1) return tr.id || "~";
          return at === 8 ? cell.textContent : number(cell);
        });
        return { tr, keys, user: tr.id, base: tr.classList.contains("base"), passed: cells[4].textContent.startsWith("pass") };
      });

  const page = (n) => `${table.dataset.exercise}${n > 1 ? `-${n}` : ""}.html`;

  // All rows of the board; of the other pages only when they can be had (not from a page opened from disk).
  const load = async () => {
    if (rows) return;
    const here = original.flatMap(read);
    const fetched = await Promise.all(
      Array.from({ length: count }, async (_, at) => {
        if (at + 1 === Number(table.dataset.page)) return here;
        const answer = await fetch(page(at + 1));
        if (!answer.ok) throw new Error(`${answer.status}`);
        const other = new DOMParser().parseFromString(await answer.text(), "text/html");
        return [...other.querySelectorAll("#board > tbody")].flatMap((body) => read(document.importNode(body, true)));
      }),
    ).catch(() => {
      site.say("Only the rows of this page: the others could not be loaded.");
      return [here];
    });
    rows = fetched.flat();
    rows.forEach((row, at) => {
      row.at = at;
    });
  };

  const plain = () => !controls.q && !controls.passed && controls.sort === 0 && !controls.down;

  const chosen = () => {
    const found = rows.filter(
      (row) => (!controls.q || row.user.includes(controls.q)) && (!controls.passed || row.passed) && !(controls.q && row.base),
    );
    if (controls.sort === 0) return controls.down ? found.reverse() : found;
    const sign = controls.down ? -1 : 1;
    const key = controls.sort;
    // what has no value comes last either way; equal ones keep the order of the ranks
    const none = (row) => row.keys[key] === -Infinity || row.keys[key] === "–" || row.keys[key] === "~";
    return found.sort((a, b) => {
      if (none(a) !== none(b)) return none(a) ? 1 : -1;
      if (a.keys[key] === b.keys[key]) return a.at - b.at;
      return a.keys[key] < b.keys[key] ? -sign : sign;
    });
  };

  const body = document.createElement("tbody");
  const draw = () => {
    const found = chosen();
    const people = found.filter((row) => !row.base).length;
    const all = rows.filter((row) => !row.base).length;
    const shown = plain() && count === 1 ? null : found.slice(0, limit);
    if (shown) {
      body.className = controls.sort === 0 && !controls.down ? "" : "sorted";
      body.replaceChildren(...shown.map((row) => row.tr));
      for (const row of shown) row.tr.classList.toggle("pass", row.passed);
      for (const one of original) one.remove();
      table.append(body);
    } else {
      body.remove();
      // back to the HTML's own groups, with the pass mark between them
      for (const [one, trs] of groups) one.replaceChildren(...trs);
      table.append(...original);
    }
    field.more.hidden = !shown || found.length <= limit;
    document.querySelectorAll(".pager").forEach((pager) => {
      pager.hidden = Boolean(shown);
    });
    const parts = [];
    if (people < all || shown?.length < found.length) parts.push(`${people.toLocaleString("en")} of ${all.toLocaleString("en")} users`);
    if (shown?.length < found.length) parts.push(`the first ${limit.toLocaleString("en")} shown`);
    if (!people) parts.push("try fewer characters, or clear the filter");
    site.say(parts.join(", "));
    mark();
  };

  const mark = () => {
    const user = site.me();
    for (const tr of table.querySelectorAll("tr.me")) {
      tr.classList.remove("me");
      tr.querySelector(".you").remove();
    }
    const tr = user && document.getElementById(user);
    if (!tr) return null;
    const you = document.createElement("span");
    you.className = "you";
    you.textContent = "you";
    tr.classList.add("me");
    tr.cells[1].append(" ", you);
    return tr;
  };

  const address = () => {
    const query = new URLSearchParams();
    if (controls.sort || controls.down) query.set("sort", heads[controls.sort].dataset.name);
    if (controls.sort || controls.down) query.set("dir", controls.down ? "down" : "up");
    if (controls.q) query.set("q", controls.q);
    if (controls.passed) query.set("passed", "1");
    const text = query.toString();
    history.replaceState(null, "", `${location.pathname}${text ? `?${text}` : ""}${location.hash}`);
  };

  const sorted = () => {
    heads.forEach((head, at) => {
      if (!head.dataset.sort) return;
      if (at === controls.sort) head.setAttribute("aria-sort", controls.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  };

  const change = async (what) => {
    Object.assign(controls, what);
    limit = size;
    sorted();
    address();
    await load();
    draw();
  };

  const findMe = async () => {
    const user = site.typed(field.me.value);
    await load();
    const row = rows.find((one) => one.user && one.user === user);
    if (!row) {
      site.say(`${user || "That"} is not on this board. A pseudonym is a letter and four digits, such as u1234.`);
      return;
    }
    site.keep(user);
    Object.assign(controls, { q: "", passed: false });
    field.q.value = "";
    field.passed.checked = false;
    limit = Math.max(size, chosen().indexOf(row) + 1);
    address();
    draw();
    const tr = mark();
    tr.scrollIntoView({ block: "center" });
    tr.querySelector("a").focus({ preventScroll: true });
    site.say(`${user} is at rank ${row.keys[0]}.`);
  };

  heads.forEach((head, at) => {
    if (!head.dataset.sort) return;
    const words = head.textContent.trim();
    head.dataset.name = words.toLowerCase().replace(/ /g, "-");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = words;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const first = head.dataset.sort === "down";
      change(at === controls.sort ? { down: !controls.down } : { sort: at, down: first });
    });
  });
  let waiting = 0;
  field.q.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => change({ q: field.q.value.trim().toLowerCase() }), 80);
  });
  field.passed.addEventListener("change", () => change({ passed: field.passed.checked }));
  field.find.addEventListener("click", findMe);
  field.me.addEventListener("keydown", (event) => event.key === "Enter" && findMe());
  field.forget.addEventListener("click", () => {
    site.keep("");
    field.me.value = "";
    mark();
    site.say("Forgotten.");
  });
  field.more.firstElementChild.addEventListener("click", () => {
    const before = limit;
    limit += size;
    draw();
    body.rows[before]?.querySelector("a")?.focus();
  });

  const start = async () => {
    document.getElementById("controls").hidden = false;
    const query = new URLSearchParams(location.search);
    const at = heads.findIndex((head) => head.dataset.name && head.dataset.name === query.get("sort"));
    const wanted = { q: (query.get("q") || "").slice(0, 7).toLowerCase(), passed: query.get("passed") === "1" };
    if (at >= 0) Object.assign(wanted, { sort: at, down: query.get("dir") === "down" });
    field.q.value = wanted.q;
    field.passed.checked = wanted.passed;
    const anchor = location.hash.slice(1);
    const elsewhere = count > 1 && site.pattern.test(anchor) && !document.getElementById(anchor);
    if (at >= 0 || wanted.q || wanted.passed || elsewhere) {
      await change(wanted);
      if (elsewhere) {
        const row = rows.findIndex((one) => one.user === anchor);
        if (row >= limit) {
          limit = row + 1;
          draw();
        }
        document.getElementById(anchor)?.scrollIntoView({ block: "center" });
      }
    } else {
      mark();
    }
  };

  start();
})();
