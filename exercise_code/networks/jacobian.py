"""The Jacobian that a layer's backward pass never builds, in full, for looking at (lecture 004)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_ELEMENTS = 1024
"""Largest number of inputs or outputs that `jacobian` accepts: 1024 x 1024 float64 numbers are 8 MiB."""


def jacobian(activation: Any, x: NDArray, *, max_elements: int = MAX_ELEMENTS) -> NDArray:
    """Full Jacobian `J[i, j] = d out_i / d x_j` of a layer at x, both sides flattened in row-major order.

    `backward(dout)` is the product `J.T @ dout`, so the i-th unit vector as dout gives the i-th row of J.  The matrix
    of an element-wise activation is diagonal, N entries out of N**2: that is why the code multiplies element-wise.
    Maxout, whose outputs share inputs, and batch norm, whose samples share statistics, are not diagonal.

    What is shown is the layer's own backward pass, so a wrong backward shows a wrong matrix; compare it with finite
    differences of `forward` to know.  `forward` runs once, so a dropout layer draws one mask and batch norm in training
    mode updates its running statistics once.

    Args:
        activation: an instance with `forward(x) -> (out, cache)` and `backward(dout, cache)`, where backward returns dx
            or a tuple that starts with dx.
        x: inputs of any shape, N numbers in total.
        max_elements: largest number of inputs and of outputs that is accepted.

    Returns:
        (number of outputs, number of inputs) array of the output's dtype; N x N for an element-wise activation.

    Raises:
        ValueError: the input or the output has more than max_elements numbers.

    >>> import numpy as np
    >>> from exercise_code.networks.layer import Sigmoid
    >>> x, dout = np.array([0.0, 2.0]), np.array([8.0, 1.0])
    >>> full = jacobian(Sigmoid(), x)
    >>> full.round(3).tolist()
    [[0.25, 0.0], [0.0, 0.105]]
    >>> bool(np.allclose(full.T @ dout, Sigmoid().backward(dout, Sigmoid().forward(x)[1])))
    True
    """
    _refuse_large("input", x.size, max_elements)
    out, cache = activation.forward(x)
    _refuse_large("output", out.size, max_elements)
    rows = np.empty((out.size, x.size), dtype=out.dtype)
    for i in range(out.size):
        dout = np.zeros(out.size, dtype=out.dtype)
        dout[i] = 1
        dx = activation.backward(dout.reshape(out.shape), cache)
        rows[i] = np.ravel(dx[0] if isinstance(dx, tuple) else dx)
    return rows


def _refuse_large(name: str, size: int, limit: int) -> None:
    if size > limit:
        raise ValueError(
            f"expected an {name} of at most {limit} numbers, got {size}: the full Jacobian is for looking at small "
            "cases (take fewer samples, or raise max_elements); training needs only backward"
        )
