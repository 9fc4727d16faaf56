"""The whole course loop by its one command, on the stand-in and, where it is, on the real CIFAR-10."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from autograder.demo.stage import without_held_out
from autograder.demo.verdicts import judge
from autograder.errors import CourseError

ROOT = Path(__file__).resolve().parents[2]

REAL = pytest.param(
    "cifar10",
    marks=[
        pytest.mark.real_data,
        pytest.mark.skipif(
            not (Path(os.environ.get("DATASETS_DIR", "")) / "cifar-10-batches-bin" / "data_batch_1.bin").is_file(),
            reason="needs the real CIFAR-10: set DATASETS_DIR to a folder with cifar-10-batches-bin/",
        ),
    ],
)


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("data", ["stand-in", REAL])
def test_the_demo_ends_well_with_twelve_verdicts_as_designed(data, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "autograder", "demo", "--data", data, "--work", str(tmp_path / "demo")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "12 of 12 verdicts as designed" in done.stdout
    with (tmp_path / "demo" / "grades.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file) if row["exercise"] == "04_grid_search"}
    assert len(rows) == 12
    strong = int(rows["a01"]["correct"]) / int(rows["a01"]["total"])
    assert strong >= (0.55 if data == "cifar10" else 0.48)
    page = (tmp_path / "demo" / "site" / "04_grid_search.html").read_text(encoding="utf-8")
    assert page.count('id="u') == 9
    assert ("Stand-in data" in page) == (data == "stand-in")
    for row in rows.values():
        assert row["name"] not in page and f">{row['student_id']}<" not in page


def _row(**values):
    row = dict.fromkeys(("correct", "total", "passed", "code", "detail", "notebook_detail", "flags", "sandboxed"), "")
    return row | {"state": "published", "notebook_points": "15", "notebook_max": "15"} | values


def test_a_verdict_that_is_as_designed_has_no_problem():
    student = {"student_id": "a", "story": "", "expected": {"state": "SCORED", "points": 15, "passed": True}}

    verdict = judge(student, _row(correct="60", total="100", passed="yes", sandboxed="yes"))

    assert verdict.problems == ()
    assert (verdict.points, verdict.accuracy, verdict.state) == ("15/15", "60.00 %", "SCORED, passed")


@pytest.mark.parametrize(
    ("expected", "row", "problem"),
    [
        ({"state": "SCORED"}, {"state": "FAILED", "code": "timeout"}, "state: expected SCORED, got FAILED"),
        ({"state": "SCORED", "points": 13}, {}, "points: expected 13, got 15"),
        ({"state": "FAILED", "code": "not_onnx"}, {"state": "FAILED", "code": "corrupt"}, "code: expected not_onnx"),
        ({"state": "SCORED", "flag": "duplicate"}, {}, "flags: expected duplicate, got none"),
        ({"state": "SCORED", "passed": True}, {"correct": "1", "total": "9", "passed": "no"}, "passed: expected yes"),
        ({"state": "SCORED"}, {"correct": "1", "total": "9", "sandboxed": "no"}, "sandboxed: expected yes, got no"),
    ],
)
def test_a_verdict_that_differs_from_the_design_is_a_problem(expected, row, problem):
    verdict = judge({"student_id": "a", "story": "", "expected": expected}, _row(**row))

    assert any(problem in text for text in verdict.problems)


def test_the_students_registry_does_not_know_the_held_out_images():
    registry = (ROOT / "datasets" / "registry.toml").read_text(encoding="utf-8")

    text = without_held_out(registry)

    assert "data_batch_5.bin" not in text
    assert "train = 40000" in text
    assert text.count("[[cifar10.file]]") == registry.count("[[cifar10.file]]") - 1


def test_a_registry_of_another_form_is_refused_instead_of_leaking_the_hidden_images():
    with pytest.raises(CourseError, match="no longer lists"):
        without_held_out("[cifar10]\n")


def test_a_folder_that_is_not_the_demos_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")

    done = subprocess.run(
        [sys.executable, "-m", "autograder", "demo", "--work", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr.startswith("error: demo: ") and len(done.stderr.splitlines()) == 1
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
