"""The only reader of `scores.json`.

Strict on purpose: unknown fields, wrong types, NaN, impossible counts and doubtful ids are refused with one
line that names the place, because a page built from a half-understood file is worse than yesterday's page.
"""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from leaderboard.schema import (
    SCHEMA,
    Attempt,
    Baseline,
    Before,
    Course,
    Entry,
    Exercise,
    HiddenSet,
    LeaderboardError,
    Scores,
    shown,
)

DAY = "expected a day like 2026-12-01 without a time"
# the only form of a day; the parser of dates would also take the seconds since 1970, "+1700006400"
ISO_DAY = r"2[0-9]{3}-[0-9]{2}-[0-9]{2}"
DAYS_WRITTEN = re.compile(rf'day":\s*"{ISO_DAY}"'.encode())  # in "day" and "received_day"; no string holds a bare quote


def parse(raw: bytes, where: str = "scores.json") -> Scores:
    """Checked scores from the bytes of a `scores.json`; `where` names the file in errors.

    Raises: LeaderboardError with one line: place, expected, got, what to do.
    """
    try:
        scores = Scores.model_validate_json(raw)
    except ValidationError as error:
        _plain(raw, where)
        _fail(where, _first_problem(error))
    if (_keys_written(raw), len(DAYS_WRITTEN.findall(raw))) != _keys_and_days(scores):
        _refuse_other_days(_plain(raw, where), where)
    return scores


def _keys_written(raw: bytes) -> int | None:
    """How many keys stand in a JSON text, or more where a string holds what looks like the end of one.

    None: not counted, because a space stands before a colon.
    """
    return None if re.search(rb'"\s+:', raw) else raw.count(b'":')


def _keys_and_days(scores: Scores) -> tuple[int, int]:
    """How many keys and days a text of these scores has if it repeats no key: no field may be missing, none be added."""
    keys, days = len(Scores.model_fields) + len(Course.model_fields), 0
    for one in scores.exercises:
        befores = sum(entry.before is not None for entry in one.entries)
        attempts = sum(map(len, one.histories.values()))
        keys += (
            len(Exercise.model_fields) + len(one.histories) + (one.hidden_set is not None) * len(HiddenSet.model_fields)
        )
        keys += len(one.baselines) * len(Baseline.model_fields) + len(one.entries) * len(fields(Entry))
        keys += befores * len(fields(Before)) + attempts * len(fields(Attempt))
        days += len(one.entries) + attempts
    return keys, days


def _fail(where: str, problem: str) -> NoReturn:
    raise LeaderboardError(f"{shown(where, quote=False)}: {problem}; export it again (fields: leaderboard/README.md)")


def _refuse_other_days(data: dict[str, Any], where: str) -> None:
    """Raises: LeaderboardError for a day in another form than ISO_DAY; else the data is that of valid scores."""
    for number, one in enumerate(data["exercises"]):
        days = [(f"entries[{at}].received_day", entry["received_day"]) for at, entry in enumerate(one["entries"])]
        for user, attempts in one["histories"].items():
            days += [(f"histories.{user}[{at}].day", attempt["day"]) for at, attempt in enumerate(attempts)]
        for place, day in days:
            if not re.fullmatch(ISO_DAY, day):
                _fail(where, f"exercises[{number}].{place}: {DAY}, got {shown(day)}")


def _plain(raw: bytes, where: str) -> dict[str, Any]:
    """The text as Python's own objects, which takes longer and tells what can be wrong with it as a text of JSON.

    Raises: LeaderboardError.
    """

    def refuse_constant(name: str) -> NoReturn:
        _fail(where, f"expected finite numbers, got {name}")

    def object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = dict(pairs)
        if len(keys) != len(pairs):
            names = [key for key, _ in pairs]
            repeated = next(name for name in names if names.count(name) > 1)
            _fail(where, f"expected each key once in an object, got {shown(repeated)} twice")
        return keys

    try:
        text = raw.decode("utf-8")
        data = json.loads(text, parse_constant=refuse_constant, object_pairs_hook=object_without_repeats)
    except UnicodeDecodeError as error:
        _fail(where, f"expected UTF-8 text, got an invalid byte at position {error.start}")
    except json.JSONDecodeError as error:
        _fail(where, f"expected JSON, got a syntax error at line {error.lineno} column {error.colno} ({error.msg})")
    except (ValueError, RecursionError):
        _fail(where, "expected JSON with numbers and nesting of sane size, got something larger")

    if not isinstance(data, dict):
        _fail(where, f"expected a JSON object, got {type(data).__name__}")
    version = data.get("schema")
    if type(version) is not int or version != SCHEMA:
        _fail(where, f"expected schema {SCHEMA}, got {shown(version)}: this generator reads no other")
    return data


def load(path: Path) -> tuple[Scores, bytes]:
    """The checked scores in `path` and the exact bytes they came from (for the published sha256).

    Raises: LeaderboardError.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        where = shown(str(path), quote=False)
        reason = error.strerror or type(error).__name__
        problem = f"expected a readable scores file, got {where} ({reason}); check the path"
        raise LeaderboardError(problem) from error
    return parse(raw, str(path)), raw


def _first_problem(error: ValidationError) -> str:
    problems = error.errors(include_url=False)
    first = problems[0]
    place = ""
    for step in first["loc"]:
        place += f"[{step}]" if isinstance(step, int) else f".{shown(step, quote=False)}"
    place = place.removeprefix(".") or "the file"
    kind = first["type"]
    if kind == "missing":
        text = "expected this field, got nothing"
    elif kind in ("extra_forbidden", "unexpected_keyword_argument"):
        text = f"expected no such field in schema {SCHEMA}, got one"
    elif kind == "json_invalid":  # what Python's own reader takes: half of a surrogate pair
        text = f"expected JSON, got {first['ctx']['error']}"
    elif kind.startswith("date_"):
        text = f"{DAY}, got {shown(first['input'])}"
    elif kind == "value_error":
        text = str(first["ctx"]["error"])
    else:
        rule = first["msg"].replace("Input should", "expected to").replace("String should", "expected to")
        text = f"{rule}, got {shown(first['input'])}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{place}: {text}{more}"
