"""Loss functions whose value and gradient agree: every loss is a mean over the batch, and so is its gradient.

`loss(y_out, y_truth)` returns the scalar value; `loss.backward(y_out, y_truth)` returns the gradient of that very value
with respect to y_out, in y_out's shape and dtype, without touching either argument.  (Exercise code in circulation
leaves the division by N out of the gradient, which is then N times that of its own value.)  An empty batch has no mean
and is refused with ValueError.
"""

import numpy as np
from numpy.typing import NDArray

from exercise_code.networks.layer import Sigmoid


class Loss:
    """Interface of a loss; see the module's text for the contract of `forward` and `backward`.

    >>> class Hinge(Loss):
    ...     def forward(self, y_out, y_truth):
    ...         return float(np.mean(np.maximum(0, 1 - y_out * y_truth)))
    ...     def backward(self, y_out, y_truth):
    ...         return -y_truth * (y_out * y_truth < 1) / y_out.size
    >>> Hinge()(np.array([0.5, 3.0]), np.array([1.0, 1.0]))
    0.25
    """

    def __call__(self, y_out: NDArray, y_truth: NDArray) -> float:
        return self.forward(y_out, y_truth)

    def forward(self, y_out: NDArray, y_truth: NDArray) -> float:
        """Return the mean loss of outputs y_out (N, ...) against targets y_truth (N, ...) or labels (N,)."""
        raise NotImplementedError

    def backward(self, y_out: NDArray, y_truth: NDArray) -> NDArray:
        """Return the gradient of `forward` with respect to y_out, in its shape and dtype, as a new array."""
        raise NotImplementedError


def _same_shape(y_out: NDArray, y_truth: NDArray, name: str) -> NDArray:
    truth = np.asarray(y_truth)
    if truth.shape != y_out.shape:
        raise ValueError(
            f"{name} expected targets of the output's shape {y_out.shape}, got {truth.shape}: "
            "class labels belong to CrossEntropyFromLogits, or turn them into one-hot rows first"
        )
    _refuse_empty(y_out, name)
    return truth.astype(np.result_type(y_out.dtype, np.float32), copy=False)  # unsigned labels would wrap below 0


def _refuse_empty(y_out: NDArray, name: str) -> None:
    if not y_out.size:
        raise ValueError(f"{name} expected at least one sample, got outputs of shape {y_out.shape}")


def log_softmax(logits: NDArray) -> NDArray:
    """Logarithm of the softmax, `z - log(sum_c exp(z_c))` per row, finite for every finite input.

    Args:
        logits: (N, C) floats.

    Returns:
        (N, C) in the dtype of logits, <= 0; a new array.

    >>> log_softmax(np.array([[0.0, 1000.0]])).tolist()
    [[-1000.0, 0.0]]
    """
    ### BEGIN SOLUTION 02_solver
    shifted = logits - logits.max(axis=1, keepdims=True)  # no exponential can overflow, and their sum is at least 1
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted
    ### END SOLUTION


def cross_entropy(log_p: NDArray, labels: NDArray) -> float:
    """Mean over the samples of minus the log-probability of the true class, in nats.

    Args:
        log_p: (N, C) log-probabilities, N >= 1.
        labels: (N,) true classes, integers from 0 to C - 1.

    >>> round(cross_entropy(np.log([[0.5, 0.5], [0.5, 0.5]]), np.array([0, 1])), 4)
    0.6931
    """
    ### BEGIN SOLUTION 02_solver
    return float(-np.mean(log_p[np.arange(len(labels)), labels]))
    ### END SOLUTION


def cross_entropy_gradient(p: NDArray, labels: NDArray) -> NDArray:
    """Gradient of the mean cross entropy with respect to the logits: `(p - onehot(labels)) / N`.

    Args:
        p: (N, C) probabilities, the softmax of the logits; N >= 1.
        labels: (N,) true classes, integers from 0 to C - 1.

    Returns:
        (N, C) in the dtype of p, a new array: p is still needed.

    >>> cross_entropy_gradient(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([0, 0])).tolist()
    [[-0.25, 0.25], [0.0, 0.0]]
    """
    ### BEGIN SOLUTION 02_solver
    grad = p.copy()
    grad[np.arange(len(labels)), labels] -= 1
    grad /= len(labels)
    return grad
    ### END SOLUTION


def _softmax(logits: NDArray) -> NDArray:
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities


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


class L1(Loss):
    """Mean absolute error, `mean(|y_out - y_truth|)` over every element.

    The gradient is `sign(y_out - y_truth) / size`; at the kink, where output and target are equal, it is 0: the middle
    of the subgradients from -1 to 1, as in torch.  An outlier pulls no harder than any other sample, unlike with MSE.

    >>> import numpy as np
    >>> loss, y_out, y_truth = L1(), np.array([[1.0, -3.0, 2.0, 0.0]]), np.array([[0.0, 0.0, 2.0, 4.0]])
    >>> loss(y_out, y_truth), loss.backward(y_out, y_truth).tolist()
    (2.0, [[0.25, -0.25, 0.0, -0.25]])
    """

    def forward(self, y_out: NDArray, y_truth: NDArray) -> float:
        """Value for outputs and targets of one shape; raises ValueError when the shapes differ."""
        return float(np.mean(np.abs(y_out - _same_shape(y_out, y_truth, "L1"))))

    def backward(self, y_out: NDArray, y_truth: NDArray) -> NDArray:
        """Gradient `sign(y_out - y_truth) / size`, in y_out's shape and dtype."""
        difference = y_out - _same_shape(y_out, y_truth, "L1")
        return (np.sign(difference) / y_out.size).astype(y_out.dtype, copy=False)


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


class BCEFromLogits(Loss):
    """Sigmoid followed by binary cross entropy, from raw scores z, without ever taking the logarithm of a probability.

    `mean(max(z, 0) - z y + log(1 + exp(-|z|)))`, which equals `BCE` of `sigmoid(z)`; the gradient is
    `(sigmoid(z) - y) / size`.  A float32 sigmoid is exactly 1 above 17, where BCE has to clip and the gradient through
    the sigmoid is 0 however wrong the answer is; here a wrong score of 1000 costs 1000 and has gradient 1.

    >>> import numpy as np
    >>> loss = BCEFromLogits()
    >>> loss(np.array([1000.0]), np.array([0])), loss.backward(np.array([1000.0]), np.array([0])).tolist()
    (1000.0, [1.0])
    """

    @staticmethod
    def _targets(y_out: NDArray, y_truth: NDArray) -> NDArray:
        truth = _same_shape(y_out, y_truth, "BCEFromLogits")
        if truth.min() < 0 or truth.max() > 1:
            raise ValueError(f"BCEFromLogits expected targets in [0, 1], got {truth.min()}..{truth.max()}")
        return truth

    def forward(self, y_out: NDArray, y_truth: NDArray) -> float:
        """Value for scores y_out and targets in [0, 1], both of one shape; ValueError for other shapes or ranges."""
        truth = self._targets(y_out, y_truth)
        return float(np.mean(np.maximum(y_out, 0) - y_out * truth + np.log1p(np.exp(-np.abs(y_out)))))

    def backward(self, y_out: NDArray, y_truth: NDArray) -> NDArray:
        """Gradient `(sigmoid(y_out) - y_truth) / size`, in y_out's shape and dtype."""
        truth = self._targets(y_out, y_truth)
        probabilities, _ = Sigmoid().forward(y_out)
        return ((probabilities - truth) / y_out.size).astype(y_out.dtype, copy=False)


class CrossEntropyFromLogits(Loss):
    """Softmax followed by cross entropy, from raw scores (logits), computed with the log-sum-exp trick.

    `CE = mean_n( log(sum_c exp(z_nc)) - z_n,y_n )`; the gradient is `(softmax(z) - onehot(y)) / N`.  Taking the logarithm
    of a softmax instead gives NaN as soon as one class wins by a few hundred.

    Label smoothing (Szegedy et al. 2016) replaces onehot(y) by `(1 - s) onehot(y) + s / C`: a share s of the target is
    spread evenly over all C classes, the right one included (torch's convention).  The smallest possible loss is then
    above 0, so compare losses only at one s.

    Args:
        label_smoothing: s, from 0 (none) to 1.

    Raises:
        ValueError: label_smoothing lies outside [0, 1].

    >>> import numpy as np
    >>> loss = CrossEntropyFromLogits()
    >>> round(loss(np.zeros((4, 10)), np.arange(4)), 4)   # log(10): a network that knows nothing
    2.3026
    >>> loss(np.array([[1000.0, 0.0, 0.0]]), np.array([0]))
    0.0
    """

    def __init__(self, label_smoothing: float = 0.0):
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing must lie in [0, 1], got {label_smoothing!r}")
        self.label_smoothing = float(label_smoothing)

    @staticmethod
    def _labels(y_out: NDArray, y_truth: NDArray) -> NDArray:
        labels = np.asarray(y_truth)
        if y_out.ndim != 2 or labels.shape != (len(y_out),):
            raise ValueError(
                f"CrossEntropyFromLogits expected logits (N, C) and labels (N,), got {y_out.shape} and {labels.shape}"
            )
        if labels.dtype.kind not in "iu":
            raise ValueError(f"CrossEntropyFromLogits expected integer class labels, got dtype {labels.dtype}")
        _refuse_empty(y_out, "CrossEntropyFromLogits")
        if labels.min() < 0 or labels.max() >= y_out.shape[1]:
            raise ValueError(f"class labels must lie in 0..{y_out.shape[1] - 1}, got {labels.min()}..{labels.max()}")
        return labels

    def forward(self, y_out: NDArray, y_truth: NDArray) -> float:
        """Mean loss for logits y_out (N, C) and integer labels y_truth (N,); ValueError for other shapes or ranges."""
        labels = self._labels(y_out, y_truth)
        log_p = log_softmax(y_out)
        loss = cross_entropy(log_p, labels)
        if self.label_smoothing:
            loss = (1 - self.label_smoothing) * loss - self.label_smoothing * float(np.mean(log_p))
        return loss + 0.0  # minus the log of 1 is -0.0

    def backward(self, y_out: NDArray, y_truth: NDArray) -> NDArray:
        """Gradient (N, C) in y_out's dtype; a fresh array on each call."""
        labels = self._labels(y_out, y_truth)
        p = _softmax(y_out)
        grad = cross_entropy_gradient(p, labels)
        if self.label_smoothing:
            p -= 1 / y_out.shape[1]
            grad = (1 - self.label_smoothing) * grad + self.label_smoothing / len(labels) * p
        return grad


class KLFromLogits(Loss):
    """Kullback-Leibler divergence of softened predictions, the soft-target loss of distillation (Hinton et al. 2015).

    With `p = softmax(teacher / T)` and `q = softmax(student / T)` the loss is `T**2 mean_n( sum_c p (log p - log q) )`, and
    its gradient with respect to the student's logits is `T (q - p) / N`.

    - A high temperature T shows the student which wrong classes the teacher finds similar.  q - p shrinks like 1 / T,
      so without the factor T**2 the gradient would shrink like 1 / T**2; with it, the soft term keeps its weight next to a
      hard-label term when T is tuned: `alpha * KLFromLogits(T)(student, teacher) +
      (1 - alpha) * CrossEntropyFromLogits()(student, labels)`.
    - Lecture 000 takes the MSE of the two softmaxes instead.  Its gradient has the divisor N C, another 1 / T and the
      softmax's derivative in it, which is about 1 / C for flat predictions: `T**2 C**2 / 2` times smaller than this one
      in the limit of high T, 1250 at T = 5 with 10 classes.  Adam hides the scale, SGD and a hard-label term do not.
    - The mean is over samples only, torch's reduction "batchmean"; torch's default "mean" divides by C as well, and its
      first argument must be log-probabilities.
    - The teacher's logits are data here: compute them once, in evaluation mode.

    Args:
        temperature: T, a finite number above 0.

    Raises:
        ValueError: temperature is not a finite number above 0.

    >>> import numpy as np
    >>> loss, student, teacher = KLFromLogits(temperature=5.0), np.array([[0.0, 0.0]]), np.array([[5.0, 0.0]])
    >>> round(loss(student, teacher), 4), loss.backward(student, teacher).round(4).tolist()
    (2.7736, [[-1.1553, 1.1553]])
    >>> loss(teacher, teacher + 100.0)      # a constant added to all logits changes no softmax
    0.0
    """

    def __init__(self, temperature: float = 1.0):
        if not 0 < temperature < np.inf:
            raise ValueError(f"temperature must be a finite number above 0, got {temperature!r}")
        self.temperature = float(temperature)

    def _scaled(self, y_out: NDArray, y_truth: NDArray) -> tuple[NDArray, NDArray]:
        teacher = _same_shape(y_out, y_truth, "KLFromLogits")
        if y_out.ndim != 2:
            raise ValueError(f"KLFromLogits expected logits (N, C) of student and teacher, got {y_out.shape}")
        return y_out / self.temperature, teacher / self.temperature

    def forward(self, y_out: NDArray, y_truth: NDArray) -> float:
        """Value (>= 0) for student logits y_out, teacher logits y_truth, both (N, C); ValueError for other shapes."""
        log_q, log_p = map(log_softmax, self._scaled(y_out, y_truth))
        divergence = float(np.mean((np.exp(log_p) * (log_p - log_q)).sum(axis=1)))
        return self.temperature**2 * max(divergence, 0.0)  # rounding can leave equal predictions just below 0

    def backward(self, y_out: NDArray, y_truth: NDArray) -> NDArray:
        """Gradient `T (q - p) / N` with respect to the student's logits, (N, C) in y_out's dtype."""
        student, teacher = map(_softmax, self._scaled(y_out, y_truth))
        return ((student - teacher) * (self.temperature / len(y_out))).astype(y_out.dtype, copy=False)
