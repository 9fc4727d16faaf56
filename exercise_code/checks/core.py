"""The machinery of checks: a table of tasks, three outcomes, and messages that tell where to look but not the answer."""

import difflib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

# Each module has a dict CHECKS, task id -> Check.
MODULES = ("exercise_code.checks.exercise_04",)


class CheckFailed(AssertionError):
    """A task's code is wrong.  Jupyter shows the message alone, without the check's own traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class NotAttempted(CheckFailed):
    """A task's code is still the stub."""


@dataclass(frozen=True)
class Check:
    """How one task is checked.

    verify gets the student's object and a generator, and raises CheckFailed when something is wrong; home is where the
    package keeps its own version ("module:name"), or None for tasks that live in the notebook only; hints go from a nudge
    to almost the whole way.
    """

    exercise: str
    verify: Callable[[Any, np.random.Generator], None]
    hints: tuple[str, str, str]
    home: str | None = None


def table() -> dict[str, Check]:
    """Return every known check by task id."""
    checks: dict[str, Check] = {}
    for module in MODULES:
        checks |= importlib.import_module(module).CHECKS
    return checks


def _find(task: str) -> Check:
    checks = table()
    if task not in checks:
        near = difflib.get_close_matches(task, checks, n=1)
        raise ValueError(
            f"there is no task {task!r}" + (f": did you mean {near[0]!r}?" if near else f" among {', '.join(checks)}")
        )
    return checks[task]


def check(task: str, answer: Any, *, seed: int = 0, plug_in: bool = True) -> None:
    """Check a student's answer; print one line when it is right.

    A right answer also takes the place of the package's own version, so that the rest of the notebook runs on it.

    Args:
        task: id of the task.
        answer: the function or class of the task.
        seed: of the inputs drawn; another seed is another set of cases with the same oracle.
        plug_in: False leaves the package as it is.

    Raises:
        NotAttempted: the stub is still there.
        CheckFailed: wrong; the message says what was expected, what came, and where to look.
        ValueError: no such task.
    """
    found = _find(task)
    try:
        found.verify(answer, np.random.default_rng(seed))
    except NotImplementedError as error:
        raise NotAttempted(f"{task}: not attempted yet ({error})") from None
    except CheckFailed as error:
        raise CheckFailed(f'{task}: {error} Stuck? hint("{task}")') from None
    except Exception as error:
        where = _place(error)
        raise CheckFailed(
            f"{task}: your code stopped with {type(error).__name__}: {error}{where}. Run it by itself in a new cell to "
            f'see the whole traceback. Stuck? hint("{task}")'
        ) from None
    if plug_in and found.home:
        module, name = found.home.split(":")
        setattr(importlib.import_module(module), name, answer)
    print(f"{task}: right.")


def _place(error: Exception) -> str:
    """Say in which line of the student's cell an error arose, if it arose there."""
    place, traceback = "", error.__traceback__
    while traceback is not None:
        if (
            "ipykernel" in traceback.tb_frame.f_code.co_filename
            or traceback.tb_frame.f_globals.get("__name__") == "__main__"
        ):
            place = f" (line {traceback.tb_lineno} of your cell)"
        traceback = traceback.tb_next
    return place


def hint(task: str, level: int = 1) -> None:
    """Print hint 1, 2 or 3 of a task; each says more than the one before.

    Raises:
        ValueError: no such task or level.
    """
    hints = _find(task).hints
    if level not in range(1, len(hints) + 1):
        raise ValueError(f"expected a level from 1 to {len(hints)}, got {level!r}")
    more = f'  More: hint("{task}", {level + 1})' if level < len(hints) else ""
    print(f"{task}, hint {level} of {len(hints)}: {hints[level - 1]}{more}".rstrip())


def expect(condition: Any, what: str, expected: Any, got: Any, look: str) -> None:
    """Raise CheckFailed unless condition is truly `True` (an object that merely claims to equal it is not)."""
    if not (condition is True or (isinstance(condition, np.bool_) and bool(condition))):
        raise CheckFailed(f"{what}: expected {_short(expected)}, got {_short(got)}. {look}")


def expect_close(
    what: str, got: Any, expected: ArrayLike, look: str, *, rtol: float = 1e-6, atol: float = 1e-8
) -> None:
    """Raise CheckFailed unless got is an array or number of expected's shape whose every entry is close."""
    want = np.asarray(expected)
    if not isinstance(got, np.ndarray | np.generic | int | float):
        raise CheckFailed(f"{what}: expected {_kind(want)}, got {type(got).__name__}. {look}")
    have = np.asarray(got)
    if have.shape != want.shape:
        raise CheckFailed(f"{what}: expected shape {want.shape}, got shape {have.shape}. {look}")
    wrong = ~np.isclose(have.astype(np.float64), want.astype(np.float64), rtol=rtol, atol=atol, equal_nan=True)
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        place = f" at index {at}" if at else ""
        raise CheckFailed(
            f"{what}: expected {want[at]:.6g}{place}, got {have[at]:.6g} "
            f"({int(wrong.sum())} of {wrong.size} entries differ). {look}"
        )


def _kind(want: np.ndarray) -> str:
    return f"an array of shape {want.shape}" if want.shape else "a number"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 160 else text[:157] + "..."


def same_config(got: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    """Whether two plain configurations have equal names, types and values."""
    return type(got) is dict and list(got.items()) == list(expected.items())
