"""Catalogues of typical mistakes and honest variants, run directly against the checks.

`tests/wrong_answers/exercise_NN.py` and `tests/right_answers/exercise_NN.py` are plain code:

    from tests.catalogue import right, wrong

    @wrong("sigmoid", "forgets the factor (1 - s)", says="backward")
    class Missing(Sigmoid): ...

    for name, formula in {...}.items():
        right("sigmoid", f"with {name}")(make(formula))

`python -m tests.catalogue NN_slug` prints the outcomes as JSON; the gate reads them, pytest runs the same entries.
"""

import argparse
import contextlib
import importlib.util
import io
import json
import re
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from exercise_code.checks import CheckFailed, NotAttempted, check
from exercise_code.checks.core import table

HERE = Path(__file__).resolve().parent
SEEDS = (0, 1)  # the visible cases, and one other draw: an entry must come out the same way in both
MESSAGE_LIMIT = 600  # characters: what a tired student still reads

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Entry:
    """One answer to a task; `says` is None for a right one, else what the message of the failed check must match."""

    task: str
    name: str
    answer: Any
    says: str | None

    @property
    def kind(self) -> str:
        return "right" if self.says is None else "wrong"


@dataclass(frozen=True)
class Outcome:
    """How an entry came out: problem is empty when as it should; message is what the student would read."""

    kind: str
    task: str
    name: str
    problem: str
    message: str
    seconds: float


_collected: list[Entry] = []


def wrong(task: str, mistake: str, *, says: str) -> Callable[[_Answer], _Answer]:
    """Enter a typical mistake; `says` is a regular expression that the message has to match (it points at the mistake)."""
    return _enter(task, mistake, says)


def right(task: str, variant: str) -> Callable[[_Answer], _Answer]:
    """Enter an honest variant: other algebra, other dtype, loops instead of arrays, ..."""
    return _enter(task, variant, None)


def _enter(task: str, name: str, says: str | None) -> Callable[[_Answer], _Answer]:
    def enter(answer: _Answer) -> _Answer:
        _collected.append(Entry(task, name, answer, says))
        return answer

    return enter


def exercises() -> list[str]:
    """List the numbers ("04") of the exercises that have a catalogue."""
    files = [*HERE.glob("wrong_answers/exercise_*.py"), *HERE.glob("right_answers/exercise_*.py")]
    return sorted({file.stem.removeprefix("exercise_") for file in files})


def load(exercise: str, root: Path = HERE) -> list[Entry]:
    """Import both catalogues of an exercise ("04" or "04_grid_search") and return their entries, wrong ones first.

    Raises:
        ValueError: two entries of a task have the same name, or a wrong one says nothing.
    """
    entries: list[Entry] = []
    for folder in ("wrong_answers", "right_answers"):
        file = root / folder / f"exercise_{exercise[:2]}.py"
        if not file.is_file():
            continue
        name = f"tests.{folder}.{file.stem}"
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses and pickles of an entry look their module up
        _collected.clear()
        spec.loader.exec_module(module)
        entries += _collected
        _collected.clear()
    seen: set[tuple[str, str, str]] = set()
    for entry in entries:
        if (key := (entry.kind, entry.task, entry.name)) in seen:
            raise ValueError(f"catalogue {exercise}: two {entry.kind} entries of {entry.task!r} named {entry.name!r}")
        if entry.says == "":
            raise ValueError(f"catalogue {exercise}: {entry.task!r}, {entry.name!r} needs says=")
        seen.add(key)
    return entries


def run_entry(entry: Entry, seeds: Sequence[int] = SEEDS) -> Outcome:
    """Hand one entry to its check, once per seed, and say whether it came out as it should."""
    start = time.perf_counter()
    problem = message = ""
    for seed in seeds:
        problem, message = _try(entry, seed)
        if problem:
            break
    return Outcome(entry.kind, entry.task, entry.name, problem, message, round(time.perf_counter() - start, 3))


def _try(entry: Entry, seed: int) -> tuple[str, str]:
    """Return what is wrong with the outcome (empty: nothing) and the message of the check."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("error")  # a check has to keep warnings away from the points
        try:
            check(entry.task, entry.answer, seed=seed, plug_in=False)
        except NotAttempted as error:
            return f"counts as not attempted (seed {seed})", str(error)
        except CheckFailed as error:
            message = str(error)
        except Exception as error:  # noqa: BLE001 -- a check that breaks is what the catalogue is there to find
            return f"the check itself broke with {type(error).__name__} (seed {seed})", str(error)
        else:
            return ("" if entry.says is None else f"passes (seed {seed})"), ""
    if entry.says is None:
        return f"fails (seed {seed})", message
    if not re.search(entry.says, message):
        return f"the message does not say {entry.says!r} (seed {seed})", message
    if len(message) > MESSAGE_LIMIT or "\n" in message:
        return f"the message is not one line of at most {MESSAGE_LIMIT} characters (seed {seed})", message
    return "", message


def run(exercise: str, seeds: Sequence[int] = SEEDS) -> list[Outcome]:
    """Run every entry of an exercise ("04" or "04_grid_search")."""
    return [run_entry(entry, seeds) for entry in load(exercise)]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the checks and outcomes of one exercise as JSON, or readable with --text; 1 when an entry came out wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.catalogue", description=__doc__.split("\n")[0])
    parser.add_argument("exercise", help="NN_slug or NN")
    parser.add_argument("--text", action="store_true", help="one line per entry instead of JSON, with the messages")
    parser.add_argument("--reruns", type=int, default=0, metavar="N", help="draw N sets of cases instead of two")
    arguments = parser.parse_args(argv)
    outcomes = run(arguments.exercise, range(arguments.reruns) if arguments.reruns else SEEDS)
    if arguments.text:
        for one in outcomes:
            print(f"{'ok ' if not one.problem else 'BAD'} {one.kind:5} {one.task}: {one.name}  {one.seconds:.2f} s")
            print(f"      {one.problem + ' -- ' if one.problem else ''}{one.message}")
    else:
        number = arguments.exercise[:2]
        tasks = {
            task: {"exercise": found.exercise, "home": found.home, "hints": list(found.hints)}
            for task, found in table().items()
            if found.exercise.startswith(f"{number}_")
        }
        json.dump({"tasks": tasks, "outcomes": [asdict(one) for one in outcomes]}, sys.stdout, indent=1)
        print()
    return int(any(one.problem for one in outcomes))


if __name__ == "__main__":
    # As __main__ this module would not be the one whose decorators the catalogues import.
    from tests.catalogue import main as imported_main

    sys.exit(imported_main())
