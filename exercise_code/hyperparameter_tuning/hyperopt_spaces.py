"""hyperopt's search-space expressions as our parameters; nothing is imported from hyperopt before one is read.

Understood are uniform, quniform, uniformint, loguniform, qloguniform, normal, qnormal, lognormal, qlognormal, randint,
choice and pchoice, nested as deep as you like, between constants, dicts, lists and tuples; and scope.int around quniform and
qloguniform.  (hyperopt bounds `loguniform("lr", a, b)` by exp(a) and exp(b); so do we.)  uniformint and scope.int take the
multiples of q between the bounds and give both ends the weight of the others; hyperopt gives them half.
"""

import math
from collections.abc import Callable
from typing import Any

from exercise_code.hyperparameter_tuning.notations import Named
from exercise_code.hyperparameter_tuning.parameters import Choice, Float, Int, Normal, Parameter

_DISTRIBUTIONS: dict[str, Callable[..., Parameter]] = {
    "uniform": lambda low, high: Float(low, high),
    "quniform": lambda low, high, q: Float(low, high, step=q),
    "loguniform": lambda low, high: Float(math.exp(low), math.exp(high), log=True),
    "qloguniform": lambda low, high, q: Float(math.exp(low), math.exp(high), log=True, step=q),
    "normal": lambda mu, sigma: Normal(mu, sigma),
    "qnormal": lambda mu, sigma, q: Normal(mu, sigma, step=q),
    "lognormal": lambda mu, sigma: Normal(mu, sigma, log=True),
    "qlognormal": lambda mu, sigma, q: Normal(mu, sigma, log=True, step=q),
    "randint": lambda low, high=None: Int(0, low - 1) if high is None else Int(low, high - 1),
}


def top_level(expression: Any) -> dict[str, Any]:
    """A whole hyperopt space as a dict: a dict expression as it is, any other one under its own label.

    >>> from hyperopt import hp
    >>> list(top_level(hp.uniform("x", -5, 5)))
    ['x']
    """
    if expression.name == "dict":
        return read_node(expression)
    node = read_node(expression)
    if not isinstance(node, Named):
        raise ValueError(f"expected a dict or one hp.* expression as search space, got {expression.name!r}")
    return {node.label: node}


def read_node(expression: Any) -> Any:
    """A hyperopt expression as a `Named` parameter, a container of expressions or a constant.

    Raises:
        ValueError: a kind of expression that is not in the list above, or bounds that make no sense; names the label.

    >>> from hyperopt import hp
    >>> read_node(hp.randint("width", 8)).parameter.values()
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    if expression.name == "literal":
        return expression.obj
    if expression.name == "dict":
        return {name: read_node(child) for name, child in expression.named_args}
    if expression.name == "pos_args":
        return tuple(read_node(child) for child in expression.pos_args)
    if expression.name == "switch":
        label, drawn = _labelled(expression.pos_args[0])
        options = [read_node(option) for option in expression.pos_args[1:]]
        weights = [weight.obj for weight in drawn.pos_args[0].pos_args] if drawn.name == "categorical" else None
        return Named(label, Choice(options, weights))
    whole = False
    inner = expression
    while inner.name in ("float", "int"):
        whole = whole or inner.name == "int"
        inner = inner.pos_args[0]
    label, drawn = _labelled(inner)
    if drawn.name not in _DISTRIBUTIONS:
        raise ValueError(f"hyper-parameter {label!r}: hyperopt's {drawn.name!r} is not supported here")
    arguments = [argument.obj for argument in drawn.pos_args] + [argument.obj for _, argument in drawn.named_args]
    try:
        if whole and drawn.name != "randint":
            return Named(label, _whole(drawn.name, *arguments))
        return Named(label, _DISTRIBUTIONS[drawn.name](*arguments))
    except ValueError as error:
        raise ValueError(f"hyper-parameter {label!r}: {error}") from None


def _whole(kind: str, low: float, high: float, q: float = 0) -> Int:
    """What `scope.int` makes of a distribution."""
    if kind not in ("quniform", "qloguniform"):
        raise ValueError(f"expected quniform or qloguniform in scope.int, got {kind!r}: use hp.uniformint")
    if int(q) != q or q < 1:
        raise ValueError(f"expected a whole number q >= 1 in scope.int, got {q!r}")
    low, high, q = (math.exp(low), math.exp(high), int(q)) if kind == "qloguniform" else (low, high, int(q))
    slack = 1e-9 * q  # exp(log(64)) is a little less than 64
    return Int(q * math.ceil((low - slack) / q), q * math.floor((high + slack) / q), kind == "qloguniform", q)


def _labelled(expression: Any) -> tuple[str, Any]:
    if expression.name != "hyperopt_param":
        raise ValueError(
            f"expected one of hyperopt's hp.* expressions, got {expression.name!r}: compute with the value in the objective"
        )
    return expression.pos_args[0].obj, expression.pos_args[1]
