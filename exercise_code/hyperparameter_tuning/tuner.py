"""The one loop of every search: a Searcher proposes, a Scheduler prunes, this module runs, records and resumes.

    def objective(config, context):                     # lower is better
        for epoch in range(context.start_epoch, context.epochs):
            ...
            context.report(epoch + 1, val_loss)
        return {"value": val_loss, "accuracy": accuracy}

    result = tune(objective, {"lr": ([1e-4, 1e-1], "log")}, budget=20, workers=2, log="search.jsonl")

Interrupted by Ctrl-C, a crash or a power cut, the same call goes on where the log ends.
"""

import functools
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from exercise_code.hyperparameter_tuning.budget import Budget
from exercise_code.hyperparameter_tuning.outcome import TuneResult
from exercise_code.hyperparameter_tuning.plain import plain
from exercise_code.hyperparameter_tuning.progress import Progress
from exercise_code.hyperparameter_tuning.record import TrialLog
from exercise_code.hyperparameter_tuning.scheduler import Scheduler
from exercise_code.hyperparameter_tuning.search_loop import SearchLoop
from exercise_code.hyperparameter_tuning.searcher import RandomSearcher, Searcher, positive_int
from exercise_code.hyperparameter_tuning.space import Space
from exercise_code.hyperparameter_tuning.trial import check_objective
from exercise_code.jobs import executor, usable_cores


def tune(
    objective: Any,
    space: Space | Mapping[str, Any] | Any | None,
    searcher: Searcher | None = None,
    budget: Budget | int | Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    workers: int | None = 1,
    engine: str = "local",
    address: str | None = None,
    log: str | Path | None = None,
    timeout: float | None = None,
    scheduler: Scheduler | None = None,
    threads: int | None = None,
    epochs: int = 1,
    raise_errors: bool = False,
    progress: bool = True,
) -> TuneResult:
    """Search for the configuration with the lowest value of an objective.

    The same arguments give the same trials, values and log (times aside) for any number of workers and any engine, if the
    objective draws from `context.rng` only.  Sums of floats may depend on the number of BLAS threads: fix `threads` where the
    last bit matters.

    Args:
        objective: called as `objective(config, context)`, see `TrialContext`; returns a number or a dict with "value" and
            metrics, lower is better.  It runs in a child process, so it cannot change anything here.
        space: a Space or what `Space.read` understands; every proposal is checked against it.  None does not check.
        searcher: a fresh one; None draws `budget` random configurations of the space.
        budget: number of trials, a `Budget`, or a dict such as `{"epochs": 1000}`.
        seed: of the trials' generators, and of the default searcher.
        workers: trials at a time; None means one per core.
        engine: "local", "dask" (see `exercise_code.jobs`), or "serial": in this process, where nothing protects the
            search from a crash.
        address: of a dask scheduler; checkpoints then go to a folder beside log, which all machines must see.
        log: the trial log; with it a search survives, and the same call resumes it.  Checkpoints go to `<log>.trials/`.
        timeout: seconds after which a trial is killed and recorded as "timeout".
        scheduler: stops hopeless trials, such as `MedianStopping()`.
        threads: BLAS threads of every trial; None means cores / workers.
        epochs: per trial, for the default searcher.
        raise_errors: let the first exception of an objective end the search instead of recording it.
        progress: show a bar with the best value so far and the time left.

    Raises:
        ValueError: an empty space, a zero budget, settings that do not go together, a proposal outside the space.
        TypeError: something else than an objective or a searcher.
        LogError: the log is damaged or belongs to another search.
        ConnectionError: no scheduler answers at address, or it ends during the search.
        KeyboardInterrupt: Ctrl-C; children are stopped, and what was finished is in the log.

    >>> def objective(config, context):
    ...     return (config["x"] - 3) ** 2
    >>> from exercise_code.hyperparameter_tuning.searcher import GridSearcher
    >>> tune(objective, {"x": [1, 2, 3, 4]}, GridSearcher({"x": [1, 2, 3, 4]}), progress=False).best.config
    {'x': 3}
    """
    check_objective(objective)
    limits = Budget.read(budget)
    space = None if space is None else Space.read(space)
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed must be a whole number of at least 0, got {seed!r}")
    if searcher is None:
        if space is None or limits.trials is None:
            raise ValueError("expected a searcher, or a space and a number of trials as budget for a random search")
        searcher = RandomSearcher(space, limits.trials, seed, epochs)
    if not isinstance(searcher, Searcher):
        raise TypeError(f"expected a Searcher, got {searcher!r}")
    if timeout is not None and (engine == "serial" or not timeout > 0):
        raise ValueError(f"expected a timeout > 0 and an engine with child processes, got {timeout!r} and {engine!r}")
    settings = {
        "objective": _name(objective),
        "space": None if space is None else space.describe(),
        "searcher": [type(searcher).__name__, plain(searcher.settings)],
        "scheduler": None if scheduler is None else repr(scheduler),
        "seed": int(seed),
        "budget": asdict(limits),
    }
    with ExitStack() as stack:
        if log is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tune-")))
            record = None
        else:
            folder = checkpoints(log)
            record = stack.enter_context(TrialLog(log, settings))
        if record is not None and record.end is not None:
            pool, share = None, objective
        else:
            pool = stack.enter_context(executor(engine, workers, address))
            share = pool.share(objective)
        bar = stack.enter_context(Progress(progress, limits.trials, searcher.expected_trials))
        search = SearchLoop(searcher, space, limits, int(seed), folder, record, scheduler, bar)
        if pool is not None:
            threads = (
                max(1, usable_cores() // pool.workers_per_host) if threads is None else positive_int("threads", threads)
            )
            search.use(pool, share, engine, timeout, threads, raise_errors)
        try:
            stopped = search.run()
        except KeyboardInterrupt as error:
            resume = f"the same call resumes {log}" if log is not None else "give log= to be able to resume"
            error.add_note(f"Stopped after {len(search.results)} trials; {resume}.")
            raise
    return TuneResult(search.results, stopped, None if log is None else Path(log))


def checkpoints(log: str | Path) -> Path:
    """Folder of the trials' files of a log.

    >>> checkpoints("search.jsonl").name
    'search.jsonl.trials'
    """
    return Path(log).with_name(Path(log).name + ".trials")


def _name(objective: Any) -> str:
    while isinstance(objective, functools.partial):
        objective = objective.func
    described = objective if hasattr(objective, "__qualname__") else type(objective)
    return str(described.__qualname__)
