"""Formulas of batch normalisation: forward, backward by hand, compact backward, test time.

Training, per feature over the N samples of the batch:

    mean = sum(x) / N                            var = sum((x - mean)**2) / N        (biased: divisor N)
    normalized = (x - mean) / sqrt(var + eps)    out = gamma * normalized + beta

The lecture's slide calls the mean of squares sigma and then takes sqrt(sigma**2 + eps); it is the variance, sigma**2,
and is called var here.  An affine layer's bias right before batch norm has no effect: the mean is taken away again, and
beta does the bias's work.

A gradient check with an upstream gradient of all ones checks nothing: the normalised values add up to 0 whatever x is,
so dx is 0 for every gamma.  Use random numbers.

Source: Ioffe and Szegedy 2015, algorithm 1; lecture 003.  The layer with parameters and running statistics is in
`exercise_code.networks.normalization`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class BatchCache(NamedTuple):
    """What the training-time forward pass leaves for its backward pass; arrays are (N, D) or (D,).

    >>> import numpy as np
    >>> normalized, of_feature = np.array([[-1.0], [1.0]]), {"gamma": np.ones(1), "mean": np.array([5.0])}
    >>> BatchCache(normalized, np.array([0.5]), **of_feature, var=np.array([4.0])).centered.tolist()
    [[-2.0], [2.0]]
    """

    normalized: NDArray  # (N, D)
    inverse_std: NDArray  # (D,) 1 / sqrt(var + eps)
    gamma: NDArray  # (D,)
    mean: NDArray  # (D,) of the batch
    var: NDArray  # (D,) of the batch, divisor N

    @property
    def centered(self) -> NDArray:
        """x - mean, (N, D); worked out again, because keeping it would double the memory of the layer."""
        return self.normalized / self.inverse_std


class FixedCache(NamedTuple):
    """What the test-time forward pass leaves for its backward pass."""

    normalized: NDArray  # (N, D)
    inverse_std: NDArray  # (D,)
    gamma: NDArray  # (D,)


def batchnorm_forward(x: NDArray, gamma: NDArray, beta: NDArray, *, eps: float = 1e-5) -> tuple[NDArray, BatchCache]:
    """Normalise every feature by the batch's own mean and variance, as in training (formula above).

    Args:
        x: (N, D) floats, N >= 2.
        gamma: (D,) scale.
        beta: (D,) shift.
        eps: > 0, added to the variance; a feature that is constant in the batch gives beta.

    Returns:
        `(out, cache)`: out (N, D) in x's dtype.

    Raises:
        ValueError: N < 2, shapes that do not fit, or eps <= 0.
        TypeError: x does not hold floats.

    >>> import numpy as np
    >>> out, _ = batchnorm_forward(np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([2.0, 2.0]), np.array([0.0, 7.0]))
    >>> out.round(3).tolist()
    [[-2.0, 7.0], [2.0, 7.0]]
    """
    check_arguments(x, eps, gamma=gamma, beta=beta)
    if len(x) < 2:
        raise ValueError(
            f"batch normalisation in training expected at least 2 values per feature, got {len(x)}: the variance of "
            "one value is 0 and all would become beta; use larger batches, drop_last=True in the loader, or eval()"
        )
    ### BEGIN SOLUTION 08_batch_norm
    gamma, beta = gamma.astype(x.dtype, copy=False), beta.astype(x.dtype, copy=False)
    # Added up in float64: the float32 mean of equal large numbers misses them, and a constant feature gets a variance.
    mean = x.mean(axis=0, dtype=np.float64).astype(x.dtype)
    centered = x - mean
    squares = centered * centered
    var = squares.mean(axis=0, dtype=np.float64).astype(x.dtype)
    inverse_std = 1 / np.sqrt(var + eps)
    # from here on centered and squares hold other things: fresh memory for large arrays costs more than the arithmetic
    normalized = np.multiply(centered, inverse_std, out=centered)
    out = np.multiply(normalized, gamma, out=squares)
    out += beta
    return out, BatchCache(normalized, inverse_std, gamma, mean, var)
    ### END SOLUTION


def batchnorm_backward(dout: NDArray, cache: BatchCache) -> tuple[NDArray, NDArray, NDArray]:
    """Gradients through the training-time formula, one node of the computational graph after the other.

    x reaches the output by three ways: directly, through the mean, and through the variance.  For dout (N, D) and the
    cache of `batchnorm_forward`, returns `(dx, dgamma, dbeta)` of shapes (N, D), (D,) and (D,).

    >>> import numpy as np
    >>> _, cache = batchnorm_forward(np.array([[1.0], [2.0], [6.0]]), np.ones(1), np.zeros(1))
    >>> dx, dgamma, dbeta = batchnorm_backward(np.array([[1.0], [0.0], [0.0]]), cache)
    >>> dx.round(3).ravel().tolist(), dgamma.round(3).tolist(), dbeta.tolist()
    ([0.176, -0.22, 0.044], [-0.926], [1.0])
    """
    ### BEGIN SOLUTION 08_batch_norm
    N = len(dout)
    # out = gamma * normalized + beta
    dbeta = dout.sum(axis=0)
    dgamma = (dout * cache.normalized).sum(axis=0)
    dnormalized = dout * cache.gamma
    # normalized = centered * inverse_std
    centered = cache.centered
    dinverse_std = (dnormalized * centered).sum(axis=0)
    dcentered = dnormalized * cache.inverse_std
    # inverse_std = (var + eps)**(-1/2)
    dvar = -0.5 * cache.inverse_std**3 * dinverse_std
    # var = sum(centered**2) / N
    dcentered += 2 / N * centered * dvar
    # centered = x - mean
    dmean = -dcentered.sum(axis=0)
    # mean = sum(x) / N
    dx = dcentered + dmean / N
    return dx, dgamma, dbeta
    ### END SOLUTION


def batchnorm_backward_compact(dout: NDArray, cache: BatchCache) -> tuple[NDArray, NDArray, NDArray]:
    """The gradients of `batchnorm_backward` with the algebra done.

        dx = gamma / sqrt(var + eps) * (dout - dbeta / N - normalized * dgamma / N)

    Read it as a projection: what dout has in common with a constant and with `normalized` is taken away, because
    shifting or scaling a feature does not change the output.  It passes over the batch fewer times, so `BatchNorm` uses
    it.  Arguments and results are those of `batchnorm_backward`.

    >>> import numpy as np
    >>> _, cache = batchnorm_forward(np.array([[1.0], [2.0], [6.0]]), np.ones(1), np.zeros(1))
    >>> batchnorm_backward_compact(np.array([[1.0], [0.0], [0.0]]), cache)[0].round(3).ravel().tolist()
    [0.176, -0.22, 0.044]
    """
    ### BEGIN SOLUTION 08_batch_norm
    N = len(dout)
    dbeta = dout.sum(axis=0)
    dgamma = np.einsum("nd,nd->d", dout, cache.normalized)
    dx = cache.normalized * (-dgamma / N)  # the formula from right to left, in one array
    dx += dout
    dx -= dbeta / N
    dx *= cache.gamma * cache.inverse_std
    return dx, dgamma, dbeta
    ### END SOLUTION


def batchnorm_test_forward(
    x: NDArray, gamma: NDArray, beta: NDArray, mean: NDArray, var: NDArray, *, eps: float = 1e-5
) -> tuple[NDArray, FixedCache]:
    """Normalise by given statistics (test time): every sample for itself, so N may be 1.

    Exercise code in circulation leaves eps out here; a feature whose running variance is 0 then gives inf.

    Args:
        x: (N, D) floats, N >= 0.
        gamma: (D,) scale.
        beta: (D,) shift.
        mean: (D,) running mean.
        var: (D,) running variance, >= 0.
        eps: > 0, the same as in training.

    Returns:
        `(out, cache)`: out (N, D) in x's dtype.

    Raises:
        ValueError: shapes that do not fit, or eps <= 0.
        TypeError: x does not hold floats.

    >>> import numpy as np
    >>> one, zero = np.ones(1), np.zeros(1)
    >>> batchnorm_test_forward(np.array([[3.0]]), one, zero, mean=one, var=4 * one)[0].round(3).tolist()
    [[1.0]]
    """
    check_arguments(x, eps, gamma=gamma, beta=beta, mean=mean, var=var)
    ### BEGIN SOLUTION 08_batch_norm
    gamma, beta, mean, var = (part.astype(x.dtype, copy=False) for part in (gamma, beta, mean, var))
    inverse_std = 1 / np.sqrt(var + eps)
    normalized = (x - mean) * inverse_std
    return gamma * normalized + beta, FixedCache(normalized, inverse_std, gamma)
    ### END SOLUTION


def batchnorm_test_backward(dout: NDArray, cache: FixedCache) -> tuple[NDArray, NDArray, NDArray]:
    """Gradients at test time, where the statistics are constants: `dx = dout * gamma / std`.  For frozen layers.

    Returns:
        `(dx, dgamma, dbeta)` of shapes (N, D), (D,) and (D,).

    >>> import numpy as np
    >>> one, zero = np.ones(1), np.zeros(1)
    >>> _, cache = batchnorm_test_forward(np.array([[3.0]]), one, zero, mean=one, var=4 * one)
    >>> batchnorm_test_backward(np.array([[10.0]]), cache)[0].round(3).tolist()
    [[5.0]]
    """
    return dout * (cache.gamma * cache.inverse_std), (dout * cache.normalized).sum(axis=0), dout.sum(axis=0)


def check_arguments(x: NDArray, eps: float, **per_feature: NDArray) -> None:
    """Refuse x that is not (N, D) floats, parts that are not (D,), and an eps that is not above 0.

    >>> import numpy as np
    >>> check_arguments(np.ones((2, 3)), 1e-5, gamma=np.ones(3))
    """
    if x.dtype.kind != "f":
        raise TypeError(f"batch normalisation expected floats, got dtype {x.dtype}")
    if x.ndim != 2:
        raise ValueError(f"batch normalisation expected x (N, D), got shape {x.shape}; images go to BatchNorm2d")
    for name, part in per_feature.items():
        if part.shape != (x.shape[1],):
            raise ValueError(f"{name} must have one number per feature of x {x.shape}, got shape {part.shape}")
    check_eps(eps)


def check_eps(eps: float) -> None:
    """Refuse an eps that is not a finite number above 0, with ValueError: eps = 0 divides by 0 for a constant feature.

    >>> check_eps(1e-5)
    """
    if not 0 < eps < np.inf:
        raise ValueError(f"eps must be a finite number above 0, got {eps!r}")
