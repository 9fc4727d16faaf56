"""Compare gradients from `backward` with numeric ones, for a single layer or for every parameter of a network.

All of it is computed in float64, on copies, with a random gradient from above.  A gradient of ones would hide bugs:
the outputs of batch norm add up to a constant, so with ones every correct gradient is 0 and so is many a wrong one.

Entries that sit on a kink are left out, see `exercise_code.numeric_derivative`: a correct ReLU must not fail by chance,
which unseeded checks without this precaution let happen about once in 500 runs.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.gradient_report import ArrayCheck, GradientCheck
from exercise_code.model_probe import Params, Probe
from exercise_code.numeric_derivative import numeric_derivative

NUDGE = 1e-2


def check_layer(
    forward: Callable[..., tuple[NDArray, Any]],
    backward: Callable[[NDArray, Any], Any],
    inputs: NDArray | Sequence[NDArray] | Mapping[str, NDArray],
    *,
    max_coordinates: int = 50,
    rtol: float = 1e-6,
    atol: float = 1e-9,
    rng: np.random.Generator | None = None,
) -> GradientCheck:
    """Check the backward pass of one layer against numeric derivatives of `sum(dout * forward(...))`.

    Args:
        forward: called with the inputs in their order, returns `(out, cache)`.
        backward: called with dout (out's shape, standard normal) and the cache; returns the gradient of the only input,
            or a tuple of gradients in the order of the inputs.
        inputs: one array, several, or name -> array (`{"x": x, "w": w, "b": b}`); float64 copies are used.
        max_coordinates: entries compared per array; of larger arrays a random choice.
        rtol, atol: see `ArrayCheck.error`.
        rng: source of dout and of the choice; None uses seed 0.

    Returns:
        A row per input. Writing into dout or into an input is reported as a fault.

    Raises:
        ValueError: an empty input, an output that is not float64, finite or equal in two calls, gradients that do not
            match the inputs in number or shape, or a setting out of range.

    >>> import numpy as np
    >>> from exercise_code.networks.layer import Tanh
    >>> check_layer(Tanh().forward, Tanh().backward, np.linspace(-2, 2, 6)).passed
    True
    >>> check_layer(Tanh().forward, lambda dout, out: dout * (1 - out), np.linspace(-2, 2, 6)).passed
    False
    """
    rng = _settings(max_coordinates, rtol, atol, rng)
    given = _named(inputs)
    arrays = {name: np.array(value, dtype=np.float64) for name, value in given.items()}

    def run() -> tuple[NDArray, Any]:
        out, cache = forward(*(value.copy() for value in arrays.values()))
        return np.asarray(out), cache

    out, cache = run()
    if out.dtype != np.float64 or not np.isfinite(out).all():
        raise ValueError(
            f"expected a finite float64 output for float64 inputs, got {out.dtype}: keep the input's dtype"
        )
    if not np.array_equal(out, run()[0]):
        raise ValueError("two forward passes gave different outputs: give the layer a fixed mask or a fresh generator")

    upstream = rng.standard_normal(out.shape)
    dout, copies = upstream.copy(), [value.copy() for value in arrays.values()]
    _, cache = forward(*copies)
    grads = backward(dout, cache)
    grads = grads if isinstance(grads, tuple) else (grads,)
    shapes = [np.shape(grad) for grad in grads]
    if shapes != [value.shape for value in arrays.values()]:
        raise ValueError(
            f"expected gradients with the inputs' shapes {[value.shape for value in arrays.values()]}, got {shapes}"
        )
    faults = ["the layer writes into dout"] if not np.array_equal(dout, upstream) else []
    for name, copy in zip(arrays, copies, strict=True):
        if not np.array_equal(copy, arrays[name]):
            faults.append(f"the layer writes into its input {name}")

    rows = [
        _compare(name, arrays[name], np.asarray(grad), lambda: run()[0], upstream, max_coordinates, rtol, atol, rng)
        for name, grad in zip(arrays, grads, strict=True)
    ]
    return GradientCheck(tuple(rows), tuple(faults))


def check_network(
    model: Any,
    loss_func: Any,
    x: NDArray,
    y: Any = None,
    *,
    max_coordinates: int = 30,
    rtol: float = 1e-6,
    atol: float = 1e-9,
    rng: np.random.Generator | None = None,
) -> GradientCheck:
    """Check `model.grads` of every parameter against numeric derivatives of the training loss.

    The model itself is not touched: a float64 copy is made and put into training mode; see `exercise_code.model_probe`.
    When all entries of an array sit on a kink (a sample that no ReLU of one layer lets through puts the zero biases of the
    next exactly there), the check is made again at weights that are a small random step away.

    Args:
        model: a network with `params`, `grads`, `reg`, `forward` and `backward`.
        loss_func: a loss as an instance or a class; the regularisation term is added, as the Solver does. None checks
            the network alone, with a random gradient from above.
        x: (N, ...) inputs; a handful of samples is enough and quick.
        y: (N,) labels or what the loss wants; not used without a loss.
        max_coordinates, rtol, atol, rng: see `check_layer`.

    Returns:
        A row per parameter, in the order of `model.params`; a missing gradient or one of a wrong shape is a fault.

    Raises:
        ValueError: a loss or output that is not finite, or a setting out of range.

    >>> import numpy as np
    >>> from exercise_code.networks import ClassificationNet
    >>> from exercise_code.networks.loss import CrossEntropyFromLogits
    >>> net = ClassificationNet(num_layer=2, input_size=4, hidden_size=3, num_classes=2, std="xavier", reg=0.1)
    >>> x, y = np.linspace(-1, 1, 12).reshape(3, 4), np.array([0, 1, 1])
    >>> check = check_network(net, CrossEntropyFromLogits, x, y)
    >>> check.passed, [row.name for row in check.rows]
    (True, ['W1', 'b1', 'W2', 'b2'])
    """
    rng = _settings(max_coordinates, rtol, atol, rng)
    probe = Probe(model, loss_func, x, y, dtype=np.float64)
    check = _check_at(probe, probe.params, max_coordinates, rtol, atol, rng)
    if any(not len(row.indices) for row in check.rows):
        nudged = {name: w + NUDGE * rng.standard_normal(w.shape) for name, w in probe.params.items()}
        check = _check_at(probe, nudged, max_coordinates, rtol, atol, rng)
    return check


def _check_at(
    probe: Probe, params: Params, max_coordinates: int, rtol: float, atol: float, rng: np.random.Generator
) -> GradientCheck:
    if probe.loss_func is None:
        twin = probe.model_at(params)
        upstream = rng.standard_normal(twin.forward(probe.x).shape)
        twin.backward(upstream)
        grads, weights = dict(twin.grads), np.append(upstream, 1.0)

        def value() -> NDArray:  # the outputs and the regularisation term, so that unchanged outputs cancel exactly
            twin = probe.model_at(params)
            return np.append(twin.forward(probe.x), sum(twin.reg.values()))

    else:
        grads, weights = probe.loss_and_grads(params)[1], np.ones(1)

        def value() -> NDArray:
            return np.array([probe.loss(params)])

    if not np.isfinite(value()).all():
        raise ValueError("the loss or output is not finite at these weights: there is no gradient to check")
    rows, faults = [], []
    for name, w in params.items():
        grad = grads.get(name)
        if grad is None:
            faults.append(f"backward left no gradient for {name}")
        elif np.shape(grad) != w.shape:
            faults.append(f"the gradient of {name} has shape {np.shape(grad)} instead of {w.shape}")
        else:
            rows.append(_compare(name, w, np.asarray(grad), value, weights, max_coordinates, rtol, atol, rng))
    return GradientCheck(tuple(rows), tuple(faults))


def _compare(
    name: str,
    array: NDArray,
    grad: NDArray,
    value: Callable[[], NDArray],
    weights: NDArray,
    max_coordinates: int,
    rtol: float,
    atol: float,
    rng: np.random.Generator,
) -> ArrayCheck:
    chosen = np.arange(array.size)
    if array.size > max_coordinates:
        chosen = np.sort(rng.choice(array.size, max_coordinates, replace=False))
    numeric = [numeric_derivative(value, weights, array, int(i), lambda d: rtol * abs(d) + atol) for i in chosen]
    found = np.array([derivative is not None for derivative in numeric], dtype=bool)
    return ArrayCheck(
        name,
        array.shape,
        chosen[found],
        grad.reshape(-1)[chosen[found]].astype(np.float64),
        np.array([derivative for derivative in numeric if derivative is not None], dtype=np.float64),
        int(np.sum(~found)),
        rtol,
        atol,
    )


def _named(inputs: Any) -> dict[str, Any]:
    if isinstance(inputs, Mapping):
        named = dict(inputs)
    elif isinstance(inputs, tuple | list):
        named = {f"input {i}": value for i, value in enumerate(inputs)}
    else:
        named = {"x": inputs}
    for name, value in named.items():
        if not np.size(value):
            raise ValueError(f"expected inputs with at least one entry, got an empty array for {name!r}")
    return named


def _settings(max_coordinates: int, rtol: float, atol: float, rng: np.random.Generator | None) -> np.random.Generator:
    if max_coordinates < 1 or not (rtol > 0 and atol > 0):
        raise ValueError(f"max_coordinates, rtol and atol must be positive, got {max_coordinates}, {rtol} and {atol}")
    return np.random.default_rng(0) if rng is None else rng
