"""Progress bar of a search: trials done, the best value so far, time left."""

import math
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from exercise_code.hyperparameter_tuning.searcher import Result


class Progress:
    """A tqdm bar over trials; its length is known when the budget or the searcher tells it.

    Args:
        show: False for none.
        totals: upper limits on the number of trials, None where there is none.

    >>> with Progress(False, 100, None) as bar:   # not shown
    ...     bar.finished(Result(0, {"lr": 0.1}, 5, 0.3, "ok"))
    """

    def __init__(self, show: bool, *totals: int | None):
        from tqdm.auto import tqdm

        total = min((count for count in totals if count is not None), default=None)
        self._bar: Any = tqdm(total=total, desc="search", unit="trial", disable=not show)
        self._best = math.inf
        self._failed = 0

    def resumed(self, results: Iterable[Result]) -> None:
        """Count trials that were in the log; they do not enter the estimate of the time left."""
        for result in results:
            if not self._bar.disable:  # a bar that is not shown lacks the attribute
                self._bar.initial += 1
            self._count(result)

    def finished(self, result: Result) -> None:
        """Count a trial that was just run."""
        self._count(result)

    def _count(self, result: Result) -> None:
        self._failed += result.status != "ok"
        self._best = min(self._best, result.value)
        shown = {"best": f"{self._best:.4g}"} | ({"failed": str(self._failed)} if self._failed else {})
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
