"""Configurations and metrics as JSON: one text for equal values in every process."""

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def plain(value: Any) -> Any:
    """Return value as dicts, lists, strings, finite numbers, booleans and None.

    Numbers that are not finite become `{"float": "nan"}`, classes and functions their qualified name, other objects the
    text they print as, without addresses.

    >>> plain({"lr": np.float64(0.1), "act": int, "worst": math.inf})
    {'lr': 0.1, 'act': 'builtins.int', 'worst': {'float': 'inf'}}
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(child) for child in (sorted(value, key=repr) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if hasattr(value, "describe"):
        return value.describe()
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    text = _ADDRESS.sub("", repr(value))
    return text if text != repr(value) or text.startswith("<") else f"{type(value).__qualname__}: {text}"


def unplain(value: Any) -> Any:
    """Turn `{"float": ...}` back into numbers, inside lists and dicts too.

    >>> unplain({"loss": [1.0, {"float": "inf"}]})
    {'loss': [1.0, inf]}
    """
    if isinstance(value, dict):
        if list(value) == ["float"] and value["float"] in ("nan", "inf", "-inf"):
            return float(value["float"])
        return {key: unplain(child) for key, child in value.items()}
    return [unplain(child) for child in value] if isinstance(value, list) else value
