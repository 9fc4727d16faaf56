"""The `scores.json` contract, schema version 1, and the only reader of it.

Strict on purpose: unknown fields, wrong types, NaN, impossible counts and doubtful ids are refused with one
line that names the place, because a page built from a half-understood file is worse than yesterday's page.
README.md documents every field.
"""

import json
import re
from contextlib import suppress
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn
from unicodedata import category

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

SCHEMA = 1
MAX_COUNT = 10**12  # far above any real count, far below where float arithmetic on counts loses digits
ISO_ZONED = re.compile(r"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)")
ISO_DAY = re.compile(r"2\d{3}-\d\d-\d\d")
JOINERS = "\u200c\u200d"  # Cf, but needed to spell Persian and many emoji; they change no direction
LINE_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


class LeaderboardError(Exception):
    """Bad input or an output folder that cannot be used; `str()` is one line for people."""


def plain_line(text: str) -> str:
    """`text` as one line; control, bidi-override, invisible and non-characters become a visible U+FFFD."""

    def harmless(char: str) -> str:
        point = ord(char)
        nonchar = point & 0xFFFE == 0xFFFE or 0xFDD0 <= point <= 0xFDEF
        bad = nonchar or (category(char) in LINE_CATEGORIES and char not in JOINERS)
        return "\ufffd" if bad else char

    line = " ".join("".join(harmless(char) for char in text).split())
    if not line:
        raise ValueError("expected some text, got only spaces")
    return line


def _zoned(value: object) -> datetime:
    if isinstance(value, str) and ISO_ZONED.fullmatch(value):
        with suppress(ValueError):  # month 13
            return datetime.fromisoformat(value)
    raise ValueError(f"expected a time with a zone like 2026-12-16T15:59:59+01:00, got {_shown(value)}")


def _utc(value: object) -> datetime:
    moment = _zoned(value)
    if moment.utcoffset() != timedelta(0):
        raise ValueError(f"expected a UTC time that ends in Z, got {_shown(value)}")
    return moment


def _day(value: object) -> date:
    if isinstance(value, str) and ISO_DAY.fullmatch(value):
        with suppress(ValueError):  # 30 February
            return date.fromisoformat(value)
    raise ValueError(f"expected a day like 2026-12-01 without a time, got {_shown(value)}")


Line = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(plain_line)]
Token = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
UserId = Annotated[str, Field(pattern=r"^[a-z][0-9]{4,6}$")]
ExerciseId = Annotated[str, Field(pattern=r"^[0-9]{2}_[a-z][a-z0-9_]{0,39}$")]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Positive = Annotated[int, Field(ge=1, le=MAX_COUNT)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Course(_Strict):
    name: Line
    term: Line


class HiddenSet(_Strict):
    """Which hidden set the counts belong to. `standin`: procedural images instead of the real `source`."""

    version: Token
    size: Positive
    source: Token
    standin: bool


class Entry(_Strict):
    """A pseudonym's best valid submission. `received_order` breaks ties; `flags` are never published."""

    user: UserId
    correct: Count
    total: Positive
    submissions: Positive
    received_day: Annotated[date, BeforeValidator(_day)]
    received_order: Count
    parameters: Count
    model_bytes: Count
    sandboxed: bool
    flags: tuple[Token, ...] = Field(strict=False)

    @model_validator(mode="after")
    def _counts_fit(self) -> "Entry":
        if self.correct > self.total:
            raise ValueError(f"expected correct <= total, got {self.correct} of {self.total} for {self.user}")
        return self


class Exercise(_Strict):
    """One board. `hidden_set` is null only while nobody has an entry (the set is not built yet)."""

    id: ExerciseId
    title: Line
    due: Annotated[datetime, BeforeValidator(_zoned)]
    pass_percent: Annotated[int, Field(ge=0, le=100)]
    hidden_set: HiddenSet | None
    entries: tuple[Entry, ...] = Field(strict=False)

    @model_validator(mode="after")
    def _one_row_per_user_on_one_set(self) -> "Exercise":
        seen: set[str] = set()
        for entry in self.entries:
            if entry.user in seen:
                raise ValueError(f"expected one entry per user, got user {entry.user} twice")
            seen.add(entry.user)
            if self.hidden_set is None:
                raise ValueError(f"expected a hidden_set with entries, got null and user {entry.user}")
            if entry.total != self.hidden_set.size:
                size = self.hidden_set.size
                raise ValueError(
                    f"expected total {size} (the hidden set's size), got {entry.total} for user {entry.user}"
                )
        return self


class Scores(_Strict):
    """A whole `scores.json`. `generated_at` is the time of the newest result, null when there is none."""

    schema_version: Literal[1] = Field(alias="schema")
    course: Course
    generated_at: Annotated[datetime, BeforeValidator(_utc)] | None
    scorer_version: Token
    exercises: tuple[Exercise, ...] = Field(strict=False)

    @model_validator(mode="after")
    def _exercises_are_distinct(self) -> "Scores":
        ids = [exercise.id for exercise in self.exercises]
        for exercise_id in ids:
            if ids.count(exercise_id) > 1:
                raise ValueError(f"expected each exercise once, got {exercise_id} twice")
        return self


def parse(raw: bytes, where: str = "scores.json") -> Scores:
    """Checked scores from the bytes of a `scores.json`; `where` names the file in errors.

    Raises: LeaderboardError with one line: place, expected, got, what to do.
    """

    def fail(problem: str) -> NoReturn:
        raise LeaderboardError(
            f"{_shown(where, quote=False)}: {problem}; export it again (fields: leaderboard/README.md)"
        )

    def refuse_constant(name: str) -> NoReturn:
        fail(f"expected finite numbers, got {name}")

    def object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = dict(pairs)
        if len(keys) != len(pairs):
            names = [key for key, _ in pairs]
            repeated = next(name for name in names if names.count(name) > 1)
            fail(f"expected each key once in an object, got {_shown(repeated)} twice")
        return keys

    try:
        text = raw.decode("utf-8")
        data = json.loads(text, parse_constant=refuse_constant, object_pairs_hook=object_without_repeats)
    except UnicodeDecodeError as error:
        fail(f"expected UTF-8 text, got an invalid byte at position {error.start}")
    except json.JSONDecodeError as error:
        fail(f"expected JSON, got a syntax error at line {error.lineno} column {error.colno} ({error.msg})")
    except (ValueError, RecursionError):
        fail("expected JSON with numbers and nesting of sane size, got something larger")

    if not isinstance(data, dict):
        fail(f"expected a JSON object, got {type(data).__name__}")
    version = data.get("schema")
    if type(version) is not int or version != SCHEMA:
        fail(f"expected schema {SCHEMA}, got {_shown(version)}")
    try:
        return Scores.model_validate(data)
    except ValidationError as error:
        fail(_first_problem(error))


def load(path: Path) -> tuple[Scores, bytes]:
    """The checked scores in `path` and the exact bytes they came from (for the published sha256).

    Raises: LeaderboardError.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        shown = _shown(str(path), quote=False)
        reason = error.strerror or type(error).__name__
        problem = f"expected a readable scores file, got {shown} ({reason}); check the path"
        raise LeaderboardError(problem) from error
    return parse(raw, str(path)), raw


def _first_problem(error: ValidationError) -> str:
    problems = error.errors(include_url=False)
    first = problems[0]
    place = ""
    for step in first["loc"]:
        place += f"[{step}]" if isinstance(step, int) else f".{_shown(step, quote=False)}"
    place = place.removeprefix(".") or "the file"
    kind = first["type"]
    if kind == "missing":
        text = "expected this field, got nothing"
    elif kind == "extra_forbidden":
        text = f"expected no such field in schema {SCHEMA}, got one"
    elif kind == "value_error":
        text = str(first["ctx"]["error"])
    else:
        rule = first["msg"].replace("Input should", "expected to").replace("String should", "expected to")
        text = f"{rule}, got {_shown(first['input'])}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{place}: {text}{more}"


def _shown(value: object, *, quote: bool = True) -> str:
    """`value` for an error line: short, and ASCII so that no file content can steer the terminal."""
    text = ascii(value)
    if isinstance(value, str) and not quote:
        text = text[1:-1]
    return text if len(text) <= 120 else f"{text[:117]}..."
