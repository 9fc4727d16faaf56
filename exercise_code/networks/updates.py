"""One step of each first-order rule as a function of arrays: what goes in stays as it was, what comes out is new.

These are the rules as one writes them down.  `exercise_code.networks.optimizer` applies the same ones to all parameters of a
network, in place and without new arrays; tests keep the two together.

Every function takes the weights w, the gradient dw at w, and the rule's memory, all of one shape, and returns `(w, *memory)`
after the step.  Before the first step the memory is 0.  Products, squares, roots and quotients are entry by entry; float32
arrays give float32 arrays.
"""

import numpy as np
from numpy.typing import NDArray


def momentum_update(w: NDArray, dw: NDArray, v: NDArray, lr: float, momentum: float = 0.9) -> tuple[NDArray, NDArray]:
    """Return (w, v) after a step with momentum (Polyak 1964): `v <- momentum * v - lr * dw; w <- w + v`.

    The velocity v points where the weights go: a constant gradient builds up the speed lr / (1 - momentum).

    >>> momentum_update(np.array([1.0]), np.array([2.0]), np.array([-0.5]), lr=0.25, momentum=0.5)
    (array([0.25]), array([-0.75]))
    """
    ### BEGIN SOLUTION 03_optimizers
    velocity = momentum * v - lr * dw
    return w + velocity, velocity
    ### END SOLUTION


def nesterov_update(w: NDArray, dw: NDArray, v: NDArray, lr: float, momentum: float = 0.9) -> tuple[NDArray, NDArray]:
    """Return (w, v) after a step of Nesterov's momentum (1983), where w is the look-ahead point and dw its gradient.

    In its own words: `v <- momentum * v - lr * dw(W + momentum * v); W <- W + v`.  This function walks on the points
    `w = W + momentum * v` instead, so that the gradient is taken where the weights are.

    >>> nesterov_update(np.array([1.0]), np.array([1.0]), np.array([0.0]), lr=0.5, momentum=0.5)   # 1 - 0.5 - 0.5 * 0.5
    (array([0.25]), array([-0.5]))
    """
    ### BEGIN SOLUTION 03_optimizers
    velocity = momentum * v - lr * dw  # w is W + momentum * v with the old v, and shall be that with the new one
    return w - momentum * v + (1 + momentum) * velocity, velocity
    ### END SOLUTION


def adagrad_update(w: NDArray, dw: NDArray, g: NDArray, lr: float, eps: float = 1e-10) -> tuple[NDArray, NDArray]:
    """Return (w, g) after a step of AdaGrad (Duchi et al. 2011): g is the sum of all squared gradients so far.

    `g <- g + dw**2; w <- w - lr * dw / (sqrt(g) + eps)`.

    >>> adagrad_update(np.array([1.0]), np.array([4.0]), np.array([9.0]), lr=0.5)   # 1 - 0.5 * 4 / 5
    (array([0.6]), array([25.]))
    """
    ### BEGIN SOLUTION 03_optimizers
    total = g + dw * dw
    return w - lr * dw / (np.sqrt(total) + eps), total
    ### END SOLUTION


def rmsprop_update(
    w: NDArray, dw: NDArray, g: NDArray, lr: float, beta: float = 0.99, eps: float = 1e-8
) -> tuple[NDArray, NDArray]:
    """Return (w, g) after a step of RMSProp (Hinton's lecture 6): g is a moving average of the squared gradients.

    `g <- beta * g + (1 - beta) * dw**2; w <- w - lr * dw / (sqrt(g) + eps)`.

    >>> w, g = rmsprop_update(np.array([1.0]), np.array([4.0]), np.array([0.0]), lr=0.5, beta=0.75)   # 1 - 0.5 * 4 / 2
    >>> w.round(6).tolist(), g.tolist()
    ([0.0], [4.0])
    """
    ### BEGIN SOLUTION 03_optimizers
    average = beta * g + (1 - beta) * dw * dw
    return w - lr * dw / (np.sqrt(average) + eps), average
    ### END SOLUTION


def adadelta_update(
    w: NDArray, dw: NDArray, g: NDArray, p: NDArray, beta: float = 0.9, eps: float = 1e-6
) -> tuple[NDArray, NDArray, NDArray]:
    """Return (w, g, p) after a step of AdaDelta (Zeiler 2012), which has no learning rate.

    Two moving averages, beta being the weight of the old value: g of the squared gradients, p of the squared steps (what
    is taken from w).  eps > 0 is the only other setting.

    >>> w, g, p = adadelta_update(np.array([1.0]), np.array([2.0]), np.zeros(1), np.zeros(1), beta=0.75, eps=1.0)
    >>> (1 - w).round(6).tolist(), g.tolist(), p.round(6).tolist()
    ([1.414214], [1.0], [0.5])
    """
    ### BEGIN SOLUTION 03_optimizers
    g = beta * g + (1 - beta) * dw**2
    # p is 0 before the first step, so without an eps of its own the numerator stays 0 (Zeiler 2012, algorithm 1)
    step = np.sqrt((p + eps) / (g + eps)) * dw
    p = beta * p + (1 - beta) * step**2
    return w - step, g, p
    ### END SOLUTION


def adam_update(
    w: NDArray,
    dw: NDArray,
    m: NDArray,
    v: NDArray,
    t: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
) -> tuple[NDArray, NDArray, NDArray]:
    """Return (w, m, v) after step number t = 1, 2, ... of Adam (Kingma and Ba 2015).

    `m <- beta1 * m + (1 - beta1) * dw; v <- beta2 * v + (1 - beta2) * dw**2;`
    `w <- w - lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)`.

    The m and v that are returned are the plain averages: the corrected ones are used for the step and forgotten.

    >>> w, m, v = adam_update(np.array([1.0]), np.array([-4.0]), np.zeros(1), np.zeros(1), t=1, lr=0.5)
    >>> w.round(6).tolist(), m.round(6).tolist(), v.round(6).tolist()   # the first step has the size lr
    ([1.5], [-0.4], [0.016])
    """
    ### BEGIN SOLUTION 03_optimizers
    m = beta1 * m + (1 - beta1) * dw
    v = beta2 * v + (1 - beta2) * dw**2
    mean, square = m / (1 - beta1**t), v / (1 - beta2**t)
    return w - lr * mean / (np.sqrt(square) + eps), m, v
    ### END SOLUTION
