"""Loss functions whose value and gradient agree: every loss is a mean over the batch, and so is its gradient.

`loss(y_out, y_truth)` returns the scalar value; `loss.backward(y_out, y_truth)` returns the gradient of that very value
with respect to y_out, in y_out's shape and dtype, without touching either argument.
"""

import numpy as np
from numpy.typing import NDArray


class Loss:
    """Interface of a loss; see the module's text for the contract of `forward` and `backward`."""

    def __call__(self, y_out: NDArray, y_truth: NDArray) -> float:
        return self.forward(y_out, y_truth)

    def forward(self, y_out: NDArray, y_truth: NDArray) -> float:
        raise NotImplementedError

    def backward(self, y_out: NDArray, y_truth: NDArray) -> NDArray:
        raise NotImplementedError


def _same_shape(y_out: NDArray, y_truth: NDArray, name: str) -> NDArray:
    truth = np.asarray(y_truth)
    if truth.shape != y_out.shape:
        raise ValueError(
            f"{name} expected targets of the output's shape {y_out.shape}, got {truth.shape}: "
            "class labels belong to CrossEntropyFromLogits, or turn them into one-hot rows first"
        )
    return truth


class MSE(Loss):
    """Mean squared error, `mean((y_out - y_truth)**2)` over every element.

    >>> import numpy as np
    >>> MSE()(np.array([[1.0, 3.0]]), np.array([[0.0, 0.0]]))
    5.0
    """

    def forward(self, y_out: NDArray, y_truth: NDArray) -> float:
        """Value for outputs and targets of one shape; raises ValueError when the shapes differ."""
        truth = _same_shape(y_out, y_truth, "MSE")
        return float(np.mean(np.square(y_out - truth)))

    def backward(self, y_out: NDArray, y_truth: NDArray) -> NDArray:
        """Gradient `2 (y_out - y_truth) / size`, in y_out's shape and dtype."""
        truth = _same_shape(y_out, y_truth, "MSE")
        return (y_out - truth).astype(y_out.dtype, copy=False) * y_out.dtype.type(2 / y_out.size)


class BCE(Loss):
    """Binary cross entropy of probabilities, `mean(-y log p - (1 - y) log(1 - p))` (lecture 004).

    Probabilities are clipped to [eps, 1 - eps], with eps the dtype's machine epsilon, so that an exact 0 or 1 gives a
    large finite loss instead of NaN.

    >>> import numpy as np
    >>> round(BCE()(np.array([0.5, 0.5]), np.array([0, 1])), 6)
    0.693147
    """

    @staticmethod
    def _clip(y_out: NDArray) -> NDArray:
        eps = np.finfo(y_out.dtype).eps
        return np.clip(y_out, eps, 1 - eps)

    def forward(self, y_out: NDArray, y_truth: NDArray) -> float:
        """Value for probabilities y_out in [0, 1] and targets in {0, 1} of one shape."""
        truth, p = _same_shape(y_out, y_truth, "BCE"), self._clip(y_out)
        return float(np.mean(-truth * np.log(p) - (1 - truth) * np.log1p(-p)))

    def backward(self, y_out: NDArray, y_truth: NDArray) -> NDArray:
        """Gradient `(p - y) / (p (1 - p)) / size`, in y_out's shape and dtype."""
        truth, p = _same_shape(y_out, y_truth, "BCE"), self._clip(y_out)
        return ((p - truth) / (p * (1 - p)) / y_out.size).astype(y_out.dtype, copy=False)


class CrossEntropyFromLogits(Loss):
    """Softmax followed by cross entropy, from raw scores (logits), computed with the log-sum-exp trick.

    `CE = mean_n( log(sum_c exp(z_nc)) - z_n,y_n )`; the gradient is `(softmax(z) - onehot(y)) / N`.  Taking the logarithm
    of a softmax instead gives NaN as soon as one class wins by a few hundred.

    >>> import numpy as np
    >>> loss = CrossEntropyFromLogits()
    >>> round(loss(np.zeros((4, 10)), np.arange(4)), 4)   # log(10): a network that knows nothing
    2.3026
    >>> loss(np.array([[1000.0, 0.0, 0.0]]), np.array([0]))
    0.0
    """

    @staticmethod
    def _labels(y_out: NDArray, y_truth: NDArray) -> NDArray:
        labels = np.asarray(y_truth)
        if y_out.ndim != 2 or labels.shape != (len(y_out),):
            raise ValueError(
                f"CrossEntropyFromLogits expected logits (N, C) and labels (N,), got {y_out.shape} and {labels.shape}"
            )
        if labels.dtype.kind not in "iu":
            raise ValueError(f"CrossEntropyFromLogits expected integer class labels, got dtype {labels.dtype}")
        if labels.size and (labels.min() < 0 or labels.max() >= y_out.shape[1]):
            raise ValueError(f"class labels must lie in 0..{y_out.shape[1] - 1}, got {labels.min()}..{labels.max()}")
        return labels

    def forward(self, y_out: NDArray, y_truth: NDArray) -> float:
        """Mean loss for logits y_out (N, C) and integer labels y_truth (N,); ValueError for other shapes or ranges."""
        labels = self._labels(y_out, y_truth)
        shifted = y_out - y_out.max(axis=1, keepdims=True)
        log_norm = np.log(np.exp(shifted).sum(axis=1))
        return float(np.mean(log_norm - shifted[np.arange(len(labels)), labels]))

    def backward(self, y_out: NDArray, y_truth: NDArray) -> NDArray:
        """Gradient (N, C) in y_out's dtype; a fresh array on each call."""
        labels = self._labels(y_out, y_truth)
        grad = np.exp(y_out - y_out.max(axis=1, keepdims=True))
        grad /= grad.sum(axis=1, keepdims=True)
        grad[np.arange(len(labels)), labels] -= 1
        grad /= len(labels)
        return grad
