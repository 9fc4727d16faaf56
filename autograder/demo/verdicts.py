"""Compare what a student of the demo got with what the design says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Verdict:
    """One row of the demo's table; `problems` lists how it differs from the design and is empty when it does not."""

    student: str
    story: str
    points: str
    accuracy: str
    state: str
    reason: str
    problems: tuple[str, ...]


def judge(student: Mapping[str, Any], row: Mapping[str, str]) -> Verdict:
    """Judge one student.

    Args:
        student: `student_id`, `story` and `expected` with any of points, state, code, flag, passed.
        row: the student's row of grades.csv.
    """
    expected, problems = student["expected"], []
    state = {"published": "SCORED", "scored": "SCORED"}.get(row["state"], row["state"])

    def compare(what: str, want: object, got: object) -> None:
        if want != got:
            problems.append(f"{what}: expected {want}, got {got}")

    compare("state", expected["state"], state)
    if "points" in expected:
        compare("points", f"{expected['points']:g}", row["notebook_points"] or "none")
    if "code" in expected:
        compare("code", expected["code"], row["code"])
    if "flag" in expected and expected["flag"] not in row["flags"].split():
        problems.append(f"flags: expected {expected['flag']}, got {row['flags'] or 'none'}")
    if "passed" in expected:
        compare("passed", "yes" if expected["passed"] else "no", row["passed"] or "none")
    if row["correct"]:
        compare("sandboxed", "yes", row["sandboxed"])

    accuracy, shown = "", state
    if row["correct"]:
        accuracy = f"{100 * int(row['correct']) / int(row['total']):.2f} %"
        shown = f"{state}, {'passed' if row['passed'] == 'yes' else 'not passed'}"
    elif row["code"]:
        shown = f"{state}({row['code']})"
    reasons = [row["detail"], row["notebook_detail"], f"flag: {row['flags']}" if row["flags"] else ""]
    points = f"{row['notebook_points']}/{row['notebook_max']}" if row["notebook_points"] else "-"
    reason = "; ".join(filter(None, reasons))
    return Verdict(student["student_id"], student["story"], points, accuracy, shown, reason, tuple(problems))
