"""A TOML table read strictly: every key known, of its type, and named with its place when it is not."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from autograder.errors import ManifestError

_ONE_LINE = re.compile(r"\S[^\n\r]*")
_REQUIRED: Any = object()


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `, did you mean '...'?` for the closest known word, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f", did you mean {close[0]!r}?" if close else ""


def is_positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


class Table:
    """One TOML table that is emptied key by key; what `done` still finds in it is unknown."""

    def __init__(self, items: dict[str, Any], where: str) -> None:
        self.items, self.where = dict(items), where
        self.known: list[str] = []

    def value(self, key: str, kind: type, default: Any = _REQUIRED) -> Any:
        self.known.append(key)
        value = self.items.pop(key, default)
        if value is _REQUIRED:
            hint = nearest(key, self.items).replace("did you mean", "is it")
            raise ManifestError(f"{self.where}: {key!r} is missing{hint}")
        if not isinstance(value, kind):
            raise ManifestError(f"{self.where}: {key} is {value!r}, expected a {kind.__name__}")
        return value

    def text(self, key: str, pattern: re.Pattern[str] = _ONE_LINE) -> str:
        value = self.value(key, str)
        if not pattern.fullmatch(value):
            raise ManifestError(f"{self.where}: {key} is {value!r}, expected the form {pattern.pattern}")
        return value

    def positive(self, key: str) -> int:
        value = self.value(key, object)
        if not is_positive(value):
            raise ManifestError(f"{self.where}: {key} is {value!r}, expected a positive integer")
        return value

    def table(self, key: str) -> Table:
        return Table(self.value(key, dict), f"{self.where}: {key}")

    def tables(self, key: str) -> list[Table]:
        items = self.value(key, list, [])
        if not all(isinstance(item, dict) for item in items):
            raise ManifestError(f"{self.where}: {key} is not a list of tables, write [[{key}]]")
        return [Table(item, f"{self.where}: {key} {number}") for number, item in enumerate(items, 1)]

    def done(self) -> None:
        known = {*self.known, "due"} if "title" in self.known else set(self.known)
        for key in self.items:
            raise ManifestError(f"{self.where}: unknown key {key!r}{nearest(key, known)}")
