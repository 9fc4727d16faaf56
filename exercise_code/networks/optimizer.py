"""First-order optimizers for networks that keep their weights in `model.params` and gradients in `model.grads`.

The Solver drives them in two calls, as in I2DL: `backward(y_pred, y_true)` sends the loss gradient through the model,
`step()` changes the parameters in place.  `lr` is the learning rate per step and may be changed between steps.

Here are the rules with one learning rate for all weights; those that adapt it per weight come from
`exercise_code.networks.adaptive`.  All of them can be imported from this module.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.networks.adaptive import AdaDelta, AdaGrad, Adam, AdamW, RMSProp
from exercise_code.networks.loss import Loss
from exercise_code.networks.optimizer_base import Optimizer, check_decay, check_fraction, decays

__all__ = [
    "GD",
    "SGD",
    "AdaDelta",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Nesterov",
    "NesterovLookAhead",
    "Optimizer",
    "RMSProp",
    "SGDMomentum",
    "sgd_momentum",
]


class SGD(Optimizer):
    """Stochastic gradient descent, `w <- w - lr * dw`; with weight decay, `W <- W - lr * (dW + weight_decay * W)`.

    `GD` is another name of this class: gradient descent is the same rule with the gradient of the whole training set,
    so what makes the difference is the loader (one batch with all samples).  Its gradient says where the loss falls only
    in a small neighbourhood: on a quadratic with largest curvature h the walk converges for lr < 2 / h and blows up
    above, and it comes to rest at any stationary point, not only at a minimum.

    For this rule, and for no other one here, weight decay is the same as an L2 penalty `reg * sum(W**2)` with
    weight_decay = 2 reg.  It acts on the weight matrices W1, W2, ... only, not on biases.

    Args:
        weight_decay: share of each weight that is taken away per unit of learning rate, >= 0.

    Raises:
        ValueError: a learning rate that is not positive or a negative weight decay.

    >>> import numpy as np
    >>> class Model:
    ...     params, grads = {"W1": np.array([1.0])}, {"W1": np.array([2.0])}
    >>> SGD(Model, None, learning_rate=0.1).step()
    >>> Model.params["W1"].tolist()
    [0.8]
    """

    def __init__(self, model: Any, loss_func: Loss, learning_rate: float = 1e-4, weight_decay: float = 0.0):
        super().__init__(model, loss_func, learning_rate)
        check_decay(weight_decay)
        self.weight_decay = weight_decay

    def _update(self, name: str, weights: NDArray, gradient: NDArray) -> None:
        if self.weight_decay and decays(name):
            weights *= 1 - self.lr * self.weight_decay
        for w, dw, scratch in self._pieces(name, weights, gradient):
            np.multiply(dw, self.lr, out=scratch)
            w -= scratch


GD = SGD  # only a name: the full batch comes from the loader


class SGDMomentum(Optimizer):
    """Gradient descent with momentum (Polyak 1964; lecture 002): `v <- momentum * v - lr * dw; w <- w + v`.

    The slide writes the velocity with the other sign, `v <- momentum * v + lr * dw; w <- w - v`, which is the same walk.
    torch writes `v <- momentum * v + dw; w <- w - lr * v`, which is the same walk while lr stays constant; when lr is
    changed, torch's whole velocity is rescaled at once and ours keeps the speed it has.

    Args:
        momentum: share of the velocity that is kept per step, in [0, 1).  A constant gradient reaches the speed
            lr / (1 - momentum), ten times that of SGD for 0.9.

    Raises:
        ValueError: a learning rate that is not positive or a momentum outside [0, 1).

    >>> import numpy as np
    >>> class Model:
    ...     params, grads = {"W1": np.array([1.0])}, {"W1": np.array([1.0])}
    >>> optimizer = SGDMomentum(Model, None, learning_rate=0.1, momentum=0.5)
    >>> optimizer.step(); optimizer.step()
    >>> round(Model.params["W1"].item(), 6)   # 1 - 0.1 - (0.05 + 0.1)
    0.75
    """

    _arrays = ("velocity",)

    def __init__(self, model: Any, loss_func: Loss, learning_rate: float = 1e-4, momentum: float = 0.9):
        super().__init__(model, loss_func, learning_rate)
        check_fraction(momentum=momentum)
        self.momentum = momentum
        self.velocity = self._zeros()

    def _update(self, name: str, weights: NDArray, gradient: NDArray) -> None:
        for w, dw, v, scratch in self._pieces(name, weights, gradient):
            self._accelerate(v, dw, scratch)
            w += v

    def _accelerate(self, v: NDArray, dw: NDArray, scratch: NDArray) -> None:
        """`v <- momentum * v - lr * dw`, in place; leaves lr * dw in scratch."""
        np.multiply(dw, self.lr, out=scratch)
        v *= self.momentum
        v -= scratch


sgd_momentum = SGDMomentum  # the name the lecture's year of I2DL uses


class Nesterov(SGDMomentum):
    """Nesterov's momentum (1983; lecture 002) in the form that needs no extra gradient: the one to train with.

    `v <- momentum * v - lr * dw; w <- w + momentum * v - lr * dw`, where w is the look-ahead point w' = w + momentum * v
    of `NesterovLookAhead`, so that the gradient at w is the gradient ahead.  Equal to torch's `nesterov=True` while lr
    stays constant.

    A teaching point.  In the slide's signs (w <- w - v, look-ahead point w' = w - momentum * v) the old weights are
    w = w' + momentum * v, and putting that in gives `w' <- w' - (1 + momentum) * v_new + momentum * v_old`.  The slide
    puts in w' - momentum * v instead and arrives at `w' <- w' - (1 - momentum) * v_new - momentum * v_old`, which is not
    Nesterov's walk: on a quadratic with curvatures 1 and 25 it diverges at the learning rate 0.04, where the right form
    converges.

    >>> import numpy as np
    >>> class Model:
    ...     params, grads = {"W1": np.array([1.0])}, {"W1": np.array([1.0])}
    >>> Nesterov(Model, None, learning_rate=0.1, momentum=0.5).step()
    >>> round(Model.params["W1"].item(), 6)   # 1 - (1 + 0.5) * 0.1
    0.85
    """

    def _update(self, name: str, weights: NDArray, gradient: NDArray) -> None:
        for w, dw, v, scratch in self._pieces(name, weights, gradient):
            self._accelerate(v, dw, scratch)
            w -= scratch  # lr * dw
            np.multiply(v, self.momentum, out=scratch)
            w += scratch


class NesterovLookAhead(SGDMomentum):
    """Nesterov's momentum as it is told: look ahead, take the gradient there, and correct the velocity with it.

    `v <- momentum * v - lr * dw(w + momentum * v); w <- w + v`.  The gradient belongs to another point than the weights,
    so a step has three parts: `look_ahead()` moves the weights to w + momentum * v, then forward and `backward` as
    usual, then `step()` goes back and takes the step.  The Solver does not call `look_ahead`; train with `Nesterov`,
    whose weights are this one's look-ahead points, and use this class to see that both are the same walk.

    Raises:
        RuntimeError: `step` without `look_ahead` before it, or `look_ahead` twice in a row.

    >>> import numpy as np
    >>> class Model:
    ...     params, grads = {"W1": np.array([1.0])}, {}
    >>> optimizer = NesterovLookAhead(Model, None, learning_rate=0.1, momentum=0.5)
    >>> for _ in range(2):
    ...     optimizer.look_ahead()
    ...     Model.grads["W1"] = 2 * Model.params["W1"]    # the gradient of w**2, at the point ahead
    ...     optimizer.step()
    >>> round(Model.params["W1"].item(), 6)    # v: -0.2, then -0.1 - 0.1 * 2 * 0.7
    0.56
    """

    _counters = ("ahead",)

    def __init__(self, model: Any, loss_func: Loss, learning_rate: float = 1e-4, momentum: float = 0.9):
        super().__init__(model, loss_func, learning_rate, momentum)
        self.ahead = 0

    def look_ahead(self) -> None:
        """Move every parameter in place to the point whose gradient the next `step` expects."""
        if self.ahead:
            raise RuntimeError("the weights are at the look-ahead point already: call step() before look_ahead()")
        for name, w in self.model.params.items():
            w += self.momentum * self.velocity[name]
        self.ahead = 1

    def step(self) -> None:
        """Go back from the look-ahead point and take the step; the weights lie on Nesterov's walk afterwards."""
        if not self.ahead:
            raise RuntimeError("call look_ahead() before the forward pass: the gradient must be taken ahead")
        super().step()
        self.ahead = 0

    def _update(self, name: str, w: NDArray, dw: NDArray) -> None:
        w -= self.momentum * self.velocity[name]
        super()._update(name, w, dw)
