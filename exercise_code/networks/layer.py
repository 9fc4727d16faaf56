"""Element-wise activations, the affine layer and Maxout, forward and backward.

Every element-wise activation is stateless: `forward(x) -> (out, cache)` and `backward(dout, cache) -> dx` take and
return arrays of one shape, keep the input's dtype and never write into their arguments, so one instance may be shared
by many networks.  The Jacobian of an element-wise function is diagonal, so the matrix product `J.T @ dout` of the
lecture is one element-wise product in the code (`exercise_code.networks.jacobian` shows the full matrix).

Maxout is the maximum of affine maps: it changes the number of features and has parameters, so it follows the affine
layer's conventions.
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
        """Return `(out, cache)`: out has x's shape and dtype; the cache is whatever your backward needs.

        No step on the way may overflow.  The formula as it is printed does: its exponential leaves the range of float32
        for x below -88, of float64 below -709.
        """
        ### BEGIN SOLUTION 01_sigmoid
        z = np.exp(-np.abs(x))  # of a number that is never positive, so at most 1
        out = np.where(x >= 0, 1, z) / (1 + z)
        out = out.astype(np.result_type(x, np.float32), copy=False)
        return out, out
        ### END SOLUTION

    def backward(self, dout: NDArray, cache: NDArray) -> NDArray:
        """Return dx of dout's shape and dtype, the gradient of the loss with respect to the input, as a new array."""
        ### BEGIN SOLUTION 01_sigmoid
        return dout * cache * (1 - cache)
        ### END SOLUTION


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
        """Return `(out, cache)`: out has x's shape and dtype; the cache is whatever your backward needs."""
        ### BEGIN SOLUTION 01_sigmoid
        return np.maximum(x, 0), x > 0
        ### END SOLUTION

    def backward(self, dout: NDArray, cache: NDArray) -> NDArray:
        """Return dx of dout's shape and dtype, as a new array: dout itself must stay as it was."""
        ### BEGIN SOLUTION 01_sigmoid
        return dout * cache
        ### END SOLUTION


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


class Elu:
    """Exponential linear unit, x where it is positive and `alpha * (exp(x) - 1)` elsewhere (lecture 004).

    Source: Clevert et al. 2016.  Values lie in [-alpha, inf): large negative inputs saturate at -alpha.  The derivative
    is 1 for positive x and `alpha * exp(x)` elsewhere, so alpha at exactly 0, as in the paper and in torch; the lecture
    counts 0 to the other branch, which gives the same value and derivative 1.  They differ only where alpha is not 1.

    Args:
        alpha: size of the negative saturation, a finite number >= 0; 0 gives ReLU.

    Raises:
        ValueError: alpha is negative or not finite.

    >>> import numpy as np
    >>> out, cache = Elu(alpha=2.0).forward(np.array([-1000.0, 0.0, 3.0]))
    >>> out.tolist()
    [-2.0, 0.0, 3.0]
    >>> Elu(alpha=2.0).backward(np.array([5.0, 5.0, 5.0]), cache).tolist()
    [0.0, 10.0, 5.0]
    """

    def __init__(self, alpha: float = 1.0):
        if not 0 <= alpha < np.inf:
            raise ValueError(f"alpha must be a finite number >= 0, got {alpha!r}")
        self.alpha = float(alpha)

    def forward(self, x: NDArray) -> tuple[NDArray, NDArray]:
        """Return `(out, cache)`: out has x's shape and dtype; the cache is whatever your backward needs.

        No step on the way may overflow, not even in entries whose result is thrown away.
        """
        ### BEGIN SOLUTION 01_sigmoid
        # The exponential sees no positive number; expm1 keeps the digits that exp(x) - 1 loses near 0.
        return np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0))), x
        ### END SOLUTION

    def backward(self, dout: NDArray, cache: NDArray) -> NDArray:
        """Return dx of dout's shape and dtype, as a new array."""
        ### BEGIN SOLUTION 01_sigmoid
        return dout * np.where(cache > 0, 1, self.alpha * np.exp(np.minimum(cache, 0)))
        ### END SOLUTION


def affine_forward(x: NDArray, w: NDArray, b: NDArray) -> tuple[NDArray, tuple[NDArray, NDArray, NDArray]]:
    """Fully connected layer, `out = x @ w + b`.

    Args:
        x: (N, ...) inputs; all axes but the first are flattened to D features.
        w: (D, M) weights.
        b: (M,) biases.

    Returns:
        `(out, cache)`: out (N, M), cache `(x, w, b)`.

    >>> import numpy as np
    >>> affine_forward(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]), np.array([0.5]))[0].tolist()
    [[11.5]]
    """
    ### BEGIN SOLUTION 01_sigmoid
    out = x.reshape(len(x), w.shape[0]) @ w
    out += b
    return out, (x, w, b)
    ### END SOLUTION


def affine_backward(
    dout: NDArray, cache: tuple[NDArray, NDArray, NDArray], *, need_dx: bool = True
) -> tuple[NDArray | None, NDArray, NDArray]:
    """Gradients of the affine layer.

    Args:
        dout: (N, M) gradient of the loss with respect to the layer's output.
        cache: `(x, w, b)` from `affine_forward`.
        need_dx: False allows to skip the input's gradient (and to return None for it): the first layer of a network never
            needs it, and it is a third of the layer's work.

    Returns:
        `(dx, dw, db)` with the shapes of x, w and b.

    >>> import numpy as np
    >>> _, cache = affine_forward(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]), np.array([0.5]))
    >>> [gradient.tolist() for gradient in affine_backward(np.array([[10.0]]), cache)]
    [[[30.0, 40.0]], [[10.0], [20.0]], [10.0]]
    """
    ### BEGIN SOLUTION 01_sigmoid
    x, w, _ = cache
    dw = x.reshape(len(x), w.shape[0]).T @ dout
    db = dout.sum(axis=0)
    dx = (dout @ w.T).reshape(x.shape) if need_dx else None
    return dx, dw, db
    ### END SOLUTION


MaxoutCache = tuple[NDArray, NDArray, NDArray]  # x, w and the winning piece of every output, (N, M)


def maxout_forward(x: NDArray, w: NDArray, b: NDArray) -> tuple[NDArray, MaxoutCache]:
    """Largest of k affine maps, `out[n, m] = max_k (x @ w[k] + b[k])[n, m]` (lecture 004 with k = 2).

    Source: Goodfellow et al. 2013.  A unit is a convex, piecewise linear function of its inputs that is learned instead
    of chosen: ReLU (one piece is 0), leaky ReLU and the absolute value are cases of two pieces.

    Args:
        x: (N, ...) inputs; all axes but the first are flattened to D features.
        w: (k, D, M) weights of k >= 1 pieces.
        b: (k, M) biases.

    Returns:
        `(out, cache)`: out (N, M), cache `(x, w, winner)` with winner (N, M) the index of the piece that was largest.
        Of equal pieces the first wins.

    Raises:
        ValueError: the shapes do not fit each other.

    >>> import numpy as np
    >>> w, b = np.array([[[1.0]], [[0.0]]]), np.zeros((2, 1))     # max(x, 0): ReLU
    >>> maxout_forward(np.array([[-3.0], [4.0]]), w, b)[0].tolist()
    [[0.0], [4.0]]
    """
    features = int(np.prod(x.shape[1:]))
    if w.ndim != 3 or b.shape != (w.shape[0], w.shape[2]) or len(w) < 1 or features != w.shape[1]:
        raise ValueError(
            "maxout expected x (N, D), w (k, D, M) and b (k, M) with k of at least 1, "
            f"got x {x.shape} with D = {features}, w {w.shape} and b {b.shape}"
        )
    pieces = x.reshape(len(x), features) @ w  # (k, N, M)
    pieces += b[:, np.newaxis]
    return pieces.max(axis=0), (x, w, pieces.argmax(axis=0))


def maxout_backward(
    dout: NDArray, cache: MaxoutCache, *, need_dx: bool = True
) -> tuple[NDArray | None, NDArray, NDArray]:
    """Gradients of Maxout: only the winning piece of an output receives that output's gradient.

    Where pieces tie, the function has a kink and the whole gradient goes to the first of them (a valid subgradient;
    torch's `max(dim)` also picks one piece, its `amax` shares the gradient equally).

    Args:
        dout: (N, M) gradient of the loss with respect to the layer's output.
        cache: from `maxout_forward`.
        need_dx: False skips the input's gradient (returned as None).

    Returns:
        `(dx, dw, db)` with the shapes of x, w (k, D, M) and b (k, M).

    >>> import numpy as np
    >>> w, b = np.array([[[1.0]], [[0.0]]]), np.zeros((2, 1))
    >>> _, cache = maxout_forward(np.array([[-3.0], [4.0]]), w, b)
    >>> dx, dw, db = maxout_backward(np.array([[10.0], [1.0]]), cache)
    >>> dx.tolist(), dw.ravel().tolist(), db.ravel().tolist()
    ([[0.0], [1.0]], [4.0, -30.0], [1.0, 10.0])
    """
    x, w, winner = cache
    dpieces = dout * (winner == np.arange(len(w)).reshape(-1, 1, 1))  # (k, N, M)
    dw = x.reshape(len(x), w.shape[1]).T @ dpieces
    db = dpieces.sum(axis=1)
    dx = (dpieces @ w.transpose(0, 2, 1)).sum(axis=0).reshape(x.shape) if need_dx else None
    return dx, dw, db


class Maxout:
    """Maxout layer that holds its k affine pieces; see `maxout_forward` for the formula.

    Unlike the element-wise activations it maps D features to M and its backward returns parameter gradients too, so it
    stands in a network where an affine layer and its activation would.

    Args:
        w: (k, D, M) weights, kept as given (an optimizer may update them in place).
        b: (k, M) biases, likewise.

    >>> import numpy as np
    >>> absolute = Maxout(w=np.array([[[1.0]], [[-1.0]]]), b=np.zeros((2, 1)))
    >>> out, cache = absolute.forward(np.array([[-3.0], [4.0]]))
    >>> out.ravel().tolist()
    [3.0, 4.0]
    """

    parameters = ("w", "b")

    def __init__(self, w: NDArray, b: NDArray):
        self.w, self.b = w, b

    def forward(self, x: NDArray) -> tuple[NDArray, MaxoutCache]:
        """Return `(out, cache)` for x (N, D) or (N, ...): out is (N, M); ValueError when shapes do not fit."""
        return maxout_forward(x, self.w, self.b)

    def backward(self, dout: NDArray, cache: MaxoutCache) -> tuple[NDArray | None, NDArray, NDArray]:
        """Return `(dx, dw, db)` for dout (N, M)."""
        return maxout_backward(dout, cache)
