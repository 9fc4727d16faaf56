"""The `scores.json` contract, schema version 2; README.md documents every field. `reading` reads files of it."""

import re
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import Annotated, Literal
from unicodedata import category

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic.dataclasses import dataclass

SCHEMA = 2
MAX_COUNT = 10**12  # far above any real count, far below where float arithmetic on counts loses digits
ISO_ZONED = re.compile(r"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)")
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
    raise ValueError(f"expected a time with a zone like 2026-12-16T15:59:59+01:00, got {shown(value)}")


def _utc(value: object) -> datetime:
    moment = _zoned(value)
    if moment.utcoffset() != timedelta(0):
        raise ValueError(f"expected a UTC time that ends in Z, got {shown(value)}")
    return moment


Line = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(plain_line)]
Token = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
UserId = Annotated[str, Field(pattern=r"^[a-z][0-9]{4,6}$")]
ExerciseId = Annotated[str, Field(pattern=r"^[0-9]{2}_[a-z][a-z0-9_]{0,39}$")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Day = Annotated[date, Field(ge=date(2000, 1, 1), lt=date(3000, 1, 1))]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Positive = Annotated[int, Field(ge=1, le=MAX_COUNT)]


STRICT = ConfigDict(strict=True, extra="forbid")


class _Strict(BaseModel):
    model_config = STRICT | ConfigDict(frozen=True)


class Course(_Strict):
    name: Line
    term: Line


class HiddenSet(_Strict):
    """Which hidden set the counts belong to. `standin`: procedural images instead of the real `source`; `split`: the
    public half (size // 2 images) counts before the deadline, the private rest after it.
    """

    version: Token
    size: Positive
    source: Token
    standin: bool
    classes: Annotated[int, Field(ge=2, le=MAX_COUNT)]
    split: bool


# A large class has tens of thousands of these: a dataclass is made in two thirds of a model's time and half its size.
@dataclass(config=STRICT, frozen=True, slots=True)
class Before:
    """The model that an entry is compared with, on the same images: its count, and how many images turned right
    (`gained`) or wrong (`lost`) from it to the ranked model.
    """

    correct: Count
    gained: Count
    lost: Count


class Baseline(_Strict):
    """A model of the staff's, measured by the same scorer on the same images."""

    name: Name
    correct: Count
    total: Positive
    parameters: Count
    model_bytes: Count
    sandboxed: bool


@dataclass(config=STRICT, frozen=True, slots=True)
class Entry:
    """A user's counted submission. `received_order` breaks ties; `user` is null for who wants to be on no page.

    `against_leader` is (images only the first of the rank band has right, images only this one has right).
    """

    user: UserId | None
    correct: Count
    total: Positive
    public_correct: Count
    submissions: Positive
    received_day: Day
    received_order: Count
    parameters: Count
    model_bytes: Count
    sandboxed: bool
    against_leader: Annotated[tuple[Count, Count], Field(strict=False)] | None
    before: Before | None

    def problem(self) -> str:
        """What cannot be about the counts, empty when all is well."""
        if self.correct > self.total:
            return f"expected correct <= total, got {self.correct} of {self.total}"
        before = self.before
        if before and before.correct + before.gained - before.lost != self.correct:
            return f"expected before.correct + gained - lost to be {self.correct}, got another sum"
        return ""


@dataclass(config=STRICT, frozen=True, slots=True)
class Attempt:
    """One submission of a history; `stood` is the count that stood on the public part after it, null before any."""

    day: Day
    verdict: Literal["scored", "waiting", "failed", "refused"]
    code: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,64}$")]
    stood: Count | None
    moved: bool
    counts: bool


class Exercise(_Strict):
    """One board. `hidden_set` is null only while nobody has an entry (the set is not built yet)."""

    id: ExerciseId
    title: Line
    due: Annotated[datetime, BeforeValidator(_zoned)]
    pass_percent: Annotated[int, Field(ge=0, le=100)]
    phase: Literal["public", "final"]
    rank_model: Token
    before_model: Token | None
    pareto: bool
    hidden_set: HiddenSet | None
    baselines: tuple[Baseline, ...] = Field(strict=False)
    entries: tuple[Entry, ...] = Field(strict=False)
    histories: dict[UserId, Annotated[tuple[Attempt, ...], Field(strict=False)]]

    @property
    def shown(self) -> int:
        """How many images the counts are of; 0 without a hidden set."""
        if self.hidden_set is None:
            return 0
        return self._part(self.phase == "public")

    @property
    def public(self) -> int:
        """How many images the histories' counts are of."""
        return self._part(True)

    def _part(self, public: bool) -> int:
        if self.hidden_set is None:
            return 0
        size = self.hidden_set.size
        if not self.hidden_set.split:
            return size
        return size // 2 if public else size - size // 2

    @model_validator(mode="after")
    def _one_row_per_user_on_one_set(self) -> "Exercise":
        seen: set[str] = set()
        shown = self.shown
        rows: list[Entry | Baseline] = [*self.entries, *self.baselines]
        for row in rows:
            name = row.user or "(opted out)" if isinstance(row, Entry) else row.name
            if name in seen and name != "(opted out)":
                raise ValueError(f"expected one entry per user, got {name} twice")
            seen.add(name)
            if self.hidden_set is None:
                raise ValueError(f"expected a hidden_set with entries, got null and {name}")
            if row.total != shown:
                raise ValueError(
                    f"expected total {shown} (the images that count in this phase), got {row.total} for {name}"
                )
            problem = row.problem() if isinstance(row, Entry) else ""
            if problem or row.correct > row.total:
                raise ValueError(f"{problem or 'expected correct <= total, got more'} for {name}")
        public = self.public
        for user, attempts in self.histories.items():
            for attempt in attempts:
                if attempt.stood is not None and attempt.stood > public:
                    raise ValueError(f"expected counts of at most {public} public images, got more for {user}")
        return self


class Scores(_Strict):
    """A whole `scores.json`. `generated_at` is the time of the newest result, null when there is none."""

    schema_version: Annotated[int, Field(alias="schema", ge=SCHEMA, le=SCHEMA)]
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


def shown(value: object, *, quote: bool = True) -> str:
    """`value` for an error line: short, and ASCII so that no file content can steer the terminal."""
    text = ascii(value)
    if isinstance(value, str) and not quote:
        text = text[1:-1]
    return text if len(text) <= 120 else f"{text[:117]}..."
