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
        "submissions": 1 + number % 7,
        "received_day": f"2026-12-{1 + number % 16:02d}",
        "received_order": number,
        "parameters": 12_345,
        "model_bytes": 45_678,
        "sandboxed": True,
        "flags": [],
    } | changes


@pytest.fixture
def make_entry() -> Callable[..., dict[str, Any]]:
    """entry(number, correct, total=10000, **changes): user is u<number>, received_order is number."""
    return _entry


@pytest.fixture
def make_exercise() -> Callable[..., dict[str, Any]]:
    """exercise(entries, size=10000, **changes)."""

    def make(entries: list[dict[str, Any]], size: int = 10_000, **changes: Any) -> dict[str, Any]:
        return {
            "id": "04_grid_search",
            "title": "Hyper-parameter search",
            "due": "2026-12-16T15:59:59+01:00",
            "pass_percent": 48,
            "hidden_set": {"version": "3fa1c09be27d", "size": size, "source": "cifar10", "standin": False},
            "entries": entries,
        } | changes

    return make


@pytest.fixture
def make_scores() -> Callable[..., dict[str, Any]]:
    """scores(*exercises, **changes)."""

    def make(*exercises: dict[str, Any], **changes: Any) -> dict[str, Any]:
        return {
            "schema": 1,
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
