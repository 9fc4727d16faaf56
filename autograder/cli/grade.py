"""Verbs from hand-in to result: collect, hidden-set, autograde, score, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autograder.cli.options import (
    COURSE,
    COURSE_DIR,
    Address,
    CourseDir,
    EngineName,
    Exercise,
    Manifest,
    Quiet,
    Roster,
    Unsafe,
    Workers,
    app,
    hidden_set_app,
    say,
    table,
    tally,
)
from autograder.errors import CourseError, SubmissionError


@app.command("collect")
def collect_verb(
    exercise: Exercise,
    drop: Annotated[
        Path,
        typer.Option(
            "--drop", help="Folder with STUDENT.zip or STUDENT/submission.zip, or a platform's bulk download."
        ),
    ],
    roster: Roster,
    source: Annotated[
        str, typer.Option("--format", help="folder, moodle, canvas, nbgrader, or auto: what the names look like.")
    ] = "auto",
    received_at: Annotated[
        str | None,
        typer.Option("--received-at", help="When hand-ins without a time in received.csv arrived; ISO, with a zone."),
    ] = None,
    course: Manifest = COURSE,
    course_dir: CourseDir = COURSE_DIR,
    quiet: Quiet = False,
) -> None:
    """Take a folder of hand-ins into the record; what is refused is recorded with its reason."""
    from autograder.course.manifest import load
    from autograder.intake.collect import collect
    from autograder.intake.deadlines import zoned

    moment = zoned(received_at) if received_at else None
    if received_at and moment is None:
        raise SubmissionError(f"--received-at {received_at!r}: expected a time like 2026-12-16T15:59:59+01:00")
    report = collect(load(course), exercise, drop, roster, course_dir, moment, source=source, progress=not quiet)
    rows = [(row.file, row.student, row.outcome, f"{row.code} {row.detail}".strip()) for row in report.rows]
    table(("file", "student", "outcome", "reason"), rows)
    say(tally(report.counts()) or "the drop is empty")


@hidden_set_app.command("build")
def hidden_set_verb(
    exercise: Exercise,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", help="Data set of the registry; the manifest's when nothing is given."),
    ] = None,
    folder: Annotated[Path | None, typer.Option("--folder", help="Folder with one folder of images per class.")] = None,
    stand_in: Annotated[
        str | None,
        typer.Option("--stand-in", help="Draw a procedural stand-in of this data set, needs no download."),
    ] = None,
    part: Annotated[str, typer.Option("--part", help="Part of the data set or folder.")] = "test",
    size: Annotated[int | None, typer.Option("--size", help="Take this many images at random.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a different set; earlier scores go out of date.")
    ] = False,
    course: Manifest = COURSE,
    course_dir: CourseDir = COURSE_DIR,
) -> None:
    """Build an exercise's hidden test set in a secret order."""
    from autograder.course.manifest import load
    from autograder.grading import hidden_set

    found = load(course).exercise(exercise)
    if not (dataset or folder or stand_in) and found.hidden_set:
        dataset = found.hidden_set.dataset
    sides = {model.input[1:] for model in found.models if model.input[1] == model.input[2]}
    meta = hidden_set.build(
        course_dir,
        found.id,
        dataset=dataset,
        part=part,
        folder=folder,
        stand_in=stand_in,
        n=size,
        side=sides.pop()[0] if len(sides) == 1 else None,
        replace=replace,
    )
    source = f"{meta['source']}{' (a stand-in)' if meta['standin'] else ''}"
    say(f"{found.id}: version {meta['version']}, {meta['size']:,} images of {source}")


@app.command("autograde")
def autograde_verb(
    exercise: Exercise,
    unsafe: Unsafe = False,
    engine: EngineName = "local",
    workers: Workers = None,
    address: Address = None,
    course: Manifest = COURSE,
    course_dir: CourseDir = COURSE_DIR,
    quiet: Quiet = False,
) -> None:
    """Run every collected notebook in the sandbox and record its points."""
    from autograder.course.manifest import load
    from autograder.grading.batch import Engine
    from autograder.grading.notebooks import autograde

    where = Engine(engine, workers, address)
    report = autograde(load(course), exercise, course_dir, unsafe=unsafe, progress=not quiet, engine=where)
    rows = [(student, f"{points:g}/{most:g}", "") for student, points, most in report.graded]
    rows += [(student, "FAILED", f"{code} {detail}".strip()) for student, code, detail in report.failed]
    table(("student", "points", "reason"), rows)
    say(f"{len(report.graded)} graded, {len(report.failed)} failed, {report.kept} graded before")


@app.command("feedback")
def feedback_verb(
    exercise: Exercise,
    course: Manifest = COURSE,
    course_dir: CourseDir = COURSE_DIR,
) -> None:
    """Write for each student a page and a short text: which task failed and why, never a hidden test."""
    from autograder.course.manifest import load
    from autograder.grading.feedback import feedback

    report = feedback(load(course), exercise, course_dir)
    if report.without:
        say(f"nothing graded, so no feedback: {', '.join(report.without)}")
    say(f"{len(report.students)} students, {report.changed} files changed\nfolder {course_dir / 'feedback'}")


@app.command("score")
def score_verb(
    exercise: Exercise,
    unsafe: Unsafe = False,
    engine: EngineName = "local",
    workers: Workers = None,
    address: Address = None,
    course: Manifest = COURSE,
    course_dir: CourseDir = COURSE_DIR,
    quiet: Quiet = False,
) -> None:
    """Score every collected model on the hidden set; a rerun does only what is missing."""
    from autograder.course.manifest import load
    from autograder.grading.batch import Engine
    from autograder.grading.regrade import outdated
    from autograder.grading.score import score

    where, found = Engine(engine, workers, address), load(course)
    if count := outdated(found.exercise(exercise), course_dir):
        raise CourseError(
            f"{count} submissions of {exercise} were judged on another hidden set or by another scorer; "
            f"python -m autograder regrade {exercise} shows what changes, and with --yes commits it"
        )
    report = score(found, exercise, course_dir, unsafe=unsafe, progress=not quiet, engine=where)
    if report.note:
        say(report.note)
        return
    rows = [(who, f"{100 * correct / total:.2f} %", f"{correct} of {total}") for who, correct, total in report.scored]
    rows += [(who, "FAILED", f"{code} {detail}".strip()) for who, code, detail in report.failed]
    table(("student", "accuracy", "reason"), rows)
    for name, correct, total in report.baselines:
        say(f"baseline {name}: {100 * correct / total:.2f} %, {correct} of {total}")
    say(f"{len(report.scored)} scored, {len(report.failed)} failed")


@app.command("doctor")
def doctor_verb() -> None:
    """Try what this machine can enforce against submitted code; exit code 2 when grading is not safe here."""
    from autograder.grading import doctor

    findings = []
    for finding in doctor.examine():
        findings.append(finding)
        remedy = f"; to get it: {finding.remedy}" if finding.remedy else ""
        say(f"{finding.state:6}  {finding.name:20}  {finding.text}{remedy}")
    safe = doctor.is_safe(findings)
    say("safe grading is possible here" if safe else "do NOT grade here: submitted code could get out or get away")
    if not safe:
        raise typer.Exit(2)
