"""The HTML: valid, complete without scripts, harmless for any text, silent about what is for staff."""

import copy
import json
import posixpath
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import html5lib
import pytest

from leaderboard.build import site_files
from leaderboard.reading import parse

DIGEST = "ab" * 32
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title><script>alert(1)</script>",
    "{{ 7 * 7 }} {% raw %}",
    "javascript:alert(1)",
    "a\u202egnp.exe\u2066x",
    "&lt;b&gt; & ' \" `",
    "]]><!--",
]


def files_of(scores):
    return site_files(parse(json.dumps(scores).encode()), DIGEST)


def page_of(scores, name="04_grid_search.html"):
    return files_of(scores)[name].decode()


def strict_tree(html):
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(html)


def text_of(element):
    return " ".join("".join(element.itertext()).split())


def rows_of(html):
    """Cells of each entry's row, by user."""
    rows = strict_tree(html).findall(".//tr[@id]")
    return {row.get("id"): [text_of(cell) for cell in row if cell.tag in ("td", "th")] for row in rows}


def test_each_row_shows_rank_band_user_accuracy_interval_result_sizes_submissions_and_day(class_of_twelve):
    rows = rows_of(page_of(class_of_twelve))
    assert len(rows) == 12
    shown = ["1", "u0100", "61.84 %", "60.9–62.8", "passed", "12,345", "46 kB", "3", "2026-12-05"]
    assert rows["u0100"] == shown
    assert [rows[user][0] for user in ("u0103", "u0104", "u0105")] == ["44–5", "54–5", "6"]
    assert rows["u0108"][2:5] == ["47.99 %", "47.0–49.0", "below"]


def test_a_lab_shows_before_after_and_the_gain_with_its_interval(everything):
    rows = rows_of(page_of(everything, "06_hyperopt.html"))
    assert rows["u0200"][2] == "99.00 %"
    assert rows["u0200"][9:] == ["97.80 %", "+1.20 (+0.77 to +1.63)"]
    assert "Before is baseline.onnx, accuracy is tuned.onnx" in page_of(everything, "06_hyperopt.html")


def test_baselines_have_rows_of_their_own_in_the_order_of_their_scores(everything):
    table = strict_tree(page_of(everything, "06_hyperopt.html")).find(".//table")
    names = [
        text_of(row[1])
        for body in table.findall("tbody")
        for row in body
        if row.get("class") != "mark" and len(row) > 1
    ]
    assert names == [
        "u0200",
        "u0201",
        "reference",
        "u0202",
        "opted out",
        "u0204",
        "u0205",
        "u0206",
        "linear",
        "u0207",
        "chance",
    ]


def test_who_opted_out_has_a_rank_and_a_score_and_nothing_else(everything):
    files = files_of(everything)
    row = next(row for row in strict_tree(files["06_hyperopt.html"].decode()).iter("tr") if "opted out" in text_of(row))
    assert [text_of(cell) for cell in row][:5] == ["4", "opted out", "94.00 %", "93.3–94.6", "passed"]
    assert {text_of(cell) for cell in row[5:9]} == {"–"} and row.get("id") is None and row.find(".//a") is None
    assert "u/u0203.html" not in files


def test_the_pass_mark_stands_between_the_last_pass_and_the_first_other(class_of_twelve):
    table = strict_tree(page_of(class_of_twelve)).find(".//table")
    over, mark, under = table.findall("tbody")
    assert over[-1].get("id") == "u0107" and under[0].get("id") == "u0108"
    assert text_of(mark) == "Pass mark: 48 % or 4,800 of 10,000 correct"


def test_the_pass_mark_is_shown_when_everybody_or_nobody_passes(make_entry, make_exercise, make_scores):
    for correct in (0, 10_000):
        html = page_of(make_scores(make_exercise([make_entry(1, correct)])))
        assert "Pass mark: 48" in html
        assert list(rows_of(html)) == ["u0001"]


def test_the_index_lists_title_deadline_with_zone_participants_passed_and_best(class_of_twelve):
    row = strict_tree(page_of(class_of_twelve, "index.html")).find(".//tbody/tr")
    cells = [text_of(cell) for cell in row]
    assert cells[0] == "04 Hyper-parameter search final"
    assert cells[1] == "Wednesday, 16 December 2026 15:59:59 UTC+01:00"
    assert (cells[2], cells[3]) == ("Participants 12", "Passed 8 (67 %)")
    assert cells[4].endswith("61.84 %")
    assert row.find(".//a").get("href") == "04_grid_search.html"


def test_a_deadline_is_also_given_in_utc_with_the_day_when_that_differs(make_exercise, make_scores):
    same = page_of(make_scores(make_exercise([])))
    assert "(14:59:59 UTC)" in same
    other_day = page_of(make_scores(make_exercise([], due="2027-01-01T00:30:00+09:00")))
    assert "Friday, 1 January 2027" in other_day
    assert "(Thursday, 31 December 2026, 15:30:00 UTC)" in other_day
    already_utc = page_of(make_scores(make_exercise([], due="2027-01-01T00:30:00Z")))
    assert "00:30:00 UTC</time></p>" in already_utc


def test_the_footer_names_the_hidden_set_the_scorer_and_the_input(class_of_twelve):
    footer = text_of(strict_tree(page_of(class_of_twelve)).find(".//footer"))
    for part in ("cifar10, 10,000 images, version 3fa1c09be27d", "Scorer version1", DIGEST, "14:57:12 UTC"):
        assert part in footer


def test_stand_in_data_is_labelled_on_both_pages(class_of_twelve):
    for name in ("index.html", "04_grid_search.html"):
        assert "stand-in" not in page_of(class_of_twelve, name).lower()
    class_of_twelve["exercises"][0]["hidden_set"]["standin"] = True
    for name in ("index.html", "04_grid_search.html"):
        assert "stand-in" in page_of(class_of_twelve, name).lower()


def test_only_unsandboxed_rows_carry_the_label_and_the_page_says_how_many(class_of_twelve):
    assert "not sandboxed" not in page_of(class_of_twelve).lower()
    class_of_twelve["exercises"][0]["entries"][2]["sandboxed"] = False
    html = page_of(class_of_twelve)
    labelled = [user for user, cells in rows_of(html).items() if "not sandboxed" in cells[4]]
    assert labelled == ["u0102"]
    assert "1 of 12 scores" in html
    assert "not sandboxed" in page_of(class_of_twelve, "index.html")


def test_what_only_makes_the_board_reaches_no_published_byte(everything):
    everything["exercises"][1]["entries"][1]["against_leader"] = [987_010, 987_000]
    for number, entry in enumerate(everything["exercises"][0]["entries"]):
        entry["received_order"] = 765_432_100 + number
    content = b"".join(files_of(everything).values()).lower()
    for secret in (b"987010", b"987,010", b"7654321", b"765,432,1", b"received_order", b"against_leader"):
        assert secret not in content


def test_every_pseudonym_with_a_submission_has_a_page_with_verdicts_and_steps(everything):
    files = files_of(everything)
    pages = sorted(name for name in files if name.startswith("u/"))
    assert pages == sorted(f"u/u0{n}.html" for n in (*range(100, 112), 200, 201, 202, 204, 205, 206, 207, 999))
    tree = strict_tree(files["u/u0200.html"].decode())
    assert text_of(tree.find(".//h1")) == "u0200"
    rows = [[text_of(cell) for cell in row] for row in tree.findall(".//tbody/tr")]
    assert rows == [
        ["1", "2026-12-01", "refused: late", "–"],
        ["2", "2026-12-02", "scored, improved", "96.00 %"],
        ["3", "2026-12-03", "failed: not onnx", "96.00 %"],
        ["4", "2026-12-04", "scored, no clear improvement", "96.00 %"],
        ["5", "2026-12-05", "scored, improved counts", "99.00 %"],
        ["6", "2026-12-06", "waiting to be scored", "99.00 %"],
    ]
    line, dots, missed = (
        path.get("d")
        for path in tree.findall(".//main//{*}svg/{*}path")
        if path.get("class") in ("line", "dots", "missed")
    )
    assert line.count("H") == 4 and dots.count("M") == 2 and missed.count("M") == 2
    failed = text_of(strict_tree(files["u/u0999.html"].decode()).find(".//main"))
    assert "No valid score yet" in failed and "failed: timeout" in failed


def test_a_page_of_a_pseudonym_links_to_its_row_wherever_that_is(make_entry, make_exercise, make_scores):
    entries = [make_entry(1_000 + n, 9_000 - n) for n in range(1_201)]
    files = files_of(make_scores(make_exercise(entries)))
    for user, page in (
        ("u1000", "04_grid_search.html"),
        ("u1500", "04_grid_search-2.html"),
        ("u2200", "04_grid_search-3.html"),
    ):
        links = [a.get("href") for a in strict_tree(files[f"u/{user}.html"].decode()).iter("a")]
        assert f"../{page}#{user}" in links
        assert f'id="{user}"' in files[page].decode()


def test_a_board_of_1201_has_three_pages_that_link_to_each_other_and_share_out_all_rows(
    make_entry, make_exercise, make_scores
):
    entries = [make_entry(1_000 + n, 9_000 - 5 * n) for n in range(1_201)]
    baselines = [
        {"name": "linear", "correct": c, "total": 10_000, "parameters": 1, "model_bytes": 1, "sandboxed": True}
        for c in (6_000,)
    ]
    files = files_of(make_scores(make_exercise(entries, baselines=baselines)))
    names = ["04_grid_search.html", "04_grid_search-2.html", "04_grid_search-3.html"]
    users = [list(rows_of(files[name].decode())) for name in names]
    assert [len(found) for found in users] == [500, 500, 201]
    assert sum(users, []) == [entry["user"] for entry in entries]
    for name in names:
        links = {a.get("href") for a in strict_tree(files[name].decode()).iter("a")}
        assert set(names) - {name} <= links
    content = [files[name].decode() for name in names]
    assert ["<em>linear</em>" in html for html in content] == [False, True, False]
    assert ["<em>chance</em>" in html for html in content] == [False, False, True]
    assert ["Pass mark: 48" in html for html in content] == [False, True, False]


def test_the_notice_says_which_part_counts(class_of_twelve, everything):
    assert "Ranked on all 10,000 hidden images" in page_of(class_of_twelve)
    assert "public half of the hidden set, 5,000 of 10,000 images" in page_of(everything, "06_hyperopt.html")
    everything["exercises"][1]["phase"] = "final"
    page = page_of(everything, "06_hyperopt.html")
    assert "Ranked on the private half of the hidden set: 5,000 images" in page


def test_the_charts_say_in_words_what_they_show(everything):
    captions = [text_of(one) for one in strict_tree(page_of(everything, "06_hyperopt.html")).iter("figcaption")]
    assert "8 users in bins of" in captions[0] and "4 reach the pass mark of 90 %, 4 do not" in captions[0]
    assert "Leads on the public part so far: 2, the last by u0200 on 2026-12-05 with 99.00 %" in captions[1]
    assert captions[2].startswith("Accuracy against parameters") and "squares are baselines" in captions[2]


def test_the_histogram_has_one_bar_height_per_user_and_none_across_the_pass_mark(class_of_twelve):
    tree = strict_tree(page_of(class_of_twelve))
    paths = {path.get("class"): path.get("d") for path in tree.find(".//figure").findall(".//{*}path")}
    bars = [
        [float(number) for number in re.fullmatch(r"M(\S+) (\S+)V(\S+)H(\S+)V\S+", bar).groups()]
        for kind in ("under", "over")
        for bar in paths[kind].split("z")[:-1]
    ]
    tallest = max(base - top for _, base, top, _ in bars)
    most = max(int(text.text) for text in tree.find(".//figure").iterfind(".//{*}text") if text.text.isdigit())
    counts = [round((base - top) / tallest * most) for _, base, top, _ in bars]
    assert sum(counts) == 12
    mark = float(re.fullmatch(r"M(\S+) 14V148", paths["at"]).group(1))
    assert all(right <= mark + 0.11 or left >= mark - 0.11 for left, _, _, right in bars)


def test_the_feed_is_atom_with_distinct_ids_and_an_entry_per_new_leader(everything):
    files = files_of(everything)
    feed = ET.fromstring(files["feed.xml"])
    atom = "{http://www.w3.org/2005/Atom}"
    for part in (feed, *feed.findall(f"{atom}entry")):
        assert all(part.find(f"{atom}{name}").text for name in ("id", "title", "updated"))
        assert re.fullmatch(r"2026-12-\d\dT\d\d:\d\d:\d\dZ", part.find(f"{atom}updated").text)
    ids = [entry.find(f"{atom}id").text for entry in feed.findall(f"{atom}entry")]
    assert len(ids) == len(set(ids)) and all(one.startswith("urn:uuid:") for one in ids)
    titles = [entry.find(f"{atom}title").text for entry in feed.findall(f"{atom}entry")]
    assert (
        "06 Hyperopt on MNIST: u0200 leads with 99.00\u00a0%" in titles and "04 Hyper-parameter search: final" in titles
    )
    assert {link.get("href") for link in feed.iter(f"{atom}link")} <= set(files)


@pytest.mark.parametrize("text", HOSTILE)
def test_the_feed_stays_well_formed_whatever_a_title_holds(everything, text):
    everything["exercises"][0]["title"] = everything["course"]["name"] = text
    feed = ET.fromstring(files_of(everything)["feed.xml"])
    visible = re.sub("[\u202a-\u202e\u2066-\u2069]", "\ufffd", text)
    assert visible in "".join(feed.itertext())


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_in_a_title_or_course_name_is_only_text(class_of_twelve, text):
    class_of_twelve["exercises"][0]["title"] = text
    class_of_twelve["course"] = {"name": text, "term": text}
    for name in ("index.html", "04_grid_search.html", "about.html", "u/u0100.html"):
        html = page_of(class_of_twelve, name)
        tree = strict_tree(html)
        assert all(script.get("src") and not script.text for script in tree.findall(".//script"))
        assert tree.findall(".//img") == []
        assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\u200e\u200f]", html)
        attributes = {key for element in tree.iter() for key in element.attrib}
        assert not any(key.startswith("on") or key == "style" for key in attributes)
        shown = "".join(tree.find(".//header").itertext())
        assert tree.get("data-term") == re.sub("[\u202a-\u202e\u2066-\u2069]", "\ufffd", text)
        visible = re.sub("[\u202a-\u202e\u2066-\u2069]", "\ufffd", text)
        assert visible in shown


def variants(make_entry, make_exercise, make_scores):
    yield "none", make_scores(generated_at=None)
    yield "unbuilt", make_scores(make_exercise([], hidden_set=None))
    yield "empty", make_scores(make_exercise([]))
    yield "one", make_scores(make_exercise([make_entry(1, 1, 1)], 1))
    yield "zero_mark", make_scores(make_exercise([make_entry(1, 0)], pass_percent=0))
    yield "full_mark", make_scores(make_exercise([make_entry(1, 10_000)], pass_percent=100))
    mixed = [make_entry(n, n * 37 % 10_001, sandboxed=n % 3 > 0) for n in range(60)]
    yield "paged", make_scores(make_exercise([make_entry(1_000 + n, 10_000 - n) for n in range(501)]))
    yield "mixed", make_scores(make_exercise(mixed), make_exercise([], id="05_next", title="Next"))


def test_every_page_is_valid_html_with_a_caption_and_scoped_headers(make_entry, make_exercise, make_scores, everything):
    final = copy.deepcopy(everything)
    final["exercises"][1]["phase"] = "final"
    found = [*variants(make_entry, make_exercise, make_scores), ("everything", everything), ("final", final)]
    for label, scores in found:
        for name, content in files_of(scores).items():
            if not name.endswith(".html") or (label == "paged" and name > "u/u1003"):
                continue
            tree = strict_tree(content.decode())
            assert tree.find("head/title").text, label
            assert len(tree.findall(".//h1")) == 1
            assert tree.get("lang") == "en"
            for table in tree.findall(".//table"):
                assert table.find("caption") is not None
                assert {th.get("scope") for th in table.findall(".//th")} == {"col", "row"}
                columns = len(table.findall("thead/tr/th"))
                for row in table.findall("tbody/tr"):
                    assert sum(int(cell.get("colspan", 1)) for cell in row) == columns
            ids = [element.get("id") for element in tree.iter() if element.get("id")]
            assert len(ids) == len(set(ids))


def test_empty_states_say_so(make_exercise, make_scores):
    assert "No exercise has a board yet" in page_of(make_scores(), "index.html")
    scores = make_scores(make_exercise([]))
    assert "Nobody is on this board yet" in page_of(scores)
    assert "no entry yet" in page_of(scores, "index.html")


def test_every_link_leads_to_a_file_or_anchor_of_the_site(everything):
    files = files_of(everything)
    ids, links = {}, []
    for name, content in files.items():
        if name.endswith(".html"):
            tree = strict_tree(content.decode())
            ids[name] = {element.get("id") for element in tree.iter()}
            links += [(name, e.get(key)) for e in tree.iter() for key in ("href", "src") if e.get(key)]
    assert len(ids) == 25 and len(links) > 150
    for name, link in links:
        target, _, anchor = link.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name), target)) if target else name
        assert path in files, (name, link)
        assert not anchor or anchor in ids[path], (name, link)


def test_the_policy_forbids_everything_but_our_own_style_and_images(class_of_twelve):
    for name in ("index.html", "04_grid_search.html", "about.html", "u/u0100.html"):
        html = page_of(class_of_twelve, name)
        policy = strict_tree(html).find(".//meta[@http-equiv='Content-Security-Policy']").get("content")
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src")
        assert "unsafe" not in policy
        assert html.index("Content-Security-Policy") < html.index("<link")
        assert not re.search(r"https?://|//[a-z]", html)


def test_assets_request_nothing(class_of_twelve):
    for name, content in files_of(class_of_twelve).items():
        if name.startswith("assets/"):
            text = content.decode().replace('xmlns="http://www.w3.org/2000/svg"', "")
            assert not re.search(r"url\(|@import|https?:", text)


def test_every_page_with_500_entries_stays_under_150_kilobytes(make_entry, make_exercise, make_scores):
    entries = []
    for n in range(500):
        correct = 1_000 + 17 * n
        before = {"correct": correct - 150, "gained": 350, "lost": 200}
        sizes = {"parameters": 1_000_000 + 37_011 * n, "model_bytes": 4_000_000 + 150_000 * n}
        entries.append(make_entry(1_000 + n, correct, submissions=100 + n % 9, before=before, **sizes))
    plain = [entry | {"before": None} for entry in entries]
    exercises = (
        make_exercise(plain),
        make_exercise(entries, id="07_distillation", rank_model="d.onnx", before_model="p.onnx", pareto=True),
    )
    files = files_of(make_scores(*exercises))
    for name in ("04_grid_search.html", "07_distillation.html"):
        assert len(rows_of(files[name].decode())) == 500
    assert max(len(content) for name, content in files.items() if name.endswith(".html")) < 150_000


def test_intervals_are_drawn_where_the_axis_says(class_of_twelve):
    tree = strict_tree(page_of(class_of_twelve))
    header = tree.find(".//thead")
    ticks = {text_of(text): float(text.get("x")) for text in header.iterfind(".//{*}text")}
    low, high = ticks["5"], ticks["65"]
    scale = (high - low) / 60
    assert ticks["48"] == pytest.approx(low + 43 * scale, abs=0.5)
    path = next(e.get("d") for e in tree.iterfind(".//tr[@id='u0100']//{*}path"))
    start, length = map(float, re.fullmatch(r"M([\d.]+) 9h([\d.]+)", path).groups())
    assert start == pytest.approx(low + (60.88 - 5) * scale, abs=0.6)
    assert length == pytest.approx((62.79 - 60.88) * scale, abs=1.1)


def test_text_and_background_colours_have_aa_contrast_in_both_schemes():
    css = (Path(__file__).parents[2] / "leaderboard" / "assets" / "style.css").read_text(encoding="utf-8")
    schemes = [
        dict(re.findall(r"--(\w[\w-]*): (#[0-9a-f]{6});", block))
        for block in re.findall(r":root \{(.*?)\}", css, re.S)[:2]
    ]

    def luminance(colour):
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    texts = ("ink", "soft", "under", "mark", "pass", "link")
    pairs = [(text, paper) for text in texts for paper in ("paper", "raised", "glow", "you")]
    pairs += [("pass", "pass-tint"), ("paper", "link")]
    for scheme in schemes:
        for text, paper in pairs:
            light, dark = sorted((luminance(scheme[text]), luminance(scheme[paper])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, paper, scheme[text], scheme[paper])


def test_the_icon_is_well_formed_svg(class_of_twelve):
    assert ET.fromstring(files_of(class_of_twelve)["assets/icon.svg"]).tag.endswith("svg")
