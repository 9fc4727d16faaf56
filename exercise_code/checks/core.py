"""The machinery of checks: a table of tasks, three outcomes, and messages that tell where to look but not the answer."""

import contextlib
import difflib
import importlib
import pkgutil
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_HERE = Path(__file__).resolve().parent
_STUB = re.compile(r"([0-9]{2}_[a-z0-9_]+, task .*)?", re.DOTALL)  # what the line says that a task cell starts with
_MESSAGE = 480  # characters of a message before it is cut


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


def _tables() -> Iterator[dict[str, Check]]:
    """Import exercise_01, exercise_02, ... one after the other: a later exercise never disturbs an earlier one."""
    for name in sorted(found.name for found in pkgutil.iter_modules([str(_HERE)])):
        if re.fullmatch(r"exercise_[0-9]{2}", name):
            yield importlib.import_module(f"{__package__}.{name}").CHECKS


def table() -> dict[str, Check]:
    """Return every known check by task id: the dict CHECKS of each module exercise_NN of this package.

    Raises:
        ValueError: two exercises have a task of the same name.
    """
    checks: dict[str, Check] = {}
    for one in _tables():
        for task, found in one.items():
            if task in checks:
                raise ValueError(f"task {task!r} is in {checks[task].exercise} and in {found.exercise}: rename one")
            checks[task] = found
    return checks


def _find(task: str) -> Check:
    for one in _tables():
        if task in one:
            return one[task]
    checks = table()
    near = difflib.get_close_matches(str(task), checks, n=1)
    raise ValueError(
        f"there is no task {task!r}" + (f": did you mean {near[0]!r}?" if near else f" among {', '.join(checks)}")
    )


def check(task: str, answer: Any, *, seed: int = 0, plug_in: bool = True) -> None:
    """Check a student's answer; print one line when it is right.

    A right answer also takes the place of the package's own version, so that the rest of the notebook runs on it.
    Warnings, prints and progress bars of the answer change nothing.

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
    stuck = f'Stuck? hint("{task}")'
    try:
        # nbgrader takes anything on stderr for a failure, a progress bar too
        with warnings.catch_warnings(), np.errstate(all="ignore"), contextlib.redirect_stderr(sys.stdout):
            warnings.simplefilter("ignore")  # checks try extreme inputs on purpose
            found.verify(answer, np.random.default_rng(seed))
    except CheckFailed as error:
        raise CheckFailed(f"{task}: {_cut(str(error), _MESSAGE)} {stuck}") from None
    except (Exception, SystemExit, GeneratorExit) as error:  # Ctrl-C still stops the cell
        if isinstance(error, NotImplementedError) and _STUB.fullmatch(_text_of(error)):
            raise NotAttempted(f"{task}: not attempted yet ({_text_of(error) or 'the stub is still there'})") from None
        raise CheckFailed(f"{task}: {_cut(_what_happened(error), _MESSAGE)} {stuck}") from None
    if plug_in and found.home:
        module, name = found.home.split(":")
        setattr(importlib.import_module(module), name, answer)
    print(f"{task}: right.")


def _what_happened(error: BaseException) -> str:
    """Say what stopped the answer, and whether inside the student's code or where the check called or read it."""
    if isinstance(error, SystemExit | GeneratorExit):
        return f"your code ended with {type(error).__name__}: take exit() or quit() out of it and return a value."
    if isinstance(error, RecursionError):
        return "your code calls itself without end (RecursionError): look for the call that should have stopped."
    text = f"{type(error).__name__}: {_text_of(error)}".rstrip(": ")
    place, reached = "", False
    traceback = error.__traceback__
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if "ipykernel" in file or traceback.tb_frame.f_globals.get("__name__") == "__main__":
            place = f" (line {traceback.tb_lineno} of your cell)"
        reached = reached or not (Path(file).parent == _HERE or "site-packages" in file)
        traceback = traceback.tb_next
    if reached:
        return f"your code stopped with {text}{place}. Run it by itself in a new cell to see the whole traceback."
    return (
        f"the check could not call your code, or not use what it returned: {text}. "
        "Keep the names and arguments that were given, and return what the description says."
    )


def _text_of(error: BaseException) -> str:
    try:
        return " ".join(str(error).split())
    except Exception:  # an exception class of the student's own whose text cannot be made
        return ""


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


def expect_close(what: str, got: Any, expected: Any, look: str, *, rtol: float = 1e-6, atol: float = 1e-8) -> None:
    """Raise CheckFailed unless got is an array or number of expected's shape whose every entry is close.

    A torch tensor is compared only when a tensor is expected; NaN equals NaN only where NaN is expected.
    """
    want, have = np.asarray(expected.detach().cpu().numpy() if _is_tensor(expected) else expected), _numbers(got)
    if have is None or _is_tensor(got) != _is_tensor(expected):
        raise CheckFailed(f"{what}: expected {_kind(want, _is_tensor(expected))}, got {_kind_of(got)}. {look}")
    if have.shape != want.shape:
        raise CheckFailed(f"{what}: expected shape {want.shape}, got shape {have.shape}. {look}")
    wrong = ~np.isclose(have.astype(np.float64), want.astype(np.float64), rtol=rtol, atol=atol, equal_nan=True)
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        place = f" at index {at}" if at else ""
        count = f" ({int(wrong.sum())} of {wrong.size} entries differ)" if at else ""
        raise CheckFailed(f"{what}: expected {want[at]:.6g}{place}, got {have[at]:.6g}{count}. {look}")


def _is_tensor(value: Any) -> bool:
    return any(kind.__module__ == "torch" and kind.__name__ == "Tensor" for kind in type(value).__mro__)


def _numbers(value: Any) -> np.ndarray | None:
    """Return an array of real numbers, or None for everything that is not one number or one array of them."""
    if _is_tensor(value):
        value = value.detach().cpu().numpy()
    elif not isinstance(value, np.ndarray | np.generic | int | float):
        return None
    array = np.asarray(value)
    return array if array.dtype.kind in "biuf" else None


def _kind(want: np.ndarray, is_tensor: bool = False) -> str:
    name = "a tensor" if is_tensor else "an array"
    return f"{name} of shape {want.shape}" if want.shape or is_tensor else "a number"


def _kind_of(got: Any) -> str:
    name = type(got).__name__
    if got is None:
        return "None (is there a return?)"
    return f"{name} of {got.dtype}" if isinstance(got, np.ndarray) else name


def _short(value: Any) -> str:
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception:  # a student's class whose repr fails
        text = f"an object of class {type(value).__name__}"
    return _cut(" ".join(text.split()), 160)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def same_config(got: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    """Whether two plain configurations have equal names, types and values."""
    return type(got) is dict and list(got.items()) == list(expected.items())
