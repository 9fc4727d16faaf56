"""A realistic class of twelve around the pass mark, and a headless browser without JavaScript."""

import copy
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

COUNTS = (6184, 5931, 5702, 5418, 5418, 5240, 5093, 4802, 4799, 4561, 3977, 1003)
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def _entry(number: int, correct: int, total: int = 10_000, **changes: Any) -> dict[str, Any]:
    return {
        "user": f"u{number:04d}",
        "correct": correct,
        "total": total,
        "public_correct": correct,
        "submissions": 1 + number % 7,
        "received_day": f"2026-12-{1 + number % 16:02d}",
        "received_order": number,
        "parameters": 12_345,
        "model_bytes": 45_678,
        "sandboxed": True,
        "against_leader": None,
        "before": None,
    } | changes


def _attempt(day: str, stood: int | None, verdict: str = "scored", **changes: Any) -> dict[str, Any]:
    moved = verdict == "scored"
    attempt = {"day": day, "verdict": verdict, "code": "", "stood": stood, "moved": moved, "counts": False}
    return attempt | changes


@pytest.fixture
def make_attempt() -> Callable[..., dict[str, Any]]:
    """attempt(day, stood, verdict="scored", **changes)."""
    return _attempt


@pytest.fixture
def make_entry() -> Callable[..., dict[str, Any]]:
    """entry(number, correct, total=10000, **changes): user is u<number>, received_order is number."""
    return _entry


@pytest.fixture
def make_exercise() -> Callable[..., dict[str, Any]]:
    """exercise(entries, size=10000, **changes): final and not split, so that counts are of all images; each user's
    history is the one submission that counts.
    """

    def make(entries: list[dict[str, Any]], size: int = 10_000, **changes: Any) -> dict[str, Any]:
        histories = {
            entry["user"]: [_attempt(entry["received_day"], entry["public_correct"], counts=True)]
            for entry in entries
            if entry["user"]
        }
        return {
            "id": "04_grid_search",
            "title": "Hyper-parameter search",
            "due": "2026-12-16T15:59:59+01:00",
            "pass_percent": 48,
            "phase": "final",
            "rank_model": "model.onnx",
            "before_model": None,
            "pareto": False,
            "hidden_set": {
                "version": "3fa1c09be27d",
                "size": size,
                "source": "cifar10",
                "standin": False,
                "classes": 10,
                "split": False,
            },
            "baselines": [],
            "entries": entries,
            "histories": histories,
        } | changes

    return make


@pytest.fixture
def make_scores() -> Callable[..., dict[str, Any]]:
    """scores(*exercises, **changes)."""

    def make(*exercises: dict[str, Any], **changes: Any) -> dict[str, Any]:
        return {
            "schema": 2,
            "course": {"name": "Introduction to Deep Learning", "term": "2026w"},
            "generated_at": "2026-12-16T14:57:12Z",
            "scorer_version": "1",
            "exercises": copy.deepcopy(list(exercises)),
        } | changes

    return make


@pytest.fixture
def class_of_twelve(make_exercise: Any, make_scores: Any) -> dict[str, Any]:
    """Eight passing (two of them equal), one a single image under the mark, three clearly under."""
    return make_scores(make_exercise([_entry(100 + n, correct) for n, correct in enumerate(COUNTS)]))


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """save(scores, name="scores.json") writes the file and returns its path."""

    def write(scores: Any, name: str = "scores.json") -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(scores), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium; absent means skipped, in CI it means failed."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        found = None
    if found is None:
        reason = "needs the playwright package and a chromium on PATH"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=list(CHROMIUM_FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def everything(make_exercise: Any, make_scores: Any) -> dict[str, Any]:
    """All that a page can show: a lab with before and after on stand-in data, split, before the deadline; a pareto plot;
    baselines; an unsafe score; somebody who opted out; failures; a board nobody is on; a hostile title.
    """
    lab = []
    for number, correct in enumerate((4_950, 4_940, 4_900, 4_700, 4_400, 4_310, 4_309, 2_000)):
        before = {"correct": correct - 60, "gained": 90, "lost": 30}
        lab.append(_entry(200 + number, correct, 5_000, before=before, parameters=10 ** (4 + number % 3) + number))
    lab[2]["sandboxed"] = False
    lab[3]["user"] = None
    pairs = {1: (30, 20), 2: (80, 30), 3: (220, 20), 4: (320, 20), 5: (100, 10), 6: (41, 40), 7: (2_400, 90)}
    for at, pair in pairs.items():
        lab[at]["against_leader"] = list(pair)
    baseline = {"total": 5_000, "parameters": 39_760, "model_bytes": 160_000, "sandboxed": True}
    first = make_exercise(
        lab,
        id="06_hyperopt",
        title="Hyperopt on MNIST",
        pass_percent=90,
        phase="public",
        rank_model="tuned.onnx",
        before_model="baseline.onnx",
        pareto=True,
        baselines=[baseline | {"name": "linear", "correct": 4_100}, baseline | {"name": "reference", "correct": 4_905}],
    )
    first["hidden_set"] |= {"source": "mnist", "standin": True, "split": True}
    first["histories"]["u0200"] = [
        _attempt("2026-12-01", None, "refused", code="late"),
        _attempt("2026-12-02", 4_800),
        _attempt("2026-12-03", 4_800, "failed", code="not_onnx"),
        _attempt("2026-12-04", 4_800, moved=False),
        _attempt("2026-12-05", 4_950, counts=True),
        _attempt("2026-12-06", 4_950, "waiting"),
    ]
    first["histories"]["u0999"] = [_attempt("2026-12-02", None, "failed", code="timeout")]
    second = make_exercise([_entry(100 + n, correct) for n, correct in enumerate(COUNTS)])
    long_title = f"{'Donaudampfschifffahrts' * 4} <script>document.title='pwned'</script>"
    return make_scores(second, first, make_exercise([], id="07_next", title=long_title))
