"""One objective for several libraries: ours, hyperopt's and Optuna's styles turned into each other.

Neither library is imported here; Optuna is not even needed, since anything with its `suggest_...` methods will do.

| style | written as |
|---|---|
| ours | `objective(config, context)` -> number or `{"value": ..., metrics}` |
| hyperopt | `objective(config)` -> number or `{"loss": ..., "status": "ok"}` |
| Optuna | `objective(trial)` -> number, with `trial.suggest_float("lr", 1e-4, 1e-1, log=True)` |
"""

import difflib
import math
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from exercise_code.hyperparameter_tuning.parameters import Choice, Float, Int
from exercise_code.hyperparameter_tuning.space import Space
from exercise_code.hyperparameter_tuning.trial import Job, Objective, Pruned, TrialContext, judge


def from_hyperopt(objective: Callable[[Any], Any], argument: str | None = None) -> Objective:
    """Make an objective for `tune` of one written for `fmin`.

    Args:
        objective: called with the configuration.
        argument: for a space that is a single expression, such as `hp.uniform("x", -5, 5)`: its label; the objective then gets
            the value alone.

    >>> from exercise_code.hyperparameter_tuning.tuner import tune
    >>> objective = from_hyperopt(lambda config: {"loss": config["x"] ** 2, "status": "ok"})
    >>> tune(objective, {"x": [3]}, budget=1, progress=False).best.value
    9.0
    """
    return partial(_call_hyperopt, objective, argument)


def _call_hyperopt(objective: Callable[[Any], Any], argument: str | None, config: dict[str, Any], context: Any) -> Any:
    returned = objective(config if argument is None else config[argument])
    if not isinstance(returned, Mapping):
        return returned
    if returned.get("status", "ok") != "ok":
        raise RuntimeError(f"the objective gave the status {returned['status']!r}")
    if "loss" not in returned:
        raise ValueError(f"expected a dict with 'loss' from a hyperopt objective, got the names {list(returned)}")
    metrics = {name: value for name, value in returned.items() if name not in ("loss", "status", "attachments")}
    return {"value": returned["loss"], **metrics}


def from_optuna(objective: Callable[[Any], Any]) -> Objective:
    """Make an objective for `tune` of one written for `study.optimize`.

    The space is the one given to `tune`: each `suggest_...` hands out the value of that name, and refuses a value outside the
    bounds that the objective states.  Reported values go to the scheduler, which ends a trial by itself.

    >>> from exercise_code.hyperparameter_tuning.tuner import tune
    >>> objective = from_optuna(lambda trial: trial.suggest_float("x", 0, 5) ** 2)
    >>> tune(objective, {"x": [3]}, budget=1, engine="serial", progress=False).best.value
    9.0
    """
    return partial(_call_optuna, objective)


def _call_optuna(objective: Callable[[Any], Any], config: dict[str, Any], context: TrialContext) -> Any:
    trial = TrialView(config, context)
    value = objective(trial)
    return {"value": value, **trial.user_attrs}


class TrialView:
    """A configuration that answers like an Optuna trial.

    >>> trial = TrialView({"lr": 0.1}, TrialContext(Job(4, {"lr": 0.1}, epochs=1, seed=0, folder="unused")))
    >>> trial.number, trial.suggest_float("lr", 1e-4, 1.0, log=True)
    (4, 0.1)
    """

    def __init__(self, config: dict[str, Any], context: TrialContext):
        self.params, self.number = config, context.trial
        self.user_attrs: dict[str, Any] = {}
        self._context = context

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """The configuration's value of that name."""
        return float(self._within(name, low, high))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """The configuration's value of that name."""
        return int(self._within(name, low, high))

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """The configuration's value of that name."""
        value = self._value(name)
        if not any(value is choice or value == choice for choice in choices):
            raise ValueError(f"{name!r} is {value!r}, and the objective expects one of {list(choices)}")
        return value

    def report(self, value: float, step: int) -> None:
        """Pass on a value; steps count from 0, epochs from 1."""
        self._context.report(step + 1, value)

    def should_prune(self) -> bool:
        """False: a trial that the scheduler gives up ends inside `report`."""
        return False

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep a value among the metrics."""
        self.user_attrs[key] = value

    def _value(self, name: str) -> Any:
        if name not in self.params:
            near = difflib.get_close_matches(name, list(self.params), n=1)
            hint = f": did you mean {near[0]!r}?" if near else f", only {', '.join(self.params)}"
            raise ValueError(f"the configuration has no {name!r}{hint}")
        return self.params[name]

    def _within(self, name: str, low: float, high: float) -> Any:
        value = self._value(name)
        if not low <= value <= high:
            raise ValueError(
                f"{name!r} is {value!r}, and the objective expects {low!r} to {high!r}: align it with the space"
            )
        return value


def for_hyperopt(objective: Objective, seed: int = 0, epochs: int = 1) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Make a function for `hyperopt.fmin` of one of our objectives; failures become status "fail".

    >>> for_hyperopt(lambda config, context: (config["x"] - 1) ** 2)({"x": 3.0})
    {'status': 'ok', 'loss': 4.0}
    """
    count = iter(range(1 << 62))

    def call(config: dict[str, Any]) -> dict[str, Any]:
        status, value, detail, metrics = _run_here(objective, config, next(count), seed, epochs)
        if status != "ok":
            return {"status": "fail", "detail": detail}
        return {"status": "ok", "loss": value, **metrics}

    return call


def for_optuna(objective: Objective, space: Any, seed: int = 0, epochs: int = 1) -> Callable[[Any], float]:
    """Make a function for `study.optimize` of one of our objectives and the space that Optuna shall search.

    Raises (when called):
        ValueError: the space has a parameter that Optuna does not know (normal, weighted or nested choices).

    >>> from types import SimpleNamespace
    >>> trial = SimpleNamespace(number=0, suggest_float=lambda name, low, high, **more: high)   # stands for Optuna's
    >>> for_optuna(lambda config, context: config["x"] ** 2, {"x": ([0.0, 5.0], "float")})(trial)
    25.0
    """
    space = Space.read(space)

    def call(trial: Any) -> float:
        value = _run_here(objective, suggest(trial, space), trial.number, seed, epochs)[1]
        return value if math.isfinite(value) else math.nan

    return call


def suggest(trial: Any, space: Space) -> dict[str, Any]:
    """Let an Optuna trial draw a configuration of a space of floats, integers and plain choices.

    >>> from types import SimpleNamespace
    >>> trial = SimpleNamespace(suggest_int=lambda name, low, high, **more: low)   # stands for Optuna's
    >>> suggest(trial, Space({"width": ([4, 8], "int")}))
    {'width': 4}
    """
    config: dict[str, Any] = {}
    for dimension in space.dimensions:
        name, parameter = dimension.name, dimension.parameter
        plain = dimension.parent is None
        stepped_log = isinstance(parameter, Float | Int) and parameter.log and parameter.step not in (None, 1)
        if isinstance(parameter, Float) and plain and not stepped_log:
            low, high, step = parameter.low, parameter.high, parameter.step
            if step is None:
                config[name] = trial.suggest_float(name, low, high, log=parameter.log)
            else:  # our values are multiples of the step, Optuna counts steps from low
                drawn = trial.suggest_float(name, round(low / step) * step, round(high / step) * step, step=step)
                config[name] = round(drawn / step) * step
        elif isinstance(parameter, Int) and plain and not stepped_log:
            config[name] = trial.suggest_int(
                name, parameter.low, parameter.values()[-1], step=parameter.step, log=parameter.log
            )
        elif isinstance(parameter, Choice) and plain and parameter.weights is None:
            config[name] = parameter.listed()[trial.suggest_categorical(name, list(range(parameter.size)))]
        else:
            raise ValueError(
                f"Optuna cannot draw {name!r}: expected floats, integers (on a log scale without a step) and plain choices, "
                f"got {parameter}"
            )
    space.check(config)
    return config


def _run_here(
    objective: Objective, config: dict[str, Any], trial: int, seed: int, epochs: int
) -> tuple[str, float, str, dict]:
    with tempfile.TemporaryDirectory(prefix="trial-") as folder:
        context = TrialContext(Job(trial, config, epochs, seed, folder))
        try:
            return judge(objective(config, context))
        except Pruned:
            raise AssertionError("no scheduler, no limits") from None
