"""Batch norm layers with parameters, running statistics and a switch between training and evaluation (lecture 003).

Training normalises by the batch's own mean and biased variance (formulas in `exercise_code.networks.batchnorm`) and
moves the running statistics; evaluation uses the same formula, eps included, with the running statistics instead:

    running = momentum * running + (1 - momentum) * batch

`momentum` is the weight of the OLD value (Keras and CS231n; 0.9 here); torch's momentum is the weight of the new one,
so 0.9 here is torch's 0.1.  running_mean starts at 0 and running_var at 1.  As in torch, running_var stores the
unbiased variance (divisor N - 1), although the batch is normalised with the biased one.  After one batch running_mean
has come only 10 % of its way (1 - 0.9**steps after several): a network judged after a few steps looks too bad.
"""

import numpy as np
from numpy.typing import NDArray

from exercise_code.networks import batchnorm  # by its module, so that formulas plugged in there count here, too
from exercise_code.networks.batchnorm import BatchCache, FixedCache, check_eps


class BatchNorm:
    """Batch norm of D features with its parameters, running statistics and a switch; it starts in training mode.

    Args:
        features: D, >= 1.
        momentum: weight of the old running value, 0 <= momentum < 1; torch's momentum is 1 minus this.
        eps: > 0, added to the variance in training and at test time.
        dtype: of parameters and statistics; outputs have the input's dtype.

    Attributes:
        gamma, beta: (D,) parameters, starting at 1 and 0.
        running_mean, running_var: (D,) statistics for test time, starting at 0 and 1; running_var is unbiased.
        training: True until `eval()`.

    Raises:
        ValueError: a setting outside its range.

    >>> import numpy as np
    >>> layer = BatchNorm(1, dtype=np.float64)
    >>> out, _ = layer.forward(np.array([[8.0], [12.0]]))        # mean 10, variance 4 (biased), 8 (unbiased)
    >>> layer.running_mean.round(6).tolist(), layer.running_var.round(6).tolist()    # 0.1 * 10, 0.9 * 1 + 0.1 * 8
    ([1.0], [1.7])
    >>> layer.eval()
    >>> layer.forward(np.array([[1.0]]))[0].round(6).tolist()
    [[0.0]]
    """

    parameters = ("gamma", "beta")
    statistics = ("running_mean", "running_var")

    def __init__(self, features: int, *, momentum: float = 0.9, eps: float = 1e-5, dtype: type = np.float32):
        if features < 1:
            raise ValueError(f"features must be at least 1, got {features!r}")
        if not 0 <= momentum < 1:
            raise ValueError(
                f"momentum is the weight of the old running value and must lie in [0, 1), got {momentum!r} "
                "(torch's momentum is 1 minus this one)"
            )
        check_eps(eps)
        self.momentum, self.eps, self.training = float(momentum), float(eps), True
        self.gamma: NDArray = np.ones(features, dtype)
        self.beta: NDArray = np.zeros(features, dtype)
        self.running_mean: NDArray = np.zeros(features, dtype)
        self.running_var: NDArray = np.ones(features, dtype)

    def train(self) -> None:
        """Use the batch's statistics from now on, and keep the running ones up to date."""
        self.training = True

    def eval(self) -> None:
        """Use the running statistics from now on, and leave them alone."""
        self.training = False

    def forward(self, x: NDArray) -> tuple[NDArray, BatchCache | FixedCache]:
        """Return `(out, cache)` for x (N, D); raises ValueError for N < 2 in training mode."""
        if not self.training:
            return batchnorm.batchnorm_test_forward(
                x, self.gamma, self.beta, self.running_mean, self.running_var, eps=self.eps
            )
        out, cache = batchnorm.batchnorm_forward(x, self.gamma, self.beta, eps=self.eps)
        self.running_mean = self._moved(self.running_mean, cache.mean)
        self.running_var = self._moved(self.running_var, cache.var * (len(x) / (len(x) - 1)))
        return out, cache

    def backward(self, dout: NDArray, cache: BatchCache | FixedCache) -> tuple[NDArray, NDArray, NDArray]:
        """Return `(dx, dgamma, dbeta)` for dout (N, D) and the cache of the same forward pass, of either mode."""
        if isinstance(cache, FixedCache):
            return batchnorm.batchnorm_test_backward(dout, cache)
        return batchnorm.batchnorm_backward_compact(dout, cache)

    def _moved(self, running: NDArray, batch: NDArray) -> NDArray:
        return (self.momentum * running + (1 - self.momentum) * batch).astype(running.dtype, copy=False)


class BatchNorm2d(BatchNorm):
    """Batch norm of images: one mean and variance per channel, over samples and pixels (N, H, W).

    A convolution treats every pixel alike, so each pixel is one more sample of its channel: (N, C, H, W) is written as
    (N * H * W, C) and given to the 1-D layer.  Settings and attributes are those of `BatchNorm`, with features = C; the
    divisors are N * H * W and N * H * W - 1.

    >>> import numpy as np
    >>> out, _ = BatchNorm2d(3).forward(np.random.default_rng(0).random((2, 3, 4, 5), dtype=np.float32))
    >>> out.shape, bool(np.allclose(out.mean(axis=(0, 2, 3)), 0, atol=1e-6))
    ((2, 3, 4, 5), True)
    """

    def forward(self, x: NDArray) -> tuple[NDArray, BatchCache | FixedCache]:
        """Return `(out, cache)` for x (N, C, H, W); ValueError for other shapes, and in training for N * H * W < 2."""
        if x.ndim != 4:
            raise ValueError(f"BatchNorm2d expected images (N, C, H, W), got shape {x.shape}")
        out, cache = super().forward(_to_rows(x))
        return _to_images(out, x.shape), cache

    def backward(self, dout: NDArray, cache: BatchCache | FixedCache) -> tuple[NDArray, NDArray, NDArray]:
        """Return `(dx, dgamma, dbeta)` of shapes (N, C, H, W), (C,) and (C,)."""
        dx, dgamma, dbeta = super().backward(_to_rows(dout), cache)
        return _to_images(dx, dout.shape), dgamma, dbeta


def _to_rows(images: NDArray) -> NDArray:
    """(N, C, H, W) -> (N * H * W, C)."""
    return images.transpose(0, 2, 3, 1).reshape(-1, images.shape[1])


def _to_images(rows: NDArray, shape: tuple[int, ...]) -> NDArray:
    """(N * H * W, C) -> (N, C, H, W), contiguous as the input was."""
    N, C, H, W = shape
    return np.ascontiguousarray(rows.reshape(N, H, W, C).transpose(0, 3, 1, 2))
