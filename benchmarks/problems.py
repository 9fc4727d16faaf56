"""Objectives with a known optimum for `bench_searchers.py`: five standard functions and two tables of real runs."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tabular

from exercise_code.hyperparameter_tuning.parameters import Choice, Float, Int


@dataclass(frozen=True)
class Problem:
    """A function of a configuration to minimise; parameters in the form that `Space` takes, optimum its lowest value."""

    name: str
    parameters: dict[str, Any]
    function: Callable[[Mapping[str, Any]], float]
    optimum: float


def branin(c: Mapping[str, Any]) -> float:
    """Dixon and Szego 1978; three global minima."""
    x, y = c["x1"], c["x2"]
    bowl = (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
    return bowl + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
_A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann6(c: Mapping[str, Any]) -> float:
    """Hartmann 1973 in six dimensions."""
    x = np.array([c[f"x{i}"] for i in range(1, 7)])
    return float(-_ALPHA @ np.exp(-np.sum(_A * (x - _P) ** 2, axis=1)))


def rosenbrock4(c: Mapping[str, Any]) -> float:
    """Rosenbrock 1960 in four dimensions: a curved valley, values over six orders of magnitude."""
    x = np.array([c[f"x{i}"] for i in range(1, 5)])
    return float(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))


def ackley5(c: Mapping[str, Any]) -> float:
    """Ackley 1987 in five dimensions: flat far away, many local minima."""
    x = np.array([c[f"x{i}"] for i in range(1, 6)])
    ripples = math.exp(np.mean(np.cos(2 * math.pi * x)))
    return float(-20 * math.exp(-0.2 * math.sqrt(np.mean(x**2))) - ripples + 20 + math.e)


def training_like(c: Mapping[str, Any]) -> float:
    """A made-up validation error with what searches of networks have: a log scale, whole numbers, choices, a conditional part.

    The best learning rate depends on the optimizer; too large a one diverges (nan).
    """
    adam = c["optimizer"] == "adam"
    best = 1e-3 if adam else 10 ** (-0.5 - 1.5 * c["momentum"])
    away = math.log10(c["learning_rate"] / best)
    if away > 2.2:
        return math.nan
    error = 0.1 + 0.05 * away**2 + 0.02 * (c["layers"] - 3) ** 2
    error += 0.03 * (math.log2(c["width"]) - 7.5) ** 2 + {"relu": 0.0, "tanh": 0.05, "sigmoid": 0.2}[c["activation"]]
    return error + (0.02 if adam else 0.3 * (c["momentum"] - 0.8) ** 2)


def table_problem(name: str) -> Problem:
    """Validation error of a real run, looked up; every searcher proposes from the same grid."""
    table = tabular.load(name)
    errors = {
        tuple(config.values()): float(error)
        for config, error in zip(table.configs, table.best_errors()[:, -1], strict=True)
    }
    parameters = {key: Choice(values) for key, values in tabular.ARCHITECTURES.items()}
    return Problem(name, parameters, lambda c: errors[tuple(c[key] for key in parameters)], min(errors.values()))


def standard_problems() -> list[Problem]:
    """The five functions."""
    width = Int(16, 512, log=True)
    optimizer = Choice({"adam": {}, "sgd": {"momentum": Float(0.0, 0.99)}})
    mixed = {
        "learning_rate": Float(1e-5, 1.0, log=True),
        "optimizer": optimizer,
        "layers": Int(1, 6),
        "width": width,
        "activation": Choice(["relu", "tanh", "sigmoid"]),
    }
    lowest_width = min((math.log2(w) - 7.5) ** 2 for w in range(16, 513))
    return [
        Problem("Branin", {"x1": Float(-5, 10), "x2": Float(0, 15)}, branin, 0.39788735772973816),
        Problem("Hartmann6", {f"x{i}": Float(0, 1) for i in range(1, 7)}, hartmann6, -3.322368011415515),
        Problem("Rosenbrock4", {f"x{i}": Float(-5, 10) for i in range(1, 5)}, rosenbrock4, 0.0),
        Problem("Ackley5", {f"x{i}": Float(-32.768, 32.768) for i in range(1, 6)}, ackley5, 0.0),
        Problem("training-like", mixed, training_like, 0.1 + 0.03 * lowest_width),
    ]
