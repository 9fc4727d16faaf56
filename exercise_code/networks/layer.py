"""Element-wise activations and the affine layer, forward and backward.

Every activation is stateless: `forward(x) -> (out, cache)` and `backward(dout, cache) -> dx` take and return arrays of one
shape, keep the input's dtype and never write into their arguments, so one instance may be shared by many networks.
The Jacobian of an element-wise function is diagonal, so the matrix product `J.T @ dout` of the lecture is one
element-wise product in the code.
"""

import numpy as np
from numpy.typing import NDArray


class Sigmoid:
    """Logistic function, `1 / (1 + exp(-x))`, with values in (0, 1) (lecture 004, review of exercise 5).

    >>> import numpy as np
    >>> out, _ = Sigmoid().forward(np.array([-1000.0, 0.0, 1000.0]))
    >>> out.tolist()
    [0.0, 0.5, 1.0]
    """

    def forward(self, x: NDArray) -> tuple[NDArray, NDArray]:
        """Return `(out, cache)`, both of x's shape; the cache is the output.

        Both branches take the exponential of a number that is not positive, so nothing overflows; the one-line formula
        warns below -89 in float32 and below -710 in float64.
        """
        z = np.exp(-np.abs(x))
        out = np.where(x >= 0, 1, z) / (1 + z)
        out = out.astype(np.result_type(x, np.float32), copy=False)
        return out, out

    def backward(self, dout: NDArray, cache: NDArray) -> NDArray:
        """Return `dout * s * (1 - s)`, where the cache s is the forward output."""
        return dout * cache * (1 - cache)


class Tanh:
    """Hyperbolic tangent with values in (-1, 1); its derivative is `1 - tanh(x)**2` (lecture 004).

    >>> import numpy as np
    >>> out, cache = Tanh().forward(np.array([0.0]))
    >>> Tanh().backward(np.array([2.0]), cache).tolist()
    [2.0]
    """

    def forward(self, x: NDArray) -> tuple[NDArray, NDArray]:
        """Return `(out, cache)`: out has x's shape; the cache is whatever your backward needs."""
        ### BEGIN SOLUTION 04_grid_search
        out = np.tanh(x)
        return out, out
        ### END SOLUTION

    def backward(self, dout: NDArray, cache: NDArray) -> NDArray:
        """Return dx of dout's shape, the gradient of the loss with respect to the input."""
        ### BEGIN SOLUTION 04_grid_search
        return dout * (1 - cache * cache)
        ### END SOLUTION


class Relu:
    """Rectified linear unit, `max(0, x)`; the gradient at 0 is taken as 0.

    >>> import numpy as np
    >>> out, cache = Relu().forward(np.array([-1.0, 2.0]))
    >>> Relu().backward(np.array([5.0, 5.0]), cache).tolist()
    [0.0, 5.0]
    """

    def forward(self, x: NDArray) -> tuple[NDArray, NDArray]:
        """Return `(out, cache)`: out has x's shape, the cache is the boolean mask of positive inputs."""
        mask = x > 0
        return x * mask, mask

    def backward(self, dout: NDArray, cache: NDArray) -> NDArray:
        """Return dout where the input was positive and 0 elsewhere, as a new array."""
        return dout * cache


class LeakyRelu:
    """Leaky rectifier, x where it is positive and `slope * x` elsewhere.

    The slide of lecture 004 uses slope 0.1, the exercise's code 0.01; it is a parameter here, 0.01 unless told otherwise.

    >>> import numpy as np
    >>> LeakyRelu(slope=0.1).forward(np.array([-10.0, 2.0]))[0].tolist()
    [-1.0, 2.0]
    """

    def __init__(self, slope: float = 0.01):
        self.slope = slope

    def forward(self, x: NDArray) -> tuple[NDArray, NDArray]:
        """Return `(out, cache)`: out has x's shape and dtype; the cache is whatever your backward needs."""
        ### BEGIN SOLUTION 04_grid_search
        mask = x > 0
        return np.where(mask, x, x.dtype.type(self.slope) * x), mask
        ### END SOLUTION

    def backward(self, dout: NDArray, cache: NDArray) -> NDArray:
        """Return dx of dout's shape, as a new array: dout itself must stay as it was."""
        ### BEGIN SOLUTION 04_grid_search
        return np.where(cache, dout, dout.dtype.type(self.slope) * dout)
        ### END SOLUTION


def affine_forward(x: NDArray, w: NDArray, b: NDArray) -> tuple[NDArray, tuple[NDArray, NDArray, NDArray]]:
    """Fully connected layer, `out = x @ w + b`.

    Args:
        x: (N, ...) inputs; all axes but the first are flattened to D features.
        w: (D, M) weights.
        b: (M,) biases.

    Returns:
        `(out, cache)`: out (N, M), cache `(x, w, b)`.
    """
    out = x.reshape(len(x), -1) @ w
    out += b
    return out, (x, w, b)


def affine_backward(
    dout: NDArray, cache: tuple[NDArray, NDArray, NDArray], *, need_dx: bool = True
) -> tuple[NDArray | None, NDArray, NDArray]:
    """Gradients of the affine layer.

    Args:
        dout: (N, M) gradient of the loss with respect to the layer's output.
        cache: `(x, w, b)` from `affine_forward`.
        need_dx: False skips the input's gradient (returned as None): the first layer of a network never needs it, and it
            is a third of the layer's work.

    Returns:
        `(dx, dw, db)` with the shapes of x, w and b.
    """
    x, w, _ = cache
    dw = x.reshape(len(x), -1).T @ dout
    db = dout.sum(axis=0)
    dx = (dout @ w.T).reshape(x.shape) if need_dx else None
    return dx, dw, db
