"""Grid and random search over the settings of a network and its Solver, with the slides' signatures (lecture 004).

A configuration is a dict such as `{"learning_rate": 1e-3, "reg": 1e-4}`.  Names are routed by themselves: those of the
Solver (learning_rate, lr_decay, optimizer, loss_func) go there, all others must be parameters of the model class; anything
else is refused before the first epoch, with the nearest name.

Left alone, a search runs in this process, one configuration after the other, so that classes of a notebook work and an
error of theirs shows its traceback.  With `workers`, `log` or `timeout` it goes through `tune`'s child processes: in
parallel, recorded and resumable; a configuration that fails is then a trial with an infinite loss.
"""

import difflib
import functools
import inspect
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exercise_code.callbacks import Callback
from exercise_code.hyperparameter_tuning import sampling
from exercise_code.hyperparameter_tuning.searcher import ListSearcher, Result
from exercise_code.hyperparameter_tuning.transformed_once import transformed_once
from exercise_code.hyperparameter_tuning.trial import TrialContext, trial_folder
from exercise_code.hyperparameter_tuning.tuner import checkpoints, tune
from exercise_code.solver import Solver, refuse_overlap
from exercise_code.split_guard import refuse_test_split

SOLVER_SETTINGS = ("learning_rate", "lr_decay", "optimizer", "loss_func")
WEIGHTS = "weights.npz"


@dataclass(frozen=True)
class Trial:
    """One trained configuration.

    val_loss is the lowest validation loss (without regularisation; inf when the run never had a finite one),
    val_accuracy and train_accuracy (fractions) are those of the restored best weights, epochs the epochs trained; detail says
    why there is no loss.
    """

    config: dict[str, Any]
    val_loss: float
    val_accuracy: float
    train_accuracy: float
    epochs: int
    detail: str = ""


@dataclass(frozen=True)
class SearchResult:
    """Outcome of a search; `best_model, results = grid_search(...)` unpacks it into the model and the trials.

    best_model is the trained network of the trial with the lowest validation loss, best_config its configuration, trials
    every trial in the order of the search.

    >>> trials = [Trial({"reg": reg}, val_loss, 0.5, 0.5, epochs=1) for reg, val_loss in ((0.1, 0.9), (0.2, 0.7))]
    >>> SearchResult(None, {"reg": 0.2}, trials).ranked()[0].config
    {'reg': 0.2}
    """

    best_model: Any
    best_config: dict[str, Any]
    trials: list[Trial]

    def __iter__(self) -> Iterator[Any]:
        return iter((self.best_model, self.trials))

    def ranked(self) -> list[Trial]:
        """All trials, lowest validation loss first; equal ones in the order of the search."""
        return sorted(self.trials, key=lambda trial: trial.val_loss)


def grid_search(
    train_loader: Any,
    val_loader: Any,
    grid_search_spaces: Mapping[str, Sequence[Any]],
    model_class: Any,
    epochs: int = 20,
    patience: int | None = 5,
    verbose: bool = True,
    **running: Any,
) -> SearchResult:
    """Train every combination of the listed values and return the best.

    Args:
        train_loader: training batches.
        val_loader: validation batches; the choice is made on them, so never give the test loader.
        grid_search_spaces: name -> values.
        model_class: called with the model's share of each configuration.
        epochs: most epochs per configuration.
        patience: see `Solver.train`.
        verbose: show a progress bar with the best result so far.
        running: workers, log, engine, address, timeout, threads; see `find_best_config`.

    Raises:
        ValueError: an empty space, an unknown name, the test split.

    >>> from exercise_code.networks import ClassificationNet as Net
    >>> train, val = ([{"image": np.eye(4), "label": np.arange(4)}] for _ in range(2))
    >>> len(grid_search(train, val, {"reg": [0.0, 0.1], "input_size": [4]}, Net, epochs=1, verbose=False).trials)
    2
    """
    sampling.check_spaces(grid_search_spaces)
    configs = sampling.grid_configs(grid_search_spaces)
    return find_best_config(train_loader, val_loader, configs, model_class, epochs, patience, verbose, **running)


def random_search(
    train_loader: Any,
    val_loader: Any,
    random_search_spaces: Mapping[str, tuple[Sequence[Any], str]],
    model_class: Any,
    num_search: int = 20,
    epochs: int = 20,
    patience: int | None = 5,
    verbose: bool = True,
    *,
    rng: np.random.Generator | None = None,
    **running: Any,
) -> SearchResult:
    """Train num_search random configurations and return the best; see `sample_config` and `grid_search`.

    rng is the source of the configurations; None uses seed 0, so the same call tries the same configurations.

    Raises:
        ValueError: an empty or malformed space, an unknown name, num_search below 1, the test split.

    >>> from exercise_code.networks import ClassificationNet as Net
    >>> train, val = ([{"image": np.eye(4), "label": np.arange(4)}] for _ in range(2))
    >>> space = {"reg": ([1e-5, 1e-3], "log"), "input_size": ([4], "item")}
    >>> len(random_search(train, val, space, Net, num_search=3, epochs=1, verbose=False).trials)
    3
    """
    if num_search < 1:
        raise ValueError(f"num_search must be at least 1, got {num_search!r}")
    sampling.check_random_spaces(random_search_spaces)
    rng = np.random.default_rng(0) if rng is None else rng
    configs = [sampling.sample_config(random_search_spaces, rng) for _ in range(num_search)]
    return find_best_config(train_loader, val_loader, configs, model_class, epochs, patience, verbose, **running)


def find_best_config(
    train_loader: Any,
    val_loader: Any,
    configs: Sequence[Mapping[str, Any]],
    model_class: Any,
    epochs: int = 20,
    patience: int | None = 5,
    verbose: bool = True,
    *,
    workers: int | None = None,
    log: str | Path | None = None,
    timeout: float | None = None,
    engine: str = "local",
    address: str | None = None,
    threads: int | None = None,
) -> SearchResult:
    """Train one model per configuration and return the one with the lowest validation loss.

    Every run trains on a fork of the loader, so all of them see the same batches in the same order; what is the same in all
    runs, the transformed images, is made once.  A run that diverges is a trial with an infinite loss; it never wins and never
    stops the search.

    Args:
        train_loader, val_loader, model_class, epochs, patience, verbose: see `grid_search`.
        configs: what to try.
        workers: configurations at a time, each in a child process that shares the loaders' memory; None and no log, timeout
            or other engine means one after the other in this process.
        log, timeout, engine, address, threads: see `tune`; the weights of every trial are kept beside the log.

    Raises:
        ValueError: no configuration, an unknown name in one, the test split, images that are in both loaders, or no run with a
            finite validation loss.

    >>> from exercise_code.networks import ClassificationNet as Net
    >>> train, val = ([{"image": np.eye(4), "label": np.arange(4)}] for _ in range(2))
    >>> configs = [{"learning_rate": lr, "input_size": 4} for lr in (1e-9, 0.1)]
    >>> find_best_config(train, val, configs, Net, epochs=2, verbose=False).best_config
    {'learning_rate': 0.1, 'input_size': 4}
    """
    if not configs:
        raise ValueError("expected at least one configuration, got none")
    for config in configs:
        check_names(config, model_class)
    refuse_test_split(train_loader, "training")
    refuse_test_split(val_loader, "validation")
    refuse_overlap(train_loader, val_loader)
    if engine != "dask":  # there the stored bytes travel, a quarter of the transformed ones
        train_loader, val_loader = transformed_once(train_loader), transformed_once(val_loader)
    searcher = ListSearcher([dict(config) for config in configs], epochs)
    here = workers is None and log is None and timeout is None and engine in ("local", "serial")
    train = functools.partial(_train, train_loader, val_loader, model_class, patience)
    best_here: list[Any] = [math.inf, None]
    with ExitStack() as stack:
        if here:
            objective = functools.partial(_keep_best, train, best_here)
            found = tune(objective, None, searcher, engine="serial", raise_errors=True, progress=verbose)
        else:
            log = (
                Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="search-")), "log") if log is None else log
            )
            found = tune(
                functools.partial(_save_weights, train),
                None,
                searcher,
                workers=workers,
                engine=engine,
                address=address,
                log=log,
                timeout=timeout,
                threads=threads,
                progress=verbose,
            )
        if found.best is None:
            reasons = {result.detail for result in found.results if result.status != "nan"}
            hint = f"; {sorted(reasons)[0]}" if reasons else ": try smaller learning rates"
            raise ValueError(f"no configuration reached a finite validation loss{hint}")
        best = configs[found.best.trial]
        model = (
            best_here[1] if here else _load(model_class, best, trial_folder(checkpoints(str(log)), found.best.trial))
        )
    return SearchResult(model, dict(best), [_trial(result) for result in found.results])


class _Reporter(Callback):
    """Passes each epoch's validation loss to the trial's record."""

    def __init__(self, context: TrialContext):
        self._context = context

    def epoch_end(self, solver: Any) -> None:
        self._context.report(len(solver.val_loss_history), solver.val_loss_history[-1])


def _train(
    train_loader: Any,
    val_loader: Any,
    model_class: Any,
    patience: int | None,
    config: dict[str, Any],
    context: TrialContext,
) -> tuple[Any, dict[str, Any]]:
    """Train one network; (network, outcome)."""
    for_solver = {name: value for name, value in config.items() if name in SOLVER_SETTINGS}
    model = _make(model_class, config)
    train_loader = train_loader.fork() if hasattr(train_loader, "fork") else train_loader
    solver = Solver(model, train_loader, val_loader, verbose=False, callbacks=[_Reporter(context)], **for_solver)
    solver.train(epochs=context.epochs, patience=patience)
    stats = solver.best_model_stats
    val_accuracy, train_accuracy = (
        solver.get_dataset_accuracy(loader) if stats else math.nan for loader in (val_loader, train_loader)
    )
    return model, {
        "value": math.inf if stats is None else stats["val_loss"],
        "val_accuracy": val_accuracy,
        "train_accuracy": train_accuracy,
        "epochs": len(solver.val_loss_history),
    }


def _keep_best(train: Any, best: list[Any], config: dict[str, Any], context: TrialContext) -> dict[str, Any]:
    model, outcome = train(config, context)
    if outcome["value"] < best[0]:
        best[:] = outcome["value"], model
    return outcome


def _save_weights(train: Any, config: dict[str, Any], context: TrialContext) -> dict[str, Any]:
    model, outcome = train(config, context)
    arrays = {f"params/{name}": w for name, w in model.params.items()}
    arrays |= {f"buffers/{name}": value for name, value in model.buffers().items()}
    np.savez(context.checkpoint_dir / WEIGHTS, **arrays)
    return outcome


def _make(model_class: Any, config: Mapping[str, Any]) -> Any:
    return model_class(**{name: value for name, value in config.items() if name not in SOLVER_SETTINGS})


def _load(model_class: Any, config: Mapping[str, Any], folder: Path) -> Any:
    """The network that a child process trained, in evaluation mode as the Solver leaves it."""
    model = _make(model_class, config)
    with np.load(folder / WEIGHTS, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    for name in model.params:
        model.params[name] = arrays[f"params/{name}"]
    model.load_buffers({name.removeprefix("buffers/"): v for name, v in arrays.items() if name.startswith("buffers/")})
    model.eval()
    return model


def _trial(result: Result) -> Trial:
    found = {"val_accuracy": math.nan, "train_accuracy": math.nan, "epochs": 0} | result.metrics
    return Trial(
        result.config, result.value, found["val_accuracy"], found["train_accuracy"], found["epochs"], result.detail
    )


def check_names(config: Mapping[str, Any], model_class: Any) -> None:
    """Raise ValueError, with the nearest known name, when a setting belongs neither to the Solver nor to the model.

    >>> check_names({"learning_rat": 0.1}, type("Net", (), {}))
    Traceback (most recent call last):
    ValueError: unknown hyper-parameter 'learning_rat': did you mean 'learning_rate'?
    """
    parameters = inspect.signature(model_class).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    known = [*SOLVER_SETTINGS, *parameters]
    for name in config:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise ValueError(f"unknown hyper-parameter {name!r}: {hint}")
