"""The HTML: valid, complete without scripts, harmless for any text, silent about what is for staff."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import html5lib
import pytest

from leaderboard.build import site_files
from leaderboard.schema import parse

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


def test_each_row_shows_rank_user_accuracy_interval_result_submissions_and_day(class_of_twelve):
    rows = rows_of(page_of(class_of_twelve))
    assert len(rows) == 12
    assert rows["u0100"] == ["1", "u0100", "61.84 %", "60.9–62.8", "passed", "3", "2026-12-05"]
    assert rows["u0103"][0] == rows["u0104"][0] == "4="
    assert rows["u0105"][0] == "6"
    assert rows["u0108"][2:5] == ["47.99 %", "47.0–49.0", "below"]


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
    assert cells[0] == "04 Hyper-parameter search"
    assert cells[1] == "Wednesday, 16 December 2026 15:59:59 UTC+01:00"
    assert [cell.split()[-1] for cell in cells[2:4]] == ["12", "8"]
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


def test_flags_and_exact_sizes_of_models_reach_no_published_byte(class_of_twelve):
    for entry in class_of_twelve["exercises"][0]["entries"]:
        entry.update(flags=["duplicate", "zqflag"], parameters=987_654_321, model_bytes=123_456_789)
    everything = b"".join(files_of(class_of_twelve).values()).lower()
    for secret in (b"duplicate", b"zqflag", b"987654321", b"987,654,321", b"123456789", b"received_order"):
        assert secret not in everything


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_in_a_title_or_course_name_is_only_text(class_of_twelve, text):
    class_of_twelve["exercises"][0]["title"] = text
    class_of_twelve["course"] = {"name": text, "term": text}
    for name in ("index.html", "04_grid_search.html"):
        html = page_of(class_of_twelve, name)
        tree = strict_tree(html)
        assert tree.findall(".//script") == [] and tree.findall(".//img") == []
        assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\u200e\u200f]", html)
        attributes = {key for element in tree.iter() for key in element.attrib}
        assert not any(key.startswith("on") or key == "style" for key in attributes)
        shown = "".join(tree.find(".//header").itertext())
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
    yield "mixed", make_scores(make_exercise(mixed), make_exercise([], id="05_next", title="Next"))


def test_every_page_is_valid_html_with_a_caption_and_scoped_headers(make_entry, make_exercise, make_scores):
    for label, scores in variants(make_entry, make_exercise, make_scores):
        for name, content in files_of(scores).items():
            if not name.endswith(".html"):
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


def test_every_link_leads_to_a_file_or_anchor_of_the_site(class_of_twelve):
    files = files_of(class_of_twelve)
    for name in ("index.html", "04_grid_search.html"):
        tree = strict_tree(files[name].decode())
        ids = {element.get("id") for element in tree.iter()}
        links = [e.get(key) for e in tree.iter() for key in ("href", "src") if e.get(key)]
        assert links
        for link in links:
            assert link[1:] in ids if link.startswith("#") else link in files


def test_the_policy_forbids_everything_but_our_own_style_and_images(class_of_twelve):
    for name in ("index.html", "04_grid_search.html"):
        html = page_of(class_of_twelve, name)
        policy = strict_tree(html).find(".//meta[@http-equiv='Content-Security-Policy']").get("content")
        assert "default-src 'none'; style-src 'self'; img-src 'self'" in policy
        assert "unsafe" not in policy
        assert html.index("Content-Security-Policy") < html.index("<link")
        assert not re.search(r"https?://|//[a-z]", html)


def test_assets_request_nothing(class_of_twelve):
    for name, content in files_of(class_of_twelve).items():
        if name.startswith("assets/"):
            text = content.decode().replace('xmlns="http://www.w3.org/2000/svg"', "")
            assert not re.search(r"url\(|@import|https?:", text)


def test_a_page_with_500_entries_stays_under_150_kilobytes(make_entry, make_exercise, make_scores):
    entries = [make_entry(n, 1_000 + 17 * n, submissions=100 + n % 9) for n in range(500)]
    page = files_of(make_scores(make_exercise(entries)))["04_grid_search.html"]
    assert len(rows_of(page.decode())) == 500
    assert len(page) < 150_000


def test_intervals_are_drawn_where_the_axis_says(class_of_twelve):
    tree = strict_tree(page_of(class_of_twelve))
    header = tree.find(".//thead")
    ticks = {text.text: float(text.get("x")) for text in header.iter("{http://www.w3.org/2000/svg}text")}
    if not ticks:  # without namespaces in the tree
        ticks = {text.text: float(text.get("x")) for text in header.iter("text")}
    low, high = ticks["5"], ticks["65"]
    scale = (high - low) / 60
    assert ticks["48"] == pytest.approx(low + 43 * scale, abs=0.1)
    path = next(e.get("d") for e in tree.find(".//tr[@id='u0100']").iter() if str(e.tag).endswith("path"))
    start, end = map(float, re.fullmatch(r"M([\d.]+) 9H([\d.]+)", path).groups())
    assert start == pytest.approx(low + (60.88 - 5) * scale, abs=0.2)
    assert end == pytest.approx(low + (62.79 - 5) * scale, abs=0.2)


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
    pairs = [(text, paper) for text in texts for paper in ("paper", "glow")]
    pairs += [("pass", "pass-tint"), ("ink", "raised")]
    for scheme in schemes:
        for text, paper in pairs:
            light, dark = sorted((luminance(scheme[text]), luminance(scheme[paper])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, paper, scheme[text], scheme[paper])


def test_the_icon_is_well_formed_svg(class_of_twelve):
    assert ET.fromstring(files_of(class_of_twelve)["assets/icon.svg"]).tag.endswith("svg")
