"""The pages in a real browser, with scripts off and on: what is seen, what a keyboard reaches, what is requested."""

import http.server
import threading
from functools import partial

import pytest

from leaderboard.build import build

PAGES = (
    *("index.html", "about.html", "04_grid_search.html", "06_hyperopt.html", "07_next.html"),
    *("u/u0200.html", "u/u0999.html"),
)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments):
        pass


@pytest.fixture
def serve(save, tmp_path):
    """serve(scores): builds the site and serves it on loopback; gives (url, folder)."""
    servers = []

    def start(scores):
        build(save(scores), tmp_path / "site")
        handler = partial(Quiet, directory=str(tmp_path / "site"))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/", tmp_path / "site"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def site(everything, serve):
    """Every kind of page, label and row."""
    return serve(everything)


@pytest.fixture
def visit(browser):
    """visit(url, width, scripts=False, **context): a page that notes `.complaints` and `.requested`."""
    contexts = []

    def go(url, width, scripts=False, **options):
        viewport = {"width": width, "height": 900}
        context = browser.new_context(java_script_enabled=scripts, viewport=viewport, **options)
        contexts.append(context)
        page = context.new_page()
        page.complaints, page.requested = [], []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("requestfailed", lambda request: page.complaints.append(request.url))
        page.on("response", lambda response: page.requested.append((response.status, response.url)))
        page.goto(url)
        return page

    yield go
    for context in contexts:
        context.close()


def until(page, condition):
    """Wait for a condition in JavaScript; the page's own policy forbids playwright's way, which is eval."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(25)
    raise AssertionError(condition)


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
    assert page.locator("#u0100 svg").is_visible()
    assert not page.locator("#controls").is_visible()
    lab = visit(f"{site[0]}06_hyperopt.html", 1200)
    assert lab.locator("#u0202").get_by_text("not sandboxed").is_visible()
    assert lab.get_by_text("opted out").is_visible()


@pytest.mark.parametrize("width", [320, 360, 671, 897, 959, 961, 1151, 1153, 1280, 2560])
def test_no_page_scrolls_sideways(site, visit, width):
    for name in PAGES:
        page = visit(f"{site[0]}{name}", width)
        scroll, client = width_of(page)
        assert scroll <= client, name
        right = "e => e.getBoundingClientRect().right - parseFloat(getComputedStyle(document.body).paddingRight)"
        edge = page.locator("body").evaluate(right)
        for table in page.locator("table").all():  # a table may be too wide and still end before the screen does
            assert table.evaluate("e => e.getBoundingClientRect().right") <= edge + 0.5, name


@pytest.mark.parametrize("width", [320, 900, 1280])
def test_a_caption_is_as_wide_as_its_table(site, visit, width):
    for name in PAGES:
        page = visit(f"{site[0]}{name}", width)
        for caption in page.locator("caption").all():
            own, table = caption.evaluate("e => [e, e.closest('table')].map(one => one.getBoundingClientRect().width)")
            assert own >= 0.95 * table, (name, caption.inner_text())


def test_every_cell_stays_inside_a_320_pixel_screen(site, visit):
    page = visit(f"{site[0]}04_grid_search.html", 320)
    for cell in page.locator("tr[id] > td, tr[id] > th").all():
        box = cell.bounding_box()
        assert cell.is_visible()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 320


def test_the_table_is_still_a_table_for_assistive_technology_when_narrow(site, visit):
    page = visit(f"{site[0]}04_grid_search.html", 320)
    assert page.get_by_role("table").count() == 1
    assert page.get_by_role("columnheader").count() == 9
    assert page.get_by_role("rowheader").count() == 13
    assert page.get_by_role("row", name="u0100").get_by_role("cell").count() == 8


def test_nothing_is_blocked_missing_or_requested_from_elsewhere(site, visit):
    for name, scripts in [(name, scripts) for name in PAGES for scripts in (False, True)]:
        page = visit(f"{site[0]}{name}", 1200, scripts)
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
    for _ in range(7):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        seen.append(focused.inner_text())
        assert focused.bounding_box()["y"] >= 0
        assert focused.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    assert seen == ["Skip to the content", "All exercises", "Rules", "Rules", "u0100", "u0101", "u0102"]


def users(page):
    return page.locator("#board tbody tr[id]").evaluate_all("rows => rows.map(row => row.id)")


def test_a_header_sorts_both_ways_tells_so_and_the_address_keeps_it(site, visit):
    page = visit(f"{site[0]}06_hyperopt.html", 1280, True)
    ranked = users(page)
    sizes = {user: 10 ** (4 + (int(user[1:]) - 200) % 3) + int(user[1:]) - 200 for user in ranked}
    button = page.get_by_role("button", name="Parameters")
    head = page.get_by_role("columnheader", name="Parameters")
    button.click()
    assert users(page) == sorted(ranked, key=sizes.get)
    assert head.get_attribute("aria-sort") == "ascending" and page.locator("[aria-sort]").count() == 1
    assert "sort=parameters" in page.url and "dir=up" in page.url
    button.click()
    assert users(page) == sorted(ranked, key=sizes.get, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    again = visit(page.url, 1280, True)
    assert users(again) == sorted(ranked, key=sizes.get, reverse=True)
    page.get_by_role("button", name="Rank").click()
    assert users(page) == ranked and "sort" not in page.url
    assert page.locator("tbody.mark").is_visible()


@pytest.mark.parametrize(
    ("column", "key"),
    [
        ("User", lambda row: row[1].split()[0]),
        ("Accuracy", lambda row: -float(row[2].split()[0])),
        ("Submissions", lambda row: -int(row[7])),
        ("Last improvement", lambda row: [-ord(char) for char in row[8]]),
        ("Gain", lambda row: -float(row[10].split()[0])),
    ],
)
def test_every_column_sorts_by_its_values_and_keeps_ranks_among_equals(site, visit, column, key):
    page = visit(f"{site[0]}06_hyperopt.html", 1280, True)
    cells = "rows => rows.map(row => [...row.cells].map(cell => cell.innerText.trim()))"
    before = page.locator("#board tr[id]").evaluate_all(cells)
    page.get_by_role("button", name=column, exact=True).click()
    page.wait_for_selector("tbody.sorted")
    assert page.locator("#board tr[id]").evaluate_all(cells) == sorted(before, key=key)


def test_search_and_passed_only_narrow_the_board_say_how_many_and_stay_in_the_address(site, visit):
    page = visit(f"{site[0]}04_grid_search.html", 1280, True)
    page.get_by_label("Search users").fill("011")
    until(page, "document.querySelectorAll('#board tr[id]').length === 2")
    assert users(page) == ["u0110", "u0111"]
    assert page.get_by_role("status").inner_text() == "2 of 12 users"
    assert "q=011" in page.url
    page.get_by_label("Search users").fill("zzz")
    until(page, "document.querySelectorAll('#board tr[id]').length === 0")
    assert "0 of 12 users, try fewer characters" in page.get_by_role("status").inner_text()
    page.get_by_label("Search users").fill("")
    page.get_by_label("Passed only").check()
    until(page, "document.querySelectorAll('#board tr[id]').length === 8")
    assert "passed=1" in page.url and "q=" not in page.url
    again = visit(page.url, 1280, True)
    assert again.get_by_label("Passed only").is_checked() and len(users(again)) == 8
    again.get_by_label("Passed only").uncheck()
    again.wait_for_selector("tbody.mark")
    assert len(users(again)) == 12


def test_find_me_marks_my_row_on_every_board_until_i_forget_it(site, visit):
    page = visit(f"{site[0]}06_hyperopt.html", 1280, True)
    page.get_by_label("My pseudonym").fill(" U0205 ")
    page.get_by_role("button", name="Find me").click()
    page.wait_for_selector("tr.me")
    assert page.locator("tr.me").get_attribute("id") == "u0205" and page.get_by_text("you", exact=True).is_visible()
    assert page.get_by_role("status").inner_text() == "u0205 is at rank 6."
    assert page.evaluate("document.activeElement.textContent") == "u0205"
    page.goto(f"{site[0]}index.html")
    page.get_by_role("link", name="My page (u0205)").click()
    assert page.locator("h1").inner_text() == "u0205"
    page.get_by_role("button", name="Forget that this is me").click()
    page.goto(f"{site[0]}06_hyperopt.html")
    assert page.locator("tr.me").count() == 0 and not page.locator("#mine").is_visible()
    page.get_by_label("My pseudonym").fill("0000")
    page.get_by_role("button", name="Find me").click()
    until(page, "document.getElementById('shown').textContent")
    assert "u0000 is not on this board" in page.get_by_role("status").inner_text()


def test_find_me_works_from_the_index_and_refuses_what_is_not_there(site, visit):
    page = visit(f"{site[0]}index.html", 1280, True)
    for wrong in ("<script>", "u0001", ""):
        page.get_by_label("My pseudonym").fill(wrong)
        page.get_by_role("button", name="Find me").click()
        until(page, "document.getElementById('shown').textContent")
        assert "No such pseudonym" in page.get_by_role("status").inner_text()
    page.get_by_label("My pseudonym").fill("0206")
    page.keyboard.press("Enter")
    page.wait_for_url("**/u/u0206.html")


def test_storage_that_is_switched_off_or_holds_rubbish_breaks_nothing(site, visit):
    page = visit(f"{site[0]}04_grid_search.html", 1280, True)
    page.evaluate("localStorage.setItem('leaderboard 2026w', 'javascript:alert(1)')")
    page.reload()
    assert page.locator("tr.me").count() == 0 and not page.locator("#mine").is_visible()
    page.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new Error('no') }})")
    page.reload()
    page.get_by_label("My pseudonym").fill("u0105")
    page.get_by_role("button", name="Find me").click()
    until(page, "document.getElementById('shown').textContent")
    assert page.locator("tr.me").get_attribute("id") == "u0105"
    assert [one for one in page.complaints if not one.endswith("icon.svg")] == []  # a reload may cut that request short


@pytest.mark.parametrize(
    "query", ["?sort=<b>&dir=x&q=<img src=x onerror=alert(1)>", "?sort=user&dir=down&passed=2", "?q=%00%ff"]
)
def test_any_address_gives_a_working_page(site, visit, query):
    page = visit(f"{site[0]}04_grid_search.html{query}", 1280, True)
    page.wait_for_timeout(200)
    assert page.complaints == [] and page.locator("#board").is_visible() and page.locator("#board img").count() == 0


def test_everything_works_by_keyboard_alone(site, visit):
    page = visit(f"{site[0]}06_hyperopt.html", 1280, True)

    def tab_to(name):
        for _ in range(40):
            page.keyboard.press("Tab")
            focused = page.evaluate("(document.activeElement.labels?.[0] ?? document.activeElement).textContent.trim()")
            if focused == name:
                assert page.locator(":focus").evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
                return
        raise AssertionError(f"the keyboard does not reach {name}")

    tab_to("Passed only")
    page.keyboard.press("Space")
    until(page, "document.querySelectorAll('#board tr[id]').length === 3")
    tab_to("My pseudonym")
    page.keyboard.type("u0206")
    page.keyboard.press("Enter")
    page.wait_for_selector("tr.me")
    page.keyboard.press("Shift+Tab")
    page.get_by_label("Search users").focus()
    tab_to("Accuracy")
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    until(page, "document.querySelector('[aria-sort=ascending]')?.textContent === 'Accuracy'")
    assert users(page)[0] == "u0207"
    tab_to("u0207")
    page.keyboard.press("Enter")
    page.wait_for_url("**/u/u0207.html")


def test_times_are_also_given_in_the_readers_own_zone(site, visit):
    page = visit(f"{site[0]}04_grid_search.html", 1280, True, timezone_id="Asia/Tokyo", locale="en-GB")
    assert page.locator(".deadline .local").inner_text() == "16 Dec 2026, 23:59 your time (Asia/Tokyo)"


def test_a_board_of_several_pages_is_searched_sorted_and_linked_as_one(
    make_entry, make_exercise, make_scores, serve, visit
):
    entries = [make_entry(1_000 + n, 9_000 - 5 * n, parameters=1 + n * 7 % 1_201) for n in range(1_201)]
    url, _ = serve(make_scores(make_exercise(entries)))
    page = visit(f"{url}04_grid_search.html", 1280, True)
    assert len(users(page)) == 500 and page.locator(".pager").first.is_visible()
    page.get_by_label("Search users").fill("u2200")
    until(page, "document.querySelectorAll('#board tr[id]').length === 1")
    assert users(page) == ["u2200"]
    page.get_by_label("Search users").fill("")
    page.get_by_role("button", name="Parameters").click()
    until(page, "document.querySelectorAll('#board tr[id]').length === 500")
    expected = [entry["user"] for entry in sorted(entries, key=lambda entry: entry["parameters"])]
    assert users(page) == expected[:500]
    assert page.get_by_role("status").inner_text() == "1,201 of 1,201 users, the first 500 shown"
    page.get_by_role("button", name="Show more").click()
    assert users(page) == expected[:1_000]
    anchored = visit(f"{url}04_grid_search.html#u2150", 1280, True)
    anchored.wait_for_selector("#u2150")
    anchored.get_by_label("My pseudonym").fill("u1700")
    anchored.get_by_role("button", name="Find me").click()
    anchored.wait_for_selector("tr.me")
    assert "u1700 is at rank 701." in anchored.get_by_role("status").inner_text()
    second = visit(f"{url}04_grid_search-2.html", 1280)
    assert users(second)[0] == "u1500"
    second.get_by_role("link", name="1,001–1,201").first.click()
    assert len(users(second)) == 201


def test_a_paged_board_opened_from_disk_says_that_it_has_only_its_own_rows(
    make_entry, make_exercise, make_scores, serve, visit
):
    _, folder = serve(make_scores(make_exercise([make_entry(1_000 + n, 9_000 - n) for n in range(501)])))
    page = visit((folder / "04_grid_search.html").as_uri(), 1280, True)
    page.get_by_role("button", name="User").click()
    page.wait_for_selector("tbody.sorted")
    assert len(users(page)) == 500


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_axe_finds_nothing_on_any_kind_of_page(site, visit, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    for name in PAGES:
        page = visit(f"{site[0]}{name}", width, True, color_scheme=scheme, bypass_csp=True)
        if name == "06_hyperopt.html":  # the states that only scripts make
            page.get_by_label("My pseudonym").fill("u0205")
            page.get_by_role("button", name="Find me").click()
            page.get_by_role("button", name="Gain").click()
            page.wait_for_selector("tr.me")
        found = axe.run(page).response["violations"]
        assert [(one["id"], [node["target"] for node in one["nodes"]][:3]) for one in found] == [], name


def test_a_link_to_a_row_marks_it(site, visit):
    page = visit(f"{site[0]}04_grid_search.html#u0111", 1200)
    colour = "e => getComputedStyle(e.firstElementChild).backgroundColor"
    assert page.locator("#u0111").evaluate(colour) != page.locator("#u0110").evaluate(colour)


def test_print_shows_the_whole_table_on_white_without_navigation(site, visit):
    page = visit(f"{site[0]}04_grid_search.html", 640, color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator("tr[id]").last.is_visible()
    assert page.locator("thead th").first.bounding_box()["height"] > 5
    assert not page.locator("nav").first.is_visible()
    assert page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(255, 255, 255)"
