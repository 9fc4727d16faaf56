"""Grid search, random search and coarse-to-fine search over the settings of a network and its Solver (lecture 004).

A configuration is a dict such as `{"learning_rate": 1e-3, "reg": 1e-4}`.  Names are routed by themselves: those of the
Solver (learning_rate, lr_decay, optimizer, loss_func) go there, all others must be parameters of the model class; anything
else is refused before the first epoch, with the nearest name.
"""

import difflib
import inspect
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exercise_code.solver import Solver

SOLVER_SETTINGS = ("learning_rate", "lr_decay", "optimizer", "loss_func")


@dataclass(frozen=True)
class Trial:
    """One trained configuration.

    val_loss is the lowest validation loss (without regularisation; inf when the run never had a finite one),
    val_accuracy and train_accuracy (fractions) are those of the restored best weights, epochs the epochs trained.
    """

    config: dict[str, Any]
    val_loss: float
    val_accuracy: float
    train_accuracy: float
    epochs: int


@dataclass(frozen=True)
class SearchResult:
    """Outcome of a search; `best_model, results = grid_search(...)` unpacks it into the model and the trials.

    best_model is the trained network of the trial with the lowest validation loss, best_config its configuration, trials
    every trial in the order of the search.
    """

    best_model: Any
    best_config: dict[str, Any]
    trials: list[Trial]

    def __iter__(self) -> Iterator[Any]:
        return iter((self.best_model, self.trials))

    def ranked(self) -> list[Trial]:
        """All trials, lowest validation loss first; equal ones in the order of the search."""
        return sorted(self.trials, key=lambda trial: trial.val_loss)


def grid_configs(spaces: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of the listed values.

    Args:
        spaces: name -> values to try.

    Returns:
        One dict per combination; the last name varies fastest, as in nested for loops written in the order of the names.

    >>> grid_configs({"a": [1, 2], "b": ["x", "y"]})
    [{'a': 1, 'b': 'x'}, {'a': 1, 'b': 'y'}, {'a': 2, 'b': 'x'}, {'a': 2, 'b': 'y'}]
    """
    ### BEGIN SOLUTION 04_grid_search
    names = list(spaces)
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*spaces.values())]
    ### END SOLUTION


def sample_config(spaces: Mapping[str, tuple[Sequence[Any], str]], rng: np.random.Generator) -> dict[str, Any]:
    """Draw one random configuration.

    Args:
        spaces: name -> `([low, high], "float")` uniform in [low, high];
            `([low, high], "int")` a whole number, both ends possible, all equally likely;
            `([low, high], "log")` 10**u with u uniform between log10(low) and log10(high);
            `([a, b, ...], "item")` one of the listed values.
        rng: the only source of randomness.

    Returns:
        name -> a plain Python float, int or the chosen item.

    >>> import numpy as np
    >>> config = sample_config({"lr": ([1e-4, 1e-2], "log"), "width": ([50, 60], "int")}, np.random.default_rng(1))
    >>> 1e-4 <= config["lr"] <= 1e-2 and 50 <= config["width"] <= 60
    True
    """
    ### BEGIN SOLUTION 04_grid_search
    config: dict[str, Any] = {}
    for name, (values, kind) in spaces.items():
        if kind == "float":
            config[name] = float(rng.uniform(*values))
        elif kind == "int":
            config[name] = int(rng.integers(values[0], values[1], endpoint=True))
        elif kind == "log":
            config[name] = float(10 ** rng.uniform(np.log10(values[0]), np.log10(values[1])))
        else:
            config[name] = values[int(rng.integers(len(values)))]
    return config
    ### END SOLUTION


def narrow_space(space: tuple[Sequence[Any], str], best: Any) -> tuple[Sequence[Any], str]:
    """Halve the range of a "float", "log" or "int" space around the best value found: one step from coarse to fine.

    Args:
        space: `([low, high], kind)` as for `sample_config`.
        best: the value to centre on.

    Returns:
        `([new_low, new_high], kind)`: half as wide as before ("log": half as many decades), centred on best, and cut off
        at the old ends, so it never leaves the space.  For "int" the new ends are rounded outwards to whole numbers.  An "item"
        space comes back as it is.

    >>> narrow_space(([0.0, 1.0], "float"), 0.5)
    ([0.25, 0.75], 'float')
    """
    ### BEGIN SOLUTION 04_grid_search
    (low, high), kind = (space[0][0], space[0][-1]), space[1]
    if kind == "item":
        return space
    if kind == "log":
        quarter = (math.log10(high) - math.log10(low)) / 4
        new_low, new_high = best / 10**quarter, best * 10**quarter
    else:
        quarter = (high - low) / 4
        new_low, new_high = best - quarter, best + quarter
    new_low, new_high = max(low, new_low), min(high, new_high)
    if kind == "int":
        new_low, new_high = math.floor(new_low), math.ceil(new_high)
    return [new_low, new_high], kind
    ### END SOLUTION


def grid_search(
    train_loader: Any,
    val_loader: Any,
    grid_search_spaces: Mapping[str, Sequence[Any]],
    model_class: Any,
    epochs: int = 20,
    patience: int | None = 5,
    verbose: bool = True,
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

    Raises:
        ValueError: an empty space, an unknown name.
    """
    check_spaces(grid_search_spaces)
    configs = grid_configs(grid_search_spaces)
    return find_best_config(train_loader, val_loader, configs, model_class, epochs, patience, verbose)


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
) -> SearchResult:
    """Train num_search random configurations and return the best; see `sample_config` and `grid_search`.

    rng is the source of the configurations; None uses seed 0, so the same call tries the same configurations.

    Raises:
        ValueError: an empty or malformed space, an unknown name, num_search below 1.
    """
    if num_search < 1:
        raise ValueError(f"num_search must be at least 1, got {num_search!r}")
    check_random_spaces(random_search_spaces)
    rng = np.random.default_rng(0) if rng is None else rng
    configs = [sample_config(random_search_spaces, rng) for _ in range(num_search)]
    return find_best_config(train_loader, val_loader, configs, model_class, epochs, patience, verbose)


def find_best_config(
    train_loader: Any,
    val_loader: Any,
    configs: Sequence[Mapping[str, Any]],
    model_class: Any,
    epochs: int = 20,
    patience: int | None = 5,
    verbose: bool = True,
) -> SearchResult:
    """Train one model per configuration and return the one with the lowest validation loss.

    Every run trains on a fork of the loader, so all of them see the same batches in the same order.  A run that diverges is a trial with an infinite loss; it never wins and never stops the search.

    Raises:
        ValueError: no configuration, an unknown name in one, or no run with a finite validation loss.
    """
    from tqdm.auto import tqdm

    if not configs:
        raise ValueError("expected at least one configuration, got none")
    for config in configs:
        check_names(config, model_class)
    best: tuple[float, Any, dict[str, Any]] = (math.inf, None, {})
    trials = []
    with tqdm(configs, desc="search", unit="config", disable=not verbose) as bar:
        for config in bar:
            trial, model = _run(train_loader, val_loader, dict(config), model_class, epochs, patience)
            trials.append(trial)
            if trial.val_loss < best[0]:
                best = (trial.val_loss, model, dict(config))
            bar.set_postfix(best_val_loss=f"{best[0]:.4f}")
    if best[1] is None:
        raise ValueError("no configuration reached a finite validation loss: try smaller learning rates")
    return SearchResult(best[1], best[2], trials)


def _run(
    train_loader: Any,
    val_loader: Any,
    config: dict[str, Any],
    model_class: Any,
    epochs: int,
    patience: int | None,
) -> tuple[Trial, Any]:
    for_solver = {name: value for name, value in config.items() if name in SOLVER_SETTINGS}
    model = model_class(**{name: value for name, value in config.items() if name not in SOLVER_SETTINGS})
    train_loader = train_loader.fork() if hasattr(train_loader, "fork") else train_loader
    solver = Solver(model, train_loader, val_loader, verbose=False, **for_solver)
    solver.train(epochs=epochs, patience=patience)
    stats = solver.best_model_stats
    val_loss = math.inf if stats is None else stats["val_loss"]
    val_accuracy, train_accuracy = (
        solver.get_dataset_accuracy(loader) if stats else math.nan for loader in (val_loader, train_loader)
    )
    return Trial(config, val_loss, val_accuracy, train_accuracy, len(solver.val_loss_history)), model


def check_names(config: Mapping[str, Any], model_class: Any) -> None:
    """Raise ValueError, with the nearest known name, when a setting belongs neither to the Solver nor to the model."""
    parameters = inspect.signature(model_class).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    known = [*SOLVER_SETTINGS, *parameters]
    for name in config:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise ValueError(f"unknown hyper-parameter {name!r}: {hint}")


def check_spaces(spaces: Mapping[str, Sequence[Any]]) -> None:
    """Raise ValueError unless every name has a non-empty list of values."""
    if not spaces:
        raise ValueError("expected at least one hyper-parameter in the search space, got none")
    for name, values in spaces.items():
        if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray) or len(values) == 0:
            raise ValueError(f"expected a non-empty list of values for {name!r}, got {values!r}")


def check_random_spaces(spaces: Mapping[str, tuple[Sequence[Any], str]]) -> None:
    """Raise ValueError unless every space reads `([low, high], "float" | "int" | "log")` or `([...], "item")`."""
    check_spaces(spaces)
    for name, space in spaces.items():
        if len(space) != 2 or space[1] not in ("float", "int", "log", "item"):
            raise ValueError(f'expected ([low, high], "float" | "int" | "log" | "item") for {name!r}, got {space!r}')
        values, kind = space
        check_spaces({name: values})
        if kind == "item":
            continue
        if len(values) != 2 or not values[0] < values[1]:
            raise ValueError(f"expected [low, high] with low < high for {name!r}, got {values!r}")
        if kind == "log" and values[0] <= 0:
            raise ValueError(f"a log space needs low > 0, got {values!r} for {name!r}")
