"""Optimizers that give every weight a learning rate of its own, from the size of its past gradients.

Import them from `exercise_code.networks.optimizer`.  All squares, roots and quotients of arrays are element by element,
and every rule changes the parameters in place without allocating arrays of their size.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.networks.loss import Loss
from exercise_code.networks.optimizer_base import Optimizer, check_decay, check_fraction, decays


def _check_eps(eps: float) -> None:
    if not (np.isfinite(eps) and eps > 0):
        raise ValueError(f"eps must be a positive number, got {eps!r}")


def _average_squares(average: NDArray, values: NDArray, rate: float, scratch: NDArray) -> None:
    """`average <- rate * average + (1 - rate) * values**2`, in place; scratch (same shape) is overwritten."""
    np.multiply(values, values, out=scratch)
    scratch *= 1 - rate
    average *= rate
    average += scratch


def _step(w: NDArray, direction: NDArray, squares: NDArray, lr: float, eps: float, scratch: NDArray) -> None:
    """`w <- w - lr * direction / (sqrt(squares) + eps)`, in place; scratch (same shape) is overwritten."""
    np.sqrt(squares, out=scratch)
    scratch += eps
    np.divide(direction, scratch, out=scratch)
    scratch *= lr
    w -= scratch


class RMSProp(Optimizer):
    """RMSProp (Hinton's online course, lecture 6; lecture 002): divides by a moving average of the gradient's size.

    `g <- beta * g + (1 - beta) * dw**2; w <- w - lr * dw / (sqrt(g) + eps)`.

    eps stands outside the root, as on the slide and in torch; TensorFlow puts it inside.  The slide's two remarks, that
    steps get smaller and smaller and that the walk can get stuck, describe AdaGrad: RMSProp forgets old gradients, and
    under a constant gradient its step tends to lr.

    Args:
        beta: decay of the average, in [0, 1): 0.99 as in torch; Hinton proposed 0.9.
        eps: > 0.

    Raises:
        ValueError: a setting out of its range.

    >>> import numpy as np
    >>> class Model:
    ...     params, grads = {"W1": np.array([1.0, 1.0])}, {"W1": np.array([4.0, 0.004])}
    >>> RMSProp(Model, None, learning_rate=0.1, beta=0.75).step()
    >>> Model.params["W1"].round(4).tolist()   # both move by lr / sqrt(1 - beta)
    [0.8, 0.8]
    """

    _arrays = ("g",)

    def __init__(self, model: Any, loss_func: Loss, learning_rate: float = 1e-4, beta: float = 0.99, eps: float = 1e-8):
        super().__init__(model, loss_func, learning_rate)
        check_fraction(beta=beta)
        _check_eps(eps)
        self.beta, self.eps = beta, eps
        self.g = self._zeros()

    def _update(self, name: str, weights: NDArray, gradient: NDArray) -> None:
        for w, dw, g, scratch in self._pieces(name, weights, gradient):
            _average_squares(g, dw, self.beta, scratch)
            _step(w, dw, g, self.lr, self.eps, scratch)


class AdaGrad(Optimizer):
    """AdaGrad (Duchi, Hazan and Singer 2011; lecture 002): divides by the size of all gradients so far.

    `g <- g + dw**2; w <- w - lr * dw / (sqrt(g) + eps)`.

    g only grows, so the steps shrink: under a constant gradient step t is lr / sqrt(t).  eps stands outside the root, as
    on the slide and in torch, whose 1e-10 is the default here too.

    Raises:
        ValueError: a setting out of its range.

    >>> import numpy as np
    >>> class Model:
    ...     params, grads = {"W1": np.array([1.0])}, {"W1": np.array([5.0])}
    >>> optimizer = AdaGrad(Model, None, learning_rate=0.1)
    >>> optimizer.step(); optimizer.step()
    >>> Model.params["W1"].round(4).tolist()   # 1 - 0.1 - 0.1 / sqrt(2)
    [0.8293]
    """

    _arrays = ("g",)

    def __init__(self, model: Any, loss_func: Loss, learning_rate: float = 1e-4, eps: float = 1e-10):
        super().__init__(model, loss_func, learning_rate)
        _check_eps(eps)
        self.eps = eps
        self.g = self._zeros()

    def _update(self, name: str, weights: NDArray, gradient: NDArray) -> None:
        for w, dw, g, scratch in self._pieces(name, weights, gradient):
            np.multiply(dw, dw, out=scratch)
            g += scratch
            _step(w, dw, g, self.lr, self.eps, scratch)


class AdaDelta(Optimizer):
    """AdaDelta (Zeiler 2012; lecture 002): the size of past steps takes the place of the learning rate.

    `g <- beta * g + (1 - beta) * dw**2`,
    `step = sqrt(p + eps) / sqrt(g + eps) * dw`,
    `p <- beta * p + (1 - beta) * step**2; w <- w - lr * step`, with p = 0 at the start.

    lr is only a factor on top, 1 in the paper; a learning rate that suits SGD makes it crawl.  Both eps stand inside the
    roots, as in the paper and in torch, and the first one is what sets the walk in motion: the slide has none in the
    numerator (and calls p there D), and sqrt(0) times anything is a step of 0, so p stays 0 and w never moves.

    Args:
        beta: decay of both averages, in [0, 1); the paper's rho.
        eps: > 0; the first step has about the size sqrt(eps / (1 - beta)).

    Raises:
        ValueError: a setting out of its range.

    >>> import numpy as np
    >>> class Model:
    ...     params, grads = {"W1": np.array([1.0])}, {"W1": np.array([5.0])}
    >>> AdaDelta(Model, None).step()
    >>> round(1 - Model.params["W1"].item(), 6)   # sqrt(1e-6 / 0.1)
    0.003162
    """

    _arrays = ("g", "p")

    def __init__(self, model: Any, loss_func: Loss, learning_rate: float = 1.0, beta: float = 0.9, eps: float = 1e-6):
        super().__init__(model, loss_func, learning_rate)
        check_fraction(beta=beta)
        _check_eps(eps)
        self.beta, self.eps = beta, eps
        self.g, self.p = self._zeros(), self._zeros()

    def _update(self, name: str, weights: NDArray, gradient: NDArray) -> None:
        for w, dw, g, p, scratch in self._pieces(name, weights, gradient):
            _average_squares(g, dw, self.beta, scratch)
            step = p + self.eps
            np.add(g, self.eps, out=scratch)
            step /= scratch
            np.sqrt(step, out=step)
            step *= dw
            _average_squares(p, step, self.beta, scratch)
            step *= self.lr
            w -= step


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015; lecture 002).

    With t = 1, 2, ... the number of the step:
    `m <- beta1 * m + (1 - beta1) * dw`, `v <- beta2 * v + (1 - beta2) * dw**2`,
    `w <- w - lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)`.

    The two divisors undo that m and v start at 0: after t steps the weights of the averages add up to 1 - beta**t.  The
    slide pairs m_t with beta**t but counts from t = 0, so its first step is 0 / 0; the moment and the exponent must be
    those of the same step, m_1 with beta**1.  The slide's eps is 1e-7; 1e-8 is the paper's and torch's.

    Args:
        beta1: decay of the average of gradients, in [0, 1).
        beta2: decay of the average of their squares, in [0, 1).
        eps: > 0; gradients far below it give steps far below lr.

    Raises:
        ValueError: a setting out of its range.

    >>> import numpy as np
    >>> class Model:
    ...     params, grads = {"W1": np.array([1.0, 1.0])}, {"W1": np.array([4.0, -0.004])}
    >>> Adam(Model, None, learning_rate=0.1).step()
    >>> Model.params["W1"].round(4).tolist()   # the first step has the size lr, whatever the gradient's
    [0.9, 1.1]
    """

    _arrays, _counters = ("m", "v"), ("t",)

    def __init__(
        self,
        model: Any,
        loss_func: Loss,
        learning_rate: float = 1e-4,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
    ):
        super().__init__(model, loss_func, learning_rate)
        if not (0 <= beta1 < 1 and 0 <= beta2 < 1 and eps > 0):
            raise ValueError(f"expected beta1 and beta2 in [0, 1) and eps > 0, got {beta1}, {beta2} and {eps}")
        self.beta1, self.beta2, self.eps = beta1, beta2, eps
        self.t = 0
        self.m, self.v = self._zeros(), self._zeros()

    def step(self) -> None:
        """One step on every parameter, in place; counts t up by one."""
        self.t += 1
        super().step()

    def _update(self, name: str, weights: NDArray, gradient: NDArray) -> None:
        # both divisors are numbers, so they go into lr and eps (end of the paper's section 2): one pass fewer
        root = math.sqrt(1 - self.beta2**self.t)
        lr, eps = self.lr * root / (1 - self.beta1**self.t), self.eps * root
        for w, dw, m, v, scratch in self._pieces(name, weights, gradient):
            np.multiply(dw, 1 - self.beta1, out=scratch)
            m *= self.beta1
            m += scratch
            _average_squares(v, dw, self.beta2, scratch)
            _step(w, m, v, lr, eps, scratch)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): `W <- (1 - lr * weight_decay) * W`, then Adam's step.

    An L2 penalty in the gradient is divided by sqrt(v) like the rest of it, so Adam regularises weights with large
    gradients less; here all weights shrink at one rate.  (For SGD the two are the same.)  Decay acts on the weight
    matrices W1, W2, ... only, not on biases; torch decays every parameter of the group it is given.

    Args:
        weight_decay: share of each weight that is taken away per unit of learning rate, >= 0; 0 gives Adam.

    Raises:
        ValueError: a setting out of its range.

    >>> import numpy as np
    >>> class Model:
    ...     params, grads = {"W1": np.array([2.0]), "b1": np.array([2.0])}, {"W1": np.zeros(1), "b1": np.zeros(1)}
    >>> AdamW(Model, None, learning_rate=0.1, weight_decay=0.5).step()
    >>> Model.params["W1"].tolist(), Model.params["b1"].tolist()
    ([1.9], [2.0])
    """

    def __init__(
        self,
        model: Any,
        loss_func: Loss,
        learning_rate: float = 1e-4,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ):
        super().__init__(model, loss_func, learning_rate, beta1, beta2, eps)
        check_decay(weight_decay)
        self.weight_decay = weight_decay

    def _update(self, name: str, w: NDArray, dw: NDArray) -> None:
        if decays(name):
            w *= 1 - self.lr * self.weight_decay
        super()._update(name, w, dw)
