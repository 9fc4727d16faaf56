"""Keeping weights small or few: L1 and L2 penalties, and pruning by magnitude (lecture 001).

A penalty is an object with a value and a gradient; `Penalized(net, L1(1e-4))` is the same network with the penalty in its
loss.  "Weights" means the matrices W1, W2, ...; biases are neither penalised nor pruned unless they are named.

L2 penalty and weight decay are the same thing for plain SGD only.  The step `w <- w - lr * (dw + 2 s w)` with the penalty
`s * sum(w**2)` is `w <- (1 - lr * 2 s) * w - lr * dw`: a decay of `weight_decay = 2 s`, so `L2.from_weight_decay(d)` is
the penalty that belongs to a decay d.  Adam divides the whole gradient, penalty included, by the root of its running square:
weights with large gradients are then hardly pulled towards zero, and where the penalty alone makes the gradient its
strength cancels out of the step altogether.  AdamW (Loshchilov and Hutter 2019) decays the weights outside of that division.
"Adam with L2" and "AdamW" therefore need strengths of their own, searched separately.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.callbacks import Callback
from exercise_code.networks.network import NetworkAround
from exercise_code.networks.optimizer_base import decays


class Penalty:
    """A term added to the loss for one array of weights; subclasses give `value` and `gradient`.

    Args:
        strength: factor of the term, finite and >= 0.

    Raises:
        ValueError: a strength out of its range.

    >>> class Cubic(Penalty):
    ...     def value(self, w):
    ...         return self.strength * float(np.sum(np.abs(w) ** 3))
    >>> Cubic(0.5).value(np.array([-2.0]))
    4.0
    """

    def __init__(self, strength: float):
        if not (np.isfinite(strength) and strength >= 0):
            raise ValueError(f"strength must be a finite number >= 0, got {strength!r}")
        self.strength = float(strength)

    def value(self, w: NDArray) -> float:
        """The term for weights w of any shape, as a Python float."""
        raise NotImplementedError

    def gradient(self, w: NDArray) -> NDArray:
        """Derivative of `value`, a new array in w's shape and dtype."""
        raise NotImplementedError


class L1(Penalty):
    """`strength * sum(|w|)` with gradient `strength * sign(w)`; pulls every weight towards zero with one force, however small it is (lecture 001).

    The absolute value has no derivative at 0; the gradient there is taken as 0.  A step along it jumps over zero instead
    of landing there, so gradient descent with L1 gives many small weights and hardly an exact zero; `shrink` does.

    >>> penalty = L1(0.5)
    >>> penalty.value(np.array([-3.0, 0.0, 1.0])), penalty.gradient(np.array([-3.0, 0.0, 1.0])).tolist()
    (2.0, [-0.5, 0.0, 0.5])
    """

    def value(self, w: NDArray) -> float:
        return self.strength * float(np.sum(np.abs(w)))

    def gradient(self, w: NDArray) -> NDArray:
        return np.sign(w) * w.dtype.type(self.strength)

    def shrink(self, w: NDArray, lr: float) -> NDArray:
        """The step that lands on zero, `sign(w) * max(|w| - lr * strength, 0)` (soft threshold; Daubechies et al. 2004).

        It is the exact minimiser over u of `(u - w)**2 / (2 lr) + strength * |u|`, to be taken after a gradient step of
        learning rate lr >= 0 that left the penalty out; a new array in w's shape and dtype.

        >>> L1(1.0).shrink(np.array([-3.0, 0.2, 1.0]), lr=0.5).tolist()
        [-2.5, 0.0, 0.5]
        """
        return np.sign(w) * np.maximum(np.abs(w) - w.dtype.type(lr * self.strength), 0)


class L2(Penalty):
    """`strength * sum(w**2)` with gradient `2 * strength * w`; the convention of `ClassificationNet(reg=strength)`.

    Many texts write `strength / 2`, which is `L2(strength / 2)` here.

    >>> penalty = L2(0.5)
    >>> penalty.value(np.array([-3.0, 1.0])), penalty.gradient(np.array([-3.0, 1.0])).tolist()
    (5.0, [-3.0, 1.0])
    """

    def value(self, w: NDArray) -> float:
        return self.strength * float(np.vdot(w, w))

    def gradient(self, w: NDArray) -> NDArray:
        return w * w.dtype.type(2 * self.strength)

    @classmethod
    def from_weight_decay(cls, weight_decay: float) -> "L2":
        """The penalty whose SGD step is a decay by `lr * weight_decay`: strength is half of it (not so under Adam).

        >>> L2.from_weight_decay(0.1).gradient(np.array([3.0])).round(6).tolist()   # 0.1 * w
        [0.3]
        """
        return cls(weight_decay / 2)


class Penalized(NetworkAround):
    """A network with further penalties in its loss and gradient; it shares the parameters of the one it is made from.

    Train this one, then go on with either: both are the same weights, and whatever is not about penalties (sizes, saving,
    export) is the inner network's.  Two penalties together (L1 and L2) make the elastic net (Zou and Hastie 2005).

    Args:
        model: the network to train.
        *penalties: each is applied to every one of `names`.
        names: parameters to penalise; None means the weight matrices.

    Raises:
        ValueError: no penalty, or a name that is not a parameter.

    >>> from exercise_code.networks import ClassificationNet
    >>> net = Penalized(ClassificationNet(input_size=4, num_classes=3, std="he"), L1(1e-3))
    >>> net.forward(np.ones((2, 4))).shape, sorted(net.reg)
    ((2, 3), ['W1', 'W1 L1', 'W2', 'W2 L1'])
    """

    def __init__(self, model: Any, *penalties: Penalty, names: Iterable[str] | None = None):
        if not penalties:
            raise ValueError("expected at least one penalty such as L1(1e-4), got none")
        super().__init__(model)
        self.penalties = penalties
        self.params, self.grads = model.params, model.grads
        self.names = chosen_names(model.params, names)

    def forward(self, X: NDArray) -> NDArray:
        """Output of the inner network; in training mode `reg` gets one more entry per penalty and parameter."""
        self.model.training = self.training
        out = self.model.forward(X)
        if self.training:
            self.reg = dict(self.model.reg)
            for penalty in self.penalties:
                for name in self.names:
                    key = f"{name} {type(penalty).__name__}"
                    self.reg[key] = self.reg.get(key, 0.0) + penalty.value(self.params[name])
        return out

    def backward(self, dy: NDArray) -> dict[str, NDArray]:
        """Gradients of the inner network plus those of the penalties; dy is the gradient of the loss at the output."""
        self.grads = self.model.backward(dy)
        for penalty in self.penalties:
            for name in self.names:
                self.grads[name] += penalty.gradient(self.params[name])
        return self.grads


def magnitude_masks(
    params: Mapping[str, NDArray], fraction: float, scope: str = "global", names: Iterable[str] | None = None
) -> dict[str, NDArray]:
    """Choose the smallest weights to drop (Han et al. 2015); the count of what is left is the L0 norm of lecture 001.

    Louizos et al. (2017), whom the lecture cites, train with a smooth stand-in of L0 instead (`exercise_code.l0_gates`);
    dropping by size needs no change of training and is the usual first try.

    Args:
        params: name -> weights; not changed.
        fraction: share of all chosen weights to drop, in [0, 1], those that are zero already included; the number is
            rounded to the nearest whole one (halves to even).
        scope: "global" compares all matrices with each other; "layer" drops the same share in each of them, so that no
            layer can vanish.
        names: parameters to prune; None means the weight matrices.

    Returns:
        name -> boolean array, True where the weight is kept.  Of equal sizes the first in order go first.

    Raises:
        ValueError: a fraction or scope out of range, or an unknown name.

    >>> weights = {"W1": np.array([[1.0, -2.0]]), "W2": np.array([[3.0, 4.0]])}
    >>> {name: mask.tolist() for name, mask in magnitude_masks(weights, 0.5).items()}
    {'W1': [[False, False]], 'W2': [[True, True]]}
    >>> {name: mask.tolist() for name, mask in magnitude_masks(weights, 0.5, "layer").items()}
    {'W1': [[False, True]], 'W2': [[False, True]]}
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction must lie in [0, 1], got {fraction!r}")
    if scope not in ("global", "layer"):
        raise ValueError(f'scope must be "global" or "layer", got {scope!r}')
    chosen = chosen_names(params, names)
    masks = {}
    for group in [chosen] if scope == "global" else [[name] for name in chosen]:
        sizes = np.concatenate([np.abs(params[name]).ravel() for name in group])
        keep = np.ones(len(sizes), dtype=bool)
        keep[np.argsort(sizes, kind="stable")[: round(fraction * len(sizes))]] = False
        ends = np.cumsum([params[name].size for name in group])
        for name, part in zip(group, np.split(keep, ends[:-1]), strict=True):
            masks[name] = part.reshape(params[name].shape)
    return masks


def prune(model: Any, fraction: float, scope: str = "global", names: Iterable[str] | None = None) -> dict[str, NDArray]:
    """Set the smallest weights of a model to zero, in place, and return the masks; see `magnitude_masks`.

    Further training moves the zeros again unless the Solver gets `callbacks=[KeepPruned(masks)]`.  Pruning a little, training
    on, and pruning more keeps more accuracy than one large cut.

    >>> from exercise_code.networks import ClassificationNet
    >>> net = ClassificationNet(input_size=6, hidden_size=5, num_classes=2)
    >>> masks = prune(net, 0.75)
    >>> count_nonzeros(net.params)["all"]
    (10, 47)
    """
    masks = magnitude_masks(model.params, fraction, scope, names)
    apply_masks(model.params, masks)
    return masks


def apply_masks(params: Mapping[str, NDArray], masks: Mapping[str, NDArray]) -> None:
    """Set params[name] to zero, in place, wherever masks[name] (same shape, bool) is False.

    Raises:
        ValueError: a mask without a parameter of its name and shape.

    >>> weights = {"W1": np.array([1.0, 2.0])}
    >>> apply_masks(weights, {"W1": np.array([True, False])})
    >>> weights["W1"].tolist()
    [1.0, 0.0]
    """
    for name, mask in masks.items():
        if name not in params or params[name].shape != np.shape(mask):
            shapes = {key: w.shape for key, w in params.items()}
            raise ValueError(f"expected a parameter {name!r} of shape {np.shape(mask)}, got {shapes}")
    for name, mask in masks.items():
        params[name][~mask] = 0  # not a product: a weight that is inf or NaN becomes 0 too


class KeepPruned(Callback):
    """Callback of the Solver that keeps pruned weights at zero while the others are trained on.

    Before each step the pruned gradients are set to zero, so that no optimizer gathers momentum from them; after it the weights
    are, for an optimizer that moved on older momentum.  The masks are those of `prune` or `magnitude_masks`.

    >>> masks = {"W1": np.array([True, False])}
    >>> class Run:
    ...     class model:
    ...         params, grads = {"W1": np.array([1.0, 0.1])}, {"W1": np.array([5.0, 5.0])}
    >>> KeepPruned(masks).before_step(Run)
    >>> Run.model.grads["W1"].tolist()
    [5.0, 0.0]
    """

    def __init__(self, masks: Mapping[str, NDArray]):
        self.masks = dict(masks)

    def train_start(self, solver: Any) -> None:
        """Prune what the masks say, in case the model was not."""
        apply_masks(solver.model.params, self.masks)

    def before_step(self, solver: Any) -> None:
        """Take the pruned entries out of the gradients."""
        apply_masks(solver.model.grads, self.masks)

    def step_end(self, solver: Any) -> None:
        """Take the pruned entries out of the weights."""
        apply_masks(solver.model.params, self.masks)


def count_nonzeros(params: Mapping[str, NDArray]) -> dict[str, tuple[int, int]]:
    """Name -> (entries that are not zero, entries), and the sums under "all"; the first number is the L0 "norm".

    >>> count_nonzeros({"W1": np.array([[1.0, 0.0]]), "b1": np.array([0.0])})
    {'W1': (1, 2), 'b1': (0, 1), 'all': (1, 3)}
    """
    table = {name: (int(np.count_nonzero(w)), int(w.size)) for name, w in params.items()}
    return table | {"all": (sum(n for n, _ in table.values()), sum(size for _, size in table.values()))}


def chosen_names(params: Mapping[str, NDArray], names: Iterable[str] | None) -> list[str]:
    """The given names, or without any those of the weight matrices; ValueError for an unknown name or an empty choice.

    >>> chosen_names({"W1": np.zeros(2), "b1": np.zeros(2)}, None)
    ['W1']
    """
    chosen = [name for name in params if decays(name)] if names is None else list(names)
    unknown = [name for name in chosen if name not in params]
    if unknown or not chosen:
        raise ValueError(f"expected names out of {', '.join(params)}, got {unknown or 'none'}")
    return chosen
