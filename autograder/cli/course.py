"""Verbs that make the course: release, new, check, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autograder.cli.options import (
    COURSE,
    COURSE_DIR,
    CourseDir,
    Manifest,
    app,
    console,
    say,
)
from autograder.errors import CourseError


@app.command("release")
def release_verb(
    exercise: Annotated[str | None, typer.Argument(help="Id of the exercise, for example 04_grid_search.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Release every exercise of the manifest.")] = False,
    exercises: Annotated[Path, typer.Option("--exercises", help="Folder for the student notebooks.")] = Path(
        "exercises"
    ),
    course: Manifest = COURSE,
    course_dir: CourseDir = COURSE_DIR,
) -> None:
    """Strip the solutions and write the student notebook, the package snapshot and the weekly bundle."""
    from autograder.course.manifest import load
    from autograder.course.release import release

    if every == (exercise is not None):
        raise CourseError("Missing argument 'EXERCISE': name one exercise, or --all alone for every one")
    loaded = load(course)
    for one in loaded.ids if every else [exercise or ""]:
        report = release(loaded, one, course_dir, exercises)
        changed = "new" if report.changed else "unchanged"
        say(f"{report.exercise}: {report.tasks} tasks, {report.points} points, {changed}")
        say(f"notebook {report.notebook}\nbundle {report.bundle}")


@app.command("new")
def new_verb(
    exercise: Annotated[str, typer.Argument(help="Id of the new exercise, for example 09_attention.")],
    title: Annotated[str, typer.Argument(help="Its title.")],
    course: Manifest = COURSE,
) -> None:
    """Write the skeleton of an exercise: notebook source, checks, catalogues and manifest entry; overwrites nothing."""
    from autograder.course.manifest import load
    from autograder.course.new import new

    created = new(load(course), exercise, title)
    say("\n".join(created.files))
    say(f"Next: python -m autograder release {exercise}, then python -m autograder check {exercise}")


@app.command("check")
def check_verb(
    exercise: Annotated[str | None, typer.Argument(help="Only this exercise, by id or number.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out what executes notebooks.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Exercises side by side.")] = 2,
    course: Manifest = COURSE,
) -> None:
    """The gate: sources, release, checks and notebooks of every exercise agree; exit code 1 when one does not."""
    from autograder.course.gate import check_course
    from autograder.course.manifest import load

    if check_course(load(course), exercise, console(), quick=quick, jobs=jobs):
        raise typer.Exit(1)


@app.command("demo")
def demo_verb(
    data: Annotated[
        str, typer.Option("--data", help="stand-in or cifar10 (needs DATASETS_DIR or a download).")
    ] = "stand-in",
    work: Annotated[Path, typer.Option("--work", help="Folder for everything the demo makes.")] = Path(".demo"),
) -> None:
    """Run the whole course once with a made-up class of twelve."""
    from autograder.demo import run

    run(data, work)
