"""Refuses the test split where choices are made: a result chosen on it says nothing about new data (lecture 002)."""

from typing import Any


def refuse_test_split(data: Any, purpose: str) -> None:
    """Raise ValueError when a loader or data set reads the test split, however many subsets lie between.

    Args:
        data: a loader, or a data set; `mode == "test"` marks the test split.
        purpose: what it was meant for, used in the message.

    >>> class Photos:
    ...     mode = "test"
    >>> refuse_test_split(Photos(), "validation")
    Traceback (most recent call last):
    ValueError: the test split was given for validation: choose on a validation split, and look at the test split once, at the end
    """
    seen: list[Any] = []
    while data is not None and not any(data is other for other in seen):
        if getattr(data, "mode", None) == "test":
            raise ValueError(
                f"the test split was given for {purpose}: choose on a validation split, and look at the test split once, "
                "at the end"
            )
        seen.append(data)
        data = vars(data).get("dataset", vars(data).get("_dataset")) if hasattr(data, "__dict__") else None
