"""Put the gate's looks together: two exercises side by side, a line as each is done, a table at the end."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from autograder.course.build import notebook_source
from autograder.course.gate import catalogue, programs, released, structure
from autograder.course.gate.findings import COURSE, QUICK, SLOW, Finding, Outcome
from autograder.course.manifest import Course, load
from autograder.course.toml_table import nearest
from autograder.errors import ManifestError


@dataclass(frozen=True)
class _Job:
    manifest: Path
    exercise: str
    quick: bool


def check_course(
    course: Course, exercise: str | None, console: Console, *, quick: bool = False, jobs: int = 2
) -> list[Finding]:
    """Check one exercise (id or number) or all of them, print as it goes, and return all findings.

    Raises:
        ManifestError: no such exercise.
    """
    started = time.monotonic()
    ids = [_resolve(course, exercise)] if exercise else list(course.ids)
    looks = QUICK if quick else (*QUICK, *SLOW)
    console.print(f"{len(ids)} exercise(s): {', '.join(looks)}")
    whole = Outcome(COURSE, list(structure.stray_folders(course)))
    outcomes: list[Outcome] = []
    in_line = sorted(ids, key=lambda one: (not _imports_torch(course, one), one))  # the longest first
    for outcome in programs.side_by_side(
        check_one, [_Job(course.path, one, quick) for one in in_line], min(jobs, len(ids))
    ):
        outcomes.append(outcome)
        found = f"{len(outcome.findings)} finding(s)" if outcome.findings else "green"
        console.print(
            f"  {len(outcomes)}/{len(ids)} {outcome.exercise}: {found}, {outcome.seconds:.0f} s", highlight=False
        )
    outcomes.sort(key=lambda one: one.exercise)
    findings = [finding for one in (whole, *outcomes) for finding in one.findings]
    _print(console, looks, outcomes, findings)
    verdict = f"{len(findings)} finding(s)" if findings else "all green"
    console.print(f"{verdict} in {time.monotonic() - started:.0f} s")
    return findings


def check_one(job: _Job) -> Outcome:
    """Take all looks at one exercise; in a process of its own, so it loads the manifest again."""
    started = time.monotonic()
    course = load(job.manifest)
    exercise = course.exercise(job.exercise)
    outcome = Outcome(exercise.id)
    outcome.findings += structure.examine(course, exercise)
    outcome.findings += released.examine(course, exercise, quick=job.quick)
    catalogue.examine(course, exercise, outcome, quick=job.quick)
    broken = any(not finding.problem.startswith("exercises/") for finding in outcome.problems("released"))
    if not job.quick and not broken:
        from autograder.course.gate import execution  # imports the grader

        with tempfile.TemporaryDirectory(prefix="gate-") as scratch:
            Path(scratch).chmod(0o755)  # the sandbox's user reads the snapshot in it
            execution.examine(course, exercise, outcome, Path(scratch))
    outcome.seconds = time.monotonic() - started
    return outcome


def _imports_torch(course: Course, exercise: str) -> bool:
    """Whether it is a lab: they take longest, the first of them, with its search, more than any other."""
    try:
        return "\nimport torch\n" in notebook_source(course, course.exercise(exercise)).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False  # `structure` says so


def _resolve(course: Course, name: str) -> str:
    hits = [exercise_id for exercise_id in course.ids if name in (exercise_id, exercise_id[:2])]
    if not hits:
        raise ManifestError(f"no exercise {name!r}{nearest(name, course.ids)}; there are {', '.join(course.ids)}")
    return hits[0]


def _print(console: Console, looks: Sequence[str], outcomes: list[Outcome], findings: list[Finding]) -> None:
    table = Table("exercise", *looks, "time")
    for one in outcomes:
        cells = []
        for look in looks:
            problems, figure = one.problems(look), one.figures.get(look, "")
            ran = figure or look in ("structure", "released") or problems
            word = f"FAILED ({len(problems)})" if problems else "ok" if ran else "not run"
            style = "red" if problems else "green" if ran else "yellow"
            cells.append(Text(" ".join(filter(None, (word, figure))), style=style))
        table.add_row(one.exercise, *cells, f"{one.seconds:.0f} s")
    console.print(table)
    for finding in findings:
        console.print(Text(f"- {finding}"), soft_wrap=True)
