"""The only reader of `scores.json`.

Strict on purpose: unknown fields, wrong types, NaN, impossible counts and doubtful ids are refused with one
line that names the place, because a page built from a half-understood file is worse than yesterday's page.
"""

import json
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from leaderboard.schema import SCHEMA, LeaderboardError, Scores, shown


def parse(raw: bytes, where: str = "scores.json") -> Scores:
    """Checked scores from the bytes of a `scores.json`; `where` names the file in errors.

    Raises: LeaderboardError with one line: place, expected, got, what to do.
    """

    def fail(problem: str) -> NoReturn:
        raise LeaderboardError(
            f"{shown(where, quote=False)}: {problem}; export it again (fields: leaderboard/README.md)"
        )

    def refuse_constant(name: str) -> NoReturn:
        fail(f"expected finite numbers, got {name}")

    def object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = dict(pairs)
        if len(keys) != len(pairs):
            names = [key for key, _ in pairs]
            repeated = next(name for name in names if names.count(name) > 1)
            fail(f"expected each key once in an object, got {shown(repeated)} twice")
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
        fail(f"expected schema {SCHEMA}, got {shown(version)}: this generator reads no other")
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
    elif kind == "extra_forbidden":
        text = f"expected no such field in schema {SCHEMA}, got one"
    elif kind == "value_error":
        text = str(first["ctx"]["error"])
    else:
        rule = first["msg"].replace("Input should", "expected to").replace("String should", "expected to")
        text = f"{rule}, got {shown(first['input'])}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{place}: {text}{more}"
