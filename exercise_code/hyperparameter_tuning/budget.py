"""What a search may use up."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from exercise_code.hyperparameter_tuning.searcher import positive_int


@dataclass(frozen=True)
class Budget:
    """What a search may use; None is no limit.  The search stops before the trial that would exceed it.

    trials and epochs (trained by all trials together) give the same trials on any machine, seconds do not: no trial begins
    after them, and those that run are finished.  Seconds of interrupted runs of a search count too.

    Raises:
        ValueError: a limit that is zero, negative or not a number, or an unknown name.

    >>> Budget.read(20)
    Budget(trials=20, epochs=None, seconds=None)
    >>> Budget.read({"epochs": 500, "seconds": 60})
    Budget(trials=None, epochs=500, seconds=60)
    """

    trials: int | None = None
    epochs: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("trials", "epochs"):
            if getattr(self, name) is not None:
                positive_int(f"budget: {name}", getattr(self, name))
        seconds = self.seconds
        if seconds is not None and (isinstance(seconds, bool) or not 0 < seconds < math.inf):
            raise ValueError(f"budget: seconds must be a positive number, got {seconds!r}")

    @classmethod
    def read(cls, budget: "Budget | int | Mapping[str, Any] | None") -> "Budget":
        """A Budget from a number of trials, a dict of limits, or None for no limit."""
        if isinstance(budget, Budget):
            return budget
        if isinstance(budget, Mapping):
            known = [limit.name for limit in fields(cls)]
            for name in budget:
                if name not in known:
                    near = difflib.get_close_matches(str(name), known, n=1)
                    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
                    raise ValueError(f"budget: unknown limit {name!r}: {hint}")
            return cls(**budget)
        return cls(trials=budget)
