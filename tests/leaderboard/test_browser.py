"""The pages in a real browser with scripts off: what is visible, what overflows, what is requested."""

import http.server
import threading
from functools import partial

import pytest

from leaderboard.build import build

PAGES = ("index.html", "04_grid_search.html", "05_next.html")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments):
        pass


@pytest.fixture
def site(class_of_twelve, make_exercise, save, tmp_path):
    """Twelve entries, every label, a long title, an empty board; served on loopback. Gives (url, folder)."""
    exercise = class_of_twelve["exercises"][0]
    exercise["hidden_set"]["standin"] = True
    exercise["entries"][2]["sandboxed"] = False
    long_title = f"{'Donaudampfschifffahrts' * 4} <script>document.title='pwned'</script>"
    class_of_twelve["exercises"].append(make_exercise([], id="05_next", title=long_title))
    build(save(class_of_twelve), tmp_path / "site")
    handler = partial(Quiet, directory=str(tmp_path / "site"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", tmp_path / "site"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def visit(browser):
    """visit(url, width, **context): a page with scripts off that notes `.complaints` and `.requested`."""
    contexts = []

    def go(url, width, **options):
        viewport = {"width": width, "height": 900}
        context = browser.new_context(java_script_enabled=False, viewport=viewport, **options)
        contexts.append(context)
        page = context.new_page()
        page.complaints, page.requested = [], []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("requestfailed", lambda request: page.complaints.append(request.url))
        page.on("response", lambda response: page.requested.append((response.status, response.url)))
        page.goto(url)
        return page

    yield go
    for context in contexts:
        context.close()


def width_of(page):
    return page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")


def test_all_rows_and_the_pass_mark_are_visible_in_order_at_1200_pixels(site, visit):
    page = visit(f"{site[0]}04_grid_search.html", 1200)
    rows = page.locator("tr[id]")
    assert rows.count() == 12
    tops = []
    for number in range(12):
        assert rows.nth(number).is_visible()
        tops.append(rows.nth(number).bounding_box()["y"])
    assert tops == sorted(tops)
    mark = page.locator("tbody.mark td")
    assert tops[7] < mark.bounding_box()["y"] < tops[8]
    assert "4,800 of 10,000" in mark.inner_text()
    assert page.locator("#u0102").get_by_text("not sandboxed").is_visible()
    assert page.locator("#u0100 svg").is_visible()


@pytest.mark.parametrize("width", [320, 360, 671, 673, 800, 895, 897, 1200, 2560])
def test_no_page_scrolls_sideways(site, visit, width):
    for name in PAGES:
        scroll, client = width_of(visit(f"{site[0]}{name}", width))
        assert scroll <= client, name


def test_every_cell_stays_inside_a_320_pixel_screen(site, visit):
    page = visit(f"{site[0]}04_grid_search.html", 320)
    for cell in page.locator("tr[id] > td, tr[id] > th").all():
        box = cell.bounding_box()
        assert cell.is_visible()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 320


def test_the_table_is_still_a_table_for_assistive_technology_when_narrow(site, visit):
    page = visit(f"{site[0]}04_grid_search.html", 320)
    assert page.get_by_role("table").count() == 1
    assert page.get_by_role("columnheader").count() == 7
    assert page.get_by_role("rowheader").count() == 12
    assert page.get_by_role("row", name="u0100").get_by_role("cell").count() == 6


def test_nothing_is_blocked_missing_or_requested_from_elsewhere(site, visit):
    for name in PAGES:
        page = visit(f"{site[0]}{name}", 1200)
        assert page.complaints == []
        assert page.title() != "pwned"
        assert all(status == 200 and url.startswith(site[0]) for status, url in page.requested)
        assert any(url.endswith("style.css") for _, url in page.requested)


def test_the_pages_are_styled_when_opened_from_disk(site, visit):
    page = visit((site[1] / "04_grid_search.html").as_uri(), 1200)
    assert page.complaints == []
    assert page.locator(".stats").evaluate("e => getComputedStyle(e).display") == "grid"


def test_dark_and_light_follow_the_reader(site, visit):
    shades = []
    for scheme in ("light", "dark"):
        page = visit(f"{site[0]}04_grid_search.html", 1200, color_scheme=scheme)
        rgb = page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")
        shades.append(sum(int(part) for part in rgb.removeprefix("rgb(").removesuffix(")").split(",")))
    assert shades[0] > 700 and shades[1] < 120


def test_the_keyboard_reaches_skip_link_navigation_and_rows_with_a_visible_focus(site, visit):
    page = visit(f"{site[0]}04_grid_search.html", 1200)
    seen = []
    for _ in range(4):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        seen.append(focused.inner_text())
        assert focused.bounding_box()["y"] >= 0
        assert focused.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    assert seen == ["Skip to the board", "All exercises", "u0100", "u0101"]


def test_a_link_to_a_row_marks_it(site, visit):
    page = visit(f"{site[0]}04_grid_search.html#u0111", 1200)
    colour = "e => getComputedStyle(e.firstElementChild).backgroundColor"
    assert page.locator("#u0111").evaluate(colour) != page.locator("#u0110").evaluate(colour)


def test_print_shows_the_whole_table_on_white_without_navigation(site, visit):
    page = visit(f"{site[0]}04_grid_search.html", 640, color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator("tr[id]").last.is_visible()
    assert page.locator("thead th").first.bounding_box()["height"] > 5
    assert not page.locator("nav").is_visible()
    assert page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(255, 255, 255)"
