"""What a search hands back: its results, the best of them, and a table."""

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exercise_code.hyperparameter_tuning.plain import plain, unplain
from exercise_code.hyperparameter_tuning.record import Event, read_events
from exercise_code.hyperparameter_tuning.searcher import Result


@dataclass(frozen=True)
class TuneResult:
    """Outcome of `tune`; `best, results = tune(...)` unpacks it.

    results holds every trial in the order of proposal.  stopped says why the search ended: "searcher" (it had no more to
    propose), "trials", "epochs" or "seconds" (that budget was used up).

    >>> runs = [Result(0, {"lr": 1.0}, 3, 0.7, "ok"), Result(1, {"lr": 0.1}, 3, 0.2, "ok")]
    >>> found = TuneResult(runs, stopped="searcher")
    >>> found.best.config, found.epochs
    ({'lr': 0.1}, 6)
    """

    results: list[Result]
    stopped: str
    log: Path | None = None

    @property
    def best(self) -> Result | None:
        """The trial with the lowest value, a whole one if there is one; None when none came to a value."""
        done = [result for result in self.results if result.status == "ok"]
        return min(done, key=lambda result: (result.pruned, result.value), default=None)

    @property
    def epochs(self) -> int:
        """Epochs trained by all trials together; what a trial took over from a checkpoint is not counted again."""
        return sum(result.epochs - result.start_epoch for result in self.results)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.best, self.results))

    def ranked(self) -> list[Result]:
        """All results, lowest value first, whole ones before pruned ones, failures last."""
        return sorted(self.results, key=lambda result: (result.status != "ok", result.pruned, result.value))

    def rows(self) -> list[dict[str, Any]]:
        """One flat dict per trial; see `as_rows`."""
        return as_rows(self.results)

    def table(self) -> Any:
        """`rows()` as a pandas DataFrame if pandas is installed, otherwise as a list that prints as a table."""
        try:
            import pandas
        except ImportError:
            return Rows(self.rows())
        return pandas.DataFrame(self.rows())


class Rows(list[dict[str, Any]]):
    """A list of dicts that prints as a table, and shows as one in a notebook.

    >>> Rows([{"lr": 0.123456, "act": "relu"}, {"lr": 1.0}])
          lr   act
      0.1235  relu
           1
    """

    def _cells(self) -> list[list[str]]:
        names = list(dict.fromkeys(name for row in self for name in row))
        return [names, *([_cell(row.get(name)) for name in names] for row in self)]

    def __repr__(self) -> str:
        cells = self._cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ("".join(f"  {cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in cells)
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        head, *body = ([html.escape(cell) for cell in row] for row in self._cells())
        rows = ("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in body)
        return "<table><tr>" + "".join(f"<th>{name}</th>" for name in head) + f"</tr>{''.join(rows)}</table>"


def _cell(value: Any) -> str:
    """A cell of at most 40 characters; nothing for a value that a row does not have."""
    text = "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(plain(value))
    return text if len(text) <= 40 else text[:37] + "..."


def as_rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Results as flat dicts: trial, the configuration (nested names joined by dots), value, status, epochs, metrics, ...

    >>> as_rows([Result(0, {"lr": 0.1, "net": {"width": 8}}, 5, 0.3, "ok")])[0]["net.width"]
    8
    """
    return [
        {
            "trial": result.trial,
            **_flat("", result.config),
            "value": result.value,
            "status": result.status,
            "epochs": result.epochs,
            **{f"metrics.{name}": metric for name, metric in result.metrics.items()},
            "seconds": result.seconds,
            "detail": result.detail,
        }
        for result in results
    ]


def read_results(log: str | Path) -> list[Result]:
    """Trials of a log, finished or not, in order; configurations are as plain as the log has them.

    Raises:
        LogError: no trial log, or a damaged line.

    >>> import tempfile
    >>> from exercise_code.hyperparameter_tuning.tuner import tune
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = f"{folder}/log"
    ...     _ = tune(lambda config, _: config["x"], {"x": [3]}, budget=1, log=log, engine="serial", progress=False)
    ...     print([(result.config, result.value) for result in read_results(log)])
    [({'x': 3}, 3.0)]
    """
    return [to_result(event, event["config"]) for event in read_events(log)[1]]


def to_event(result: Result, resume_from: int | None, elapsed: float) -> Event:
    """A result as a line of the log.

    >>> event = to_event(Result(0, {"lr": 0.1}, 5, math.inf, "nan"), resume_from=None, elapsed=2.0)
    >>> event["config"], event["value"], event["time"]["elapsed"]
    ({'lr': 0.1}, None, 2.0)
    """
    return {
        "event": "trial",
        "trial": result.trial,
        "config": plain(result.config),
        "resume_from": resume_from,
        "start_epoch": result.start_epoch,
        "epochs": result.epochs,
        "status": result.status,
        "value": result.value if math.isfinite(result.value) else None,
        "detail": result.detail,
        "metrics": plain(result.metrics),
        "curve": plain(result.curve),
        "time": {"seconds": round(result.seconds, 6), "elapsed": round(elapsed, 3)},
    }


def to_result(event: Mapping[str, Any], config: dict[str, Any]) -> Result:
    """A line of the log as a result.

    >>> result = Result(0, {"lr": 0.1}, 5, 0.3, "ok", curve=((1, 0.5), (5, 0.3)))
    >>> to_result(to_event(result, resume_from=None, elapsed=2.0), result.config) == result
    True
    """
    return Result(
        event["trial"],
        config,
        event["epochs"],
        math.inf if event["value"] is None else event["value"],
        event["status"],
        event["detail"],
        unplain(event["metrics"]),
        event["start_epoch"],
        tuple((int(epoch), float(value)) for epoch, value in unplain(event["curve"])),
        event["time"]["seconds"],
    )


def _flat(prefix: str, config: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in config.items():
        flat |= _flat(f"{prefix}{name}.", value) if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
