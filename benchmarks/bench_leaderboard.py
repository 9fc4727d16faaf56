"""How long a leaderboard of a large class takes to build, and how soon it can be used in a browser.

    python benchmarks/bench_leaderboard.py [--users 5000] [--rounds 3] [--no-browser]

Scores are made up: every user in every exercise, two to three submissions each, gains in one lab, a pareto plot in another.
Building is everything from reading scores.json to the swapped-in folder on the disk, in a process of its own; the median
of the rounds is printed. "Usable" is from the moment that a headless Chromium follows a link to the board until the page is
loaded and its controls are there, by the browser's own clock (the pages come from this machine); then a search and a
sort over all users of the board, from outside.
"""

import argparse
import functools
import http.server
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
IMAGES = 10_000
EXERCISES = ("sigmoid", "solver", "optimizers", "grid_search", "model_search", "hyperopt", "distillation", "batch_norm")


def scores(users: int) -> dict[str, Any]:
    """A scores.json of a whole term, the same for the same number of users."""
    rng = random.Random(4)
    names = [f"u{number:04d}" for number in rng.sample(range(10_000), users)]
    return {
        "schema": 2,
        "course": {"name": "Introduction to Deep Learning", "term": "2026w"},
        "generated_at": "2026-12-16T14:57:12Z",
        "scorer_version": "1",
        "exercises": [_exercise(rng, number, slug, names) for number, slug in enumerate(EXERCISES, 1)],
    }


def _exercise(rng: random.Random, number: int, slug: str, names: list[str]) -> dict[str, Any]:
    half, lab = IMAGES // 2, slug == "hyperopt"
    entries, histories = [], {}
    for order, user in enumerate(names, 1):
        correct = min(half, max(0, round(half * rng.gauss(0.55, 0.08))))
        steps = sorted(rng.randint(half // 5, correct) for _ in range(rng.randint(0, 3)) if correct > half // 5)
        days = sorted(f"2026-12-{rng.randint(1, 16):02d}" for _ in range(len(steps) + 1))
        history = [
            {"day": day, "verdict": "scored", "code": "", "stood": stood, "moved": True, "counts": False}
            for day, stood in zip(days, [*steps, correct], strict=True)
        ]
        history[-1]["counts"] = True
        histories[user] = history
        entries.append(
            {
                "user": user,
                "correct": correct,
                "total": half,
                "public_correct": correct,
                "submissions": len(history),
                "received_day": days[-1],
                "received_order": order,
                "parameters": rng.randint(10_000, 5_000_000),
                "model_bytes": rng.randint(40_000, 20_000_000),
                "sandboxed": True,
                "against_leader": None,
                "before": {"correct": correct - 50, "gained": 90, "lost": 40} if lab and correct > 50 else None,
            }
        )
    return {
        "id": f"{number:02d}_{slug}",
        "title": slug.replace("_", " ").capitalize(),
        "due": "2026-12-16T15:59:59+01:00",
        "pass_percent": 48,
        "phase": "public",
        "rank_model": "model.onnx",
        "before_model": "baseline.onnx" if lab else None,
        "pareto": slug == "distillation",
        "hidden_set": {
            **{"version": "3fa1c09be27d", "size": IMAGES, "source": "cifar10"},
            **{"standin": False, "classes": 10, "split": True},
        },
        "baselines": [],
        "entries": entries,
        "histories": histories,
    }


def build(path: Path, out: Path) -> float:
    """Seconds of one build in a new process, without the start of Python and the imports."""
    code = (
        "import sys, time; from pathlib import Path; from leaderboard.build import build\n"
        "start = time.perf_counter(); build(Path(sys.argv[1]), Path(sys.argv[2])); print(time.perf_counter() - start)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(out)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


# in the browser, before a page's own scripts: when its controls appear, in milliseconds since the link was followed
WATCH = """
new MutationObserver((_, watch) => {
  const controls = document.querySelector("#controls:not([hidden])");
  if (controls) { window.controlsAt = performance.now(); watch.disconnect(); }
}).observe(document, {subtree: true, childList: true, attributes: true});
"""
# the same for the page with its controls, 0 before it is loaded
USABLE = """() => {
  const loadedAt = performance.getEntriesByType("navigation")[0].loadEventEnd;
  return window.controlsAt && loadedAt && Math.max(window.controlsAt, loadedAt);
}"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        return


def in_browser(site: Path, rounds: int) -> dict[str, float]:
    """Median seconds until a page can be used, until a search has answered, and until a sort has."""
    from playwright.sync_api import sync_playwright

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    times: dict[str, list[float]] = {"usable": [], "first search": [], "sort": []}
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
            for _ in range(rounds):
                page = browser.new_context().new_page()
                page.add_init_script(WATCH)
                page.goto(f"http://127.0.0.1:{server.server_port}/index.html")
                page.get_by_role("link", name="Grid search").click()
                times["usable"].append(page.wait_for_function(USABLE).json_value() / 1000)
                start = time.perf_counter()
                page.get_by_label("Search users").fill("u99")
                page.wait_for_selector("tbody:not(.over):not(.under):not(.mark) tr[id^=u99]")
                times["first search"].append(time.perf_counter() - start)
                page.get_by_label("Search users").fill("")
                page.wait_for_timeout(500)
                start = time.perf_counter()
                page.get_by_role("button", name="Parameters").click()
                page.wait_for_selector("tbody.sorted")
                times["sort"].append(time.perf_counter() - start)
            browser.close()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    return {what: statistics.median(found) for what, found in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-browser", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, site = Path(folder) / "scores.json", Path(folder) / "site"
        # as `export` writes it
        text = json.dumps(scores(options.users), indent=1, sort_keys=True, ensure_ascii=False)
        path.write_text(f"{text}\n", encoding="utf-8")
        # Each first build has a folder of its own that stays until the end: ext4 does not reuse an inode freed within
        # the last minute and looks at each of them for each new file, so a build right after the removal of a site
        # (a second run of this file, too) waits seconds for the file system.
        first = [build(path, Path(folder) / f"site{number}") for number in range(1, options.rounds)]
        first.append(build(path, site))
        again = build(path, site)
        files = [file for file in site.rglob("*") if file.is_file()]
        size = sum(file.stat().st_size for file in files)
        largest = max((file for file in files if file.suffix == ".html"), key=lambda file: file.stat().st_size)
        print(f"{options.users:,} users x {len(EXERCISES)} exercises: {len(files):,} files, {size / 1e6:.0f} MB")
        print(f"  largest page {largest.name}, {largest.stat().st_size / 1e3:.0f} kB")
        print(f"  first build {statistics.median(first):.2f} s ({min(first):.2f} to {max(first):.2f})")
        print(f"  rebuild     {again:.2f} s (with removal of the old site)")
        if not options.no_browser:
            for what, seconds in in_browser(site, options.rounds).items():
                print(f"  {what:<14}{seconds:.2f} s")


if __name__ == "__main__":
    main()
