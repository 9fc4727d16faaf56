"""One trial, from the inside: what an objective is given, and how its outcome is judged."""

import inspect
import math
import re
import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from exercise_code.hyperparameter_tuning.plain import plain, unplain
from exercise_code.jobs import JobCrashed, JobTimeout
from exercise_code.limited_child import in_limited_child

Objective = Callable[[dict[str, Any], "TrialContext"], Any]


@dataclass(frozen=True)
class Job:
    """Everything a worker needs to know of a trial; limits holds, per epoch, the value above which the trial is stopped."""

    trial: int
    config: dict[str, Any]
    epochs: int
    seed: int
    folder: str
    resume_from: int | None = None
    resume_epochs: int = 0
    limits: Mapping[int, float] = field(default_factory=dict)
    raise_errors: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a worker sends back; metrics are as they come back from the log."""

    status: str
    value: float
    epochs: int
    start_epoch: int
    detail: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    curve: tuple[tuple[int, float], ...] = ()
    seconds: float = 0.0


class Pruned(Exception):
    """Raised by `TrialContext.report` to end a trial that a scheduler gave up; let it pass."""


class TrialContext:
    """Second argument of every objective.

    Attributes:
        trial: number of the trial.
        epochs: total epochs that it shall have.
        start_epoch: epochs that its checkpoint already has: > 0 only if an earlier trial is continued and left a checkpoint.
        seed: whole number in 0..2**32 - 1, another one for every trial, the same whenever the search is run.
        rng: generator made from seed.

    >>> context = TrialContext(Job(trial=0, config={"lr": 0.1}, epochs=5, seed=0, folder="unused"))
    >>> context.report(1, 0.7)
    >>> context.curve, context.start_epoch
    ([(1, 0.7)], 0)
    """

    def __init__(self, job: Job):
        self._job = job
        self.trial, self.epochs = job.trial, job.epochs
        self.start_epoch = 0
        self.curve: list[tuple[int, float]] = []
        self.seed = int(np.random.SeedSequence((job.seed, job.trial)).generate_state(1)[0])
        self.rng = np.random.default_rng(self.seed)
        self._folder = trial_folder(job.folder, job.trial)
        if self._folder.exists():
            shutil.rmtree(self._folder)  # of an attempt that was cut short
        if job.resume_from is not None and trial_folder(job.folder, job.resume_from).is_dir():
            shutil.copytree(trial_folder(job.folder, job.resume_from), self._folder)
            self.start_epoch = job.resume_epochs

    @property
    def checkpoint_dir(self) -> Path:
        """The trial's own folder, with a copy of what the trial it continues left there; made when first asked for."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    def report(self, epoch: int, value: float) -> None:
        """Note the value (lower is better) after an epoch, counted from the very first one.

        Raises:
            Pruned: the scheduler stops this trial; the objective need not do anything about it.
        """
        self.curve.append((int(epoch), float(value)))
        limit = self._job.limits.get(int(epoch))
        if limit is not None and not min((v for _, v in self.curve if not math.isnan(v)), default=math.inf) <= limit:
            raise Pruned


def trial_folder(folder: str | Path, trial: int) -> Path:
    """Where trial number `trial` keeps its files.

    >>> trial_folder("search.jsonl.trials", 7).name
    '00007'
    """
    return Path(folder, f"{trial:05d}")


def run_trial(objective: Objective, job: Job) -> Outcome:
    """Call the objective and judge what comes back; whatever it raises becomes a failure (unless raise_errors is set).

    >>> outcome = run_trial(lambda config, context: config["lr"] * 2, Job(0, {"lr": 0.5}, 1, 0, "unused"))
    >>> outcome.status, outcome.value
    ('ok', 1.0)
    """
    begin = time.perf_counter()
    context = TrialContext(job)
    metrics: dict[str, Any] = {}
    epochs = job.epochs
    try:
        status, value, detail, metrics = judge(objective(dict(job.config), context))
    except Pruned:
        epochs = context.curve[-1][0]
        value = min((v for _, v in context.curve if not math.isnan(v)), default=math.nan)
        status, value, detail, metrics = judge({"value": value, "pruned": True})
    except Exception as error:
        if job.raise_errors:
            raise
        status, value, detail = "failed", math.inf, _describe(error)
    return Outcome(
        status, value, epochs, context.start_epoch, detail, metrics, tuple(context.curve), time.perf_counter() - begin
    )


def run_isolated(objective: Objective, job: Job, timeout: float | None, threads: int) -> Outcome:
    """`run_trial` in a child process with its own number of threads; a crash or a time-out is an outcome like others."""
    try:
        return in_limited_child(threads, run_trial, objective, job, timeout=timeout)
    except JobTimeout as error:
        return no_outcome(job, "timeout", str(error))
    except JobCrashed as error:
        return no_outcome(job, "crashed", str(error))


def no_outcome(job: Job, status: str, detail: str) -> Outcome:
    """The outcome of a trial whose process gave none.

    >>> no_outcome(Job(0, {"lr": 0.5}, 1, 0, "unused"), "timeout", "took too long").value
    inf
    """
    return Outcome(status, math.inf, job.epochs, job.resume_epochs, detail)


def judge(returned: Any) -> tuple[str, float, str, dict[str, Any]]:
    """(status, value, detail, metrics) of what an objective returned: a number, or a dict with "value" and metrics.

    >>> judge(0.5), judge({"value": float("nan"), "accuracy": 0.1})[:3], judge("0.5")[0]
    (('ok', 0.5, '', {}), ('nan', inf, 'the objective gave nan'), 'failed')
    """
    metrics: dict[str, Any] = {}
    number = returned
    if isinstance(returned, Mapping):
        if "value" not in returned:
            return "failed", math.inf, f"expected a dict with 'value', got the names {list(returned)}", {}
        metrics = {str(name): unplain(plain(metric)) for name, metric in returned.items() if name != "value"}
        number = returned["value"]
    if isinstance(number, bool | str | bytes) or not hasattr(number, "__float__"):
        expected = "a number or a dict with 'value'"
        return "failed", math.inf, f"expected {expected} from the objective, got {type(number).__name__}", metrics
    try:
        value = float(number)
    except (TypeError, ValueError, RuntimeError) as error:  # an array or tensor of several numbers
        return "failed", math.inf, f"expected one number from the objective: {error}", metrics
    if not math.isfinite(value):
        return "nan", math.inf, f"the objective gave {value}", metrics
    return "ok", value, "", metrics


def check_objective(objective: Any) -> None:
    """Raise TypeError unless objective can be called with a configuration and a context.

    >>> check_objective(lambda config, context: 0.0)
    >>> check_objective(0.0)
    Traceback (most recent call last):
    TypeError: expected an objective to call, got float
    """
    if not callable(objective):
        raise TypeError(f"expected an objective to call, got {type(objective).__name__}")
    try:
        signature = inspect.signature(objective)
    except (TypeError, ValueError):  # some built-in functions do not tell
        return
    try:
        signature.bind({}, None)
    except TypeError:
        raise TypeError(
            f"expected objective(config, context), got {getattr(objective, '__name__', objective)}{signature}; "
            "from_hyperopt and from_optuna adapt functions of one argument"
        ) from None


def _describe(error: Exception) -> str:
    """The error and the line that raised it, without addresses and files, which differ between runs and engines."""
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() != Path(__file__).resolve()
    ]
    place = f" (in {frames[-1].name}, line {frames[-1].lineno})" if frames else ""
    text = re.sub(r" at 0x[0-9a-f]+", "", f"{type(error).__name__}: {error}")
    return text[:500] + place
