"""What the verbs share: their app, options of the same meaning everywhere, and how they print."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

app = typer.Typer(
    help="Release, collect, grade, score and publish a course. Student code runs only in the sandbox.",
    add_completion=False,
    no_args_is_help=False,
    rich_markup_mode=None,
)
hidden_set_app = typer.Typer(help="The hidden test sets that models are scored on.", rich_markup_mode=None)
app.add_typer(hidden_set_app, name="hidden-set")

Exercise = Annotated[str, typer.Argument(help="Id of the exercise, for example 04_grid_search.")]
Manifest = Annotated[Path, typer.Option("--course", help="The course's manifest.")]
CourseDir = Annotated[
    Path,
    typer.Option("--course-dir", envvar="COURSE_DIR", help="Folder with the term's state; never publish it."),
]
Roster = Annotated[Path, typer.Option("--roster", help="CSV file with the columns student_id and name.")]
Unsafe = Annotated[
    bool,
    typer.Option("--unsafe", help="Run student code WITHOUT any isolation; every result says so for good."),
]
EngineName = Annotated[
    str, typer.Option("--engine", help="Where submissions run: serial, local (several at a time) or dask.")
]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="How many at a time; one per core.")]
Address = Annotated[
    str | None, typer.Option("--address", help="Of a dask scheduler, tcp://host:8786; own workers when not given.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]

COURSE = Path("solutions/course.toml")
COURSE_DIR = Path(".course")


def console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 160)


def say(text: str) -> None:
    print(text)


def table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    if rows:
        shown = Table(*columns)
        for row in rows:
            shown.add_row(*map(Text, row))
        console().print(shown)


def tally(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
