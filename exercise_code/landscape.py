"""Slices through the loss landscape, and how far the gradient can be trusted along its own direction.

A direction is a dict of arrays like `model.params`.  Nothing here changes the model: see `exercise_code.model_probe`.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exercise_code.model_probe import Params, Probe
from exercise_code.networks.optimizer import SGD


@dataclass(frozen=True)
class LossSlice:
    """Losses (A,) at the positions alphas (A,) along one direction; 0 is the network itself."""

    alphas: NDArray
    losses: NDArray


@dataclass(frozen=True)
class LossPlane:
    """Losses (A, B) at alphas (A,) along the first and betas (B,) along the second direction."""

    alphas: NDArray
    betas: NDArray
    losses: NDArray


def random_direction(
    params: Mapping[str, NDArray], *, normalise: str = "filter", rng: np.random.Generator | None = None
) -> Params:
    """Draw a Gaussian direction and scale it to the weights (Li et al. 2018, "Visualizing the Loss Landscape").

    "filter": `d_j <- d_j / ||d_j|| * ||w_j||` for the incoming weights of every neuron j: column j of a weight matrix (D, M),
    entry j of the first axis of a convolution (F, C, H, W).  "layer": the same with one norm per array.  Without it, two
    ReLU networks that compute the same function at different scales of their weights look flat or steep by scale alone.
    Arrays with one axis (biases, gamma and beta of batch norm) are not moved, as in the paper.

    Args:
        params: name -> weights, as in `model.params`.
        normalise: "filter" or "layer".
        rng: source of the draw; None uses seed 0.

    Raises:
        ValueError: an unknown word for normalise.

    >>> import numpy as np
    >>> direction = random_direction({"W1": np.array([[3.0, 0.0], [4.0, 0.0]]), "b1": np.ones(2)})
    >>> np.linalg.norm(direction["W1"], axis=0).round(6).tolist(), direction["b1"].tolist()
    ([5.0, 0.0], [0.0, 0.0])
    """
    if normalise not in ("filter", "layer"):
        raise ValueError(f'normalise must be "filter" or "layer", got {normalise!r}')
    rng = np.random.default_rng(0) if rng is None else rng
    direction = {}
    for name, w in params.items():
        d = rng.standard_normal(w.shape)
        if w.ndim < 2:
            d[...] = 0
        else:
            axes = tuple(range(w.ndim))
            if normalise == "filter":
                axes = (0,) if w.ndim == 2 else axes[1:]
            d *= _norm(w, axes) / _norm(d, axes)
        direction[name] = d.astype(w.dtype)
    return direction


def loss_slice(
    model: Any, loss_func: Any, x: NDArray, y: Any, direction: Mapping[str, NDArray], alphas: ArrayLike | None = None
) -> LossSlice:
    """Loss of one batch at `w + alpha * direction`, in evaluation mode and without the regularisation term.

    With `direction = {name: other.params[name] - w for name, w in model.params.items()}` this is the straight line to another
    network, at alpha = 1 (Goodfellow et al. 2015).

    Args:
        model, loss_func, x, y: as for `exercise_code.model_probe.Probe`.
        direction: see `random_direction`.
        alphas: (A,) positions; None means 41 from -1 to 1.

    Returns:
        Losses; inf or nan where the network overflows.

    Raises:
        ValueError: a direction whose names or shapes are not those of the parameters.

    >>> import numpy as np
    >>> from exercise_code.networks import ClassificationNet
    >>> from exercise_code.networks.loss import MSE
    >>> net = ClassificationNet(num_layer=1, input_size=1, num_classes=1, std=0.0, dtype=np.float64)
    >>> line = loss_slice(net, MSE, np.ones((1, 1)), np.zeros((1, 1)), {"W1": np.ones((1, 1)), "b1": np.zeros(1)}, [0, 1, 2])
    >>> line.losses.tolist()   # (alpha * 1 - 0)**2
    [0.0, 1.0, 4.0]
    """
    probe = Probe(model, loss_func, x, y)
    positions = np.linspace(-1, 1, 41) if alphas is None else np.array(alphas, dtype=np.float64)
    return LossSlice(positions, np.array([_loss_at(probe, [(alpha, direction)]) for alpha in positions]))


def loss_plane(
    model: Any,
    loss_func: Any,
    x: NDArray,
    y: Any,
    directions: tuple[Mapping[str, NDArray], Mapping[str, NDArray]],
    alphas: ArrayLike | None = None,
    betas: ArrayLike | None = None,
) -> LossPlane:
    """Loss of one batch at `w + alpha * directions[0] + beta * directions[1]`; otherwise like `loss_slice`.

    alphas and betas are 21 positions from -1 to 1 unless given, 441 forward passes: take some hundred samples, not all.

    >>> import numpy as np
    >>> from exercise_code.networks import ClassificationNet
    >>> from exercise_code.networks.loss import MSE
    >>> net = ClassificationNet(num_layer=1, input_size=1, num_classes=1, std=0.0, dtype=np.float64)
    >>> weight, bias = ({"W1": np.full((1, 1), a), "b1": np.full(1, b)} for a, b in ((1.0, 0.0), (0.0, 1.0)))
    >>> loss_plane(net, MSE, np.ones((1, 1)), np.zeros((1, 1)), (weight, bias), [0, 1], [0, 2]).losses.tolist()
    [[0.0, 4.0], [1.0, 9.0]]
    """
    probe = Probe(model, loss_func, x, y)
    rows, columns = (np.linspace(-1, 1, 21) if at is None else np.array(at, dtype=np.float64) for at in (alphas, betas))
    losses = [[_loss_at(probe, [(a, directions[0]), (b, directions[1])]) for b in columns] for a in rows]
    return LossPlane(rows, columns, np.array(losses))


@dataclass(frozen=True)
class GradientProbe:
    """What happens along the gradient g of one batch, at `w - step * g` for each step size (S,).

    loss, grad_norm: at w.  losses: (S,) at the new points.  changes: (S,) `||g(w) - g(w - step g)||`, the gradient's
    predictiveness (small is good).  step_sizes: (S,).

    >>> probe = GradientProbe(np.array([0.25, 0.5]), 1.0, 2.0, losses=np.array([0.5, 0.4]), changes=np.array([1.0, 3.0]))
    >>> probe.smoothness.tolist(), probe.beta
    ([2.0, 3.0], 3.0)
    """

    step_sizes: NDArray
    loss: float
    grad_norm: float
    losses: NDArray
    changes: NDArray

    @property
    def smoothness(self) -> NDArray:
        """`change / distance` for each step (S,), with distance = step * ||g||; 0 where the gradient is 0."""
        distance = self.step_sizes * self.grad_norm
        return np.divide(self.changes, distance, out=np.zeros_like(self.changes), where=distance != 0)

    @property
    def beta(self) -> float:
        """Effective beta-smoothness: the largest change per distance; 1/beta is a step size that surely descends there."""
        return float(self.smoothness.max())


def probe_gradient(model: Any, loss_func: Any, x: NDArray, y: Any, step_sizes: ArrayLike) -> GradientProbe:
    """Walk along the negative gradient of one batch and see how loss and gradient change (Santurkar et al. 2018).

    This is the evidence for batch norm's third hypothesis, a smoother landscape (lecture 003): (a) the range of the
    losses, (b) the change of the gradient, (c) the effective beta-smoothness `max_step ||g(w) - g(w - step g)|| / (step ||g||)`.
    Everything is measured in training mode, with the regularisation term: batch norm uses the batch, as when training.
    A quadratic loss `w'Aw/2` has beta `||A g|| / ||g||`, at most the largest eigenvalue of A, for every step.

    (b) depends on the scale of the gradient: compare networks by it only where their gradients are of similar size.

    Args:
        model, loss_func, x, y: as for `exercise_code.model_probe.Probe`.
        step_sizes: (S,) positive numbers, for instance the learning rate times 0.5, 1, 2 and 4.

    Raises:
        ValueError: no step size, or one that is not positive.

    >>> import numpy as np
    >>> from exercise_code.networks import ClassificationNet
    >>> from exercise_code.networks.loss import MSE
    >>> net = ClassificationNet(num_layer=1, input_size=1, num_classes=1, std=0.0, dtype=np.float64)
    >>> probe_gradient(net, MSE, np.zeros((1, 1)), np.ones((1, 1)), [0.1, 0.5]).beta   # loss (b - 1)**2, second derivative 2
    2.0
    """
    steps = np.array(step_sizes, dtype=np.float64).reshape(-1)
    if not steps.size or not (steps > 0).all():
        raise ValueError(f"expected positive step sizes, got {steps.tolist()}")
    probe = Probe(model, loss_func, x, y)
    losses, changes = np.empty(len(steps)), np.empty(len(steps))
    with np.errstate(over="ignore", invalid="ignore"):
        loss, grads = probe.loss_and_grads(probe.params)
        for i, step in enumerate(steps):
            losses[i], there = probe.loss_and_grads(_moved(probe.params, [(-step, grads)]))
            changes[i] = _length({name: grads[name] - there[name] for name in grads})
    return GradientProbe(steps, loss, _length(grads), losses, changes)


@dataclass(frozen=True)
class SmoothnessHistory:
    """Probes along a training run: steps (T,) numbers of the optimizer step, probes T `GradientProbe`s.

    >>> probe = GradientProbe(np.array([0.5]), 1.0, 2.0, losses=np.array([0.4]), changes=np.array([3.0]))
    >>> SmoothnessHistory(np.array([0, 5]), (probe, probe)).beta.tolist()
    [3.0, 3.0]
    """

    steps: NDArray
    probes: tuple[GradientProbe, ...]

    @property
    def losses(self) -> NDArray:
        """(T, S) losses along the gradient."""
        return np.array([probe.losses for probe in self.probes])

    @property
    def changes(self) -> NDArray:
        """(T, S) changes of the gradient."""
        return np.array([probe.changes for probe in self.probes])

    @property
    def beta(self) -> NDArray:
        """(T,) effective beta-smoothness."""
        return np.array([probe.beta for probe in self.probes])


def probe_training(
    model: Any,
    loss_func: Any,
    loader: Any,
    *,
    learning_rate: float = 1e-2,
    optimizer: Any = SGD,
    steps: int = 200,
    every: int = 5,
    factors: ArrayLike = (0.5, 1.0, 2.0, 4.0),
) -> SmoothnessHistory:
    """Train a copy of the network and call `probe_gradient` on every `every`-th batch, before its step.

    Args:
        model: start of the run; it is not changed.
        loss_func: a loss as an instance or a class.
        loader: training batches; begun again when it is used up. A `DataLoader` is forked, so it stays where it is.
        learning_rate, optimizer: as for the Solver.
        steps: of the optimizer.  every: steps from one probe to the next.
        factors: (S,) step sizes of the probes as multiples of the learning rate.

    Raises:
        ValueError: steps or every below 1, a factor that is not positive, or a loader without batches.

    >>> import numpy as np
    >>> from exercise_code.data import DataLoader
    >>> from exercise_code.networks import ClassificationNet
    >>> from exercise_code.networks.loss import CrossEntropyFromLogits
    >>> loader = DataLoader([{"image": np.eye(2)[i % 2], "label": i % 2} for i in range(8)], batch_size=4)
    >>> net = ClassificationNet(num_layer=1, input_size=2, num_classes=2)
    >>> history = probe_training(net, CrossEntropyFromLogits, loader, steps=6, every=3)
    >>> history.steps.tolist(), history.losses.shape
    ([0, 3], (2, 4))
    """
    if steps < 1 or every < 1:
        raise ValueError(f"steps and every must be at least 1, got {steps} and {every}")
    loss_func = loss_func() if isinstance(loss_func, type) else loss_func
    twin = copy.deepcopy(model)
    twin.train()
    opt = optimizer(twin, loss_func, learning_rate)
    source = loader.fork() if hasattr(loader, "fork") else loader
    at: list[int] = []
    probes: list[GradientProbe] = []
    step = 0
    while step < steps:
        before = step
        for batch in source:
            if step == steps:
                break
            x, y = batch["image"], batch["label"]
            if step % every == 0:
                at.append(step)
                probes.append(
                    probe_gradient(twin, loss_func, x, y, learning_rate * np.asarray(factors, dtype=np.float64))
                )
            with np.errstate(over="ignore", invalid="ignore"):  # a run that diverges shows in the probes
                opt.backward(twin.forward(x), y)
                opt.step()
            step += 1
        if step == before:
            raise ValueError("the loader gave no batch: its batch_size is larger than the data set")
    return SmoothnessHistory(np.array(at), tuple(probes))


def _loss_at(probe: Probe, moves: list[tuple[float, Mapping[str, NDArray]]]) -> float:
    with np.errstate(over="ignore", invalid="ignore"):  # far out a network may overflow; the answer is then inf or nan
        return probe.loss(_moved(probe.params, moves), training=False)


def _moved(params: Params, moves: list[tuple[float, Mapping[str, NDArray]]]) -> Params:
    for _, direction in moves:
        if {name: np.shape(d) for name, d in direction.items()} != {name: w.shape for name, w in params.items()}:
            raise ValueError(f"expected a direction with the parameters' names and shapes: {', '.join(params)}")
    return {
        name: (w + sum(amount * direction[name] for amount, direction in moves)).astype(w.dtype, copy=False)
        for name, w in params.items()
    }


def _norm(w: NDArray, axes: tuple[int, ...]) -> NDArray:
    return np.sqrt(np.sum(np.square(w, dtype=np.float64), axis=axes, keepdims=True))


def _length(grads: Mapping[str, NDArray]) -> float:
    return float(np.sqrt(sum(np.sum(np.square(grad, dtype=np.float64)) for grad in grads.values())))
