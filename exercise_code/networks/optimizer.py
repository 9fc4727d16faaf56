"""First-order optimizers for networks that keep their weights in `model.params` and gradients in `model.grads`.

The Solver drives them in two calls, as in I2DL: `backward(y_pred, y_true)` sends the loss gradient through the model,
`step()` changes the parameters in place.  `lr` is the learning rate per step and may be changed between steps.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.networks.loss import Loss


class Optimizer:
    """Common part: holds model, loss and learning rate, and walks over the parameters."""

    def __init__(self, model: Any, loss_func: Loss, learning_rate: float = 1e-4):
        if not (np.isfinite(learning_rate) and learning_rate > 0):
            raise ValueError(f"learning_rate must be a positive number, got {learning_rate!r}")
        self.model = model
        self.loss_func = loss_func
        self.lr = float(learning_rate)

    def backward(self, y_pred: NDArray, y_true: NDArray) -> None:
        """Fill `model.grads` with the gradient of the loss at predictions y_pred (N, C) and targets y_true."""
        self.model.backward(self.loss_func.backward(y_pred, y_true))

    def step(self) -> None:
        """Update every parameter in place from `model.grads`."""
        for name, w in self.model.params.items():
            self._update(name, w, self.model.grads[name])

    def _update(self, name: str, w: NDArray, dw: NDArray) -> None:
        raise NotImplementedError


class SGD(Optimizer):
    """Stochastic gradient descent, `w <- w - lr * dw`."""

    def _update(self, name: str, w: NDArray, dw: NDArray) -> None:
        w -= self.lr * dw


class SGDMomentum(Optimizer):
    """Gradient descent with momentum (Polyak 1964; lecture 002): `v <- momentum * v - lr * dw; w <- w + v`.

    torch writes `v <- momentum * v + dw; w <- w - lr * v`, which is the same walk while lr stays constant.
    """

    def __init__(self, model: Any, loss_func: Loss, learning_rate: float = 1e-4, momentum: float = 0.9):
        super().__init__(model, loss_func, learning_rate)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {momentum!r}")
        self.momentum = momentum
        self.velocity = {name: np.zeros_like(w) for name, w in model.params.items()}

    def _update(self, name: str, w: NDArray, dw: NDArray) -> None:
        v = self.velocity[name]
        v *= self.momentum
        v -= self.lr * dw
        w += v


sgd_momentum = SGDMomentum  # the name the lecture's year of I2DL uses


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015; lecture 002).

    With t = 1, 2, ... the number of the step:
    `m <- b1 m + (1 - b1) dw`, `v <- b2 v + (1 - b2) dw**2`,
    `w <- w - lr * (m / (1 - b1**t)) / (sqrt(v / (1 - b2**t)) + eps)`.
    """

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
        self.m = {name: np.zeros_like(w) for name, w in model.params.items()}
        self.v = {name: np.zeros_like(w) for name, w in model.params.items()}
        self._scratch = {name: np.empty_like(w) for name, w in model.params.items()}

    def step(self) -> None:
        """One step of Adam on every parameter, in place; counts t up by one."""
        self.t += 1
        super().step()

    def _update(self, name: str, w: NDArray, dw: NDArray) -> None:
        m, v, scratch = self.m[name], self.v[name], self._scratch[name]
        np.multiply(dw, 1 - self.beta1, out=scratch)
        m *= self.beta1
        m += scratch
        np.multiply(dw, dw, out=scratch)
        scratch *= 1 - self.beta2
        v *= self.beta2
        v += scratch
        # scratch becomes sqrt(v_hat) + eps, then the step itself
        np.divide(v, 1 - self.beta2**self.t, out=scratch)
        np.sqrt(scratch, out=scratch)
        scratch += self.eps
        np.divide(m, scratch, out=scratch)
        scratch *= self.lr / (1 - self.beta1**self.t)
        w -= scratch
