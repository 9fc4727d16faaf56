"""Learning-rate range test (Smith 2017; lecture 002): raise the learning rate step by step and watch the loss."""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code import plots
from exercise_code.networks.loss import CrossEntropyFromLogits
from exercise_code.networks.optimizer import Adam


@dataclass(frozen=True)
class LRRangeResult:
    """What `lr_range_test` saw; the arrays have one float64 number per step and end where the test stopped.

    Attributes:
        lrs: (K,) learning rates tried, rising.
        losses: (K,) training loss on the step's batch, before the step with that learning rate.
        smoothed: (K,) its moving average with bias correction.
        suggestion: learning rate where the smoothed loss falls most steeply, or None if it never fell.
        diverged: whether the test stopped before lr_max because the loss blew up.

    >>> ones = np.ones(2)
    >>> LRRangeResult(np.array([0.1, 1.0]), ones, ones, None, False).suggestion is None
    True
    """

    lrs: NDArray
    losses: NDArray
    smoothed: NDArray
    suggestion: float | None
    diverged: bool

    def plot(self) -> Any:
        """Draw the losses over the learning rate (log scale) with the suggestion marked; returns the Figure."""
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(figsize=(7, 4.2))
        axes.plot(self.lrs, self.losses, color=plots.MUTED, alpha=0.45, linewidth=1, label="loss of the batch")
        axes.plot(self.lrs, self.smoothed, color="C0", linewidth=2.2, label="smoothed")
        axes.set_xscale("log")
        low, high = self.losses.min(), self.smoothed[: int(self.smoothed.argmin()) + 1].max()
        room = 0.12 * (high - low) or 0.5
        axes.set_ylim(low - room, high + 2 * room)  # a blow-up leaves the picture at its top
        if self.diverged:
            axes.axvspan(self.lrs[-1], self.lrs[-1] * 2, color=plots.BAD, alpha=0.2, linewidth=0, label="diverged")
        if self.suggestion is not None:
            height = float(np.interp(np.log(self.suggestion), np.log(self.lrs), self.smoothed))
            axes.axvline(self.suggestion, color=plots.GOOD, linestyle="--", linewidth=1.2)
            axes.plot(self.suggestion, height, "o", color=plots.GOOD, markersize=8, zorder=4)
            axes.annotate(
                f"steepest at {self.suggestion:.1e}",
                (self.suggestion, height),
                xytext=(-14, -16),
                textcoords="offset points",
                ha="right",
                color=plots.GOOD,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
            )
        axes.set(xlabel="learning rate", ylabel="training loss", title="Learning-rate range test")
        axes.legend(frameon=False, loc="lower left")
        plots._style(axes)
        figure.tight_layout()
        return figure


def lr_range_test(
    model: Any,
    loader: Any,
    optimizer: Any = Adam,
    loss_func: Any = None,
    lr_min: float = 1e-7,
    lr_max: float = 10.0,
    num_steps: int = 100,
    *,
    smoothing: float = 0.9,
    diverge_factor: float = 4.0,
) -> LRRangeResult:
    """Train a copy of the model for num_steps batches, at learning rates that grow geometrically from lr_min to lr_max.

    The slide's pseudo-code has no line that raises the learning rate; here step i uses
    `lr_i = lr_min * (lr_max / lr_min) ** (i / (num_steps - 1))`.  The loss of single batches jumps about, so it is smoothed:
    `a_i = smoothing * a_(i-1) + (1 - smoothing) * loss_i`, divided by `1 - smoothing**(i + 1)` because a starts at 0.
    Model, loader and every random generator in them stay exactly as they were, since copies do the work (the model is
    copied whole, a DataLoader is forked); no optimizer state survives either.

    The suggestion is where the smoothed loss falls most per factor of learning rate, not where it is lowest: there it is
    about to blow up.  The average runs behind the loss by about smoothing / (1 - smoothing) steps, and the copy has trained
    on the way up; take the suggestion as an order of magnitude.  For a one-cycle schedule it serves as lr_max.

    Args:
        model: a network with `params`, `grads`, `forward`, `backward` (see `exercise_code.networks`).
        loader: yields batches `{"image": (B, ...), "label": (B,)}`, and can be walked through several times.
        optimizer: called as `optimizer(model, loss_func, learning_rate)`.
        loss_func: a loss as an instance or a class; None means CrossEntropyFromLogits().  As in the Solver, the model's
            regularisation terms are added to it.
        lr_min: first learning rate, > 0.
        lr_max: last one, > lr_min.
        num_steps: number of batches, >= 5.
        smoothing: in [0, 1); 0 does not smooth.
        diverge_factor: stop when the smoothed loss exceeds both its first value and this many times its lowest one;
            > 1.  A loss that is not finite stops the test too and is left out.

    Raises:
        ValueError: a setting out of its range, a loader without batches, or a loss that is not finite from the start.

    >>> from exercise_code.data import DataLoader
    >>> from exercise_code.networks import ClassificationNet
    >>> samples = [{"image": [float(i % 2), 1.0], "label": i % 2} for i in range(8)]
    >>> result = lr_range_test(ClassificationNet(input_size=2, num_classes=2, std=0.5), DataLoader(samples, 4))
    >>> 1e-7 < result.suggestion < 10
    True
    """
    _check(lr_min, lr_max, num_steps, smoothing, diverge_factor)
    loss_func = CrossEntropyFromLogits() if loss_func is None else loss_func
    loss_func = loss_func() if isinstance(loss_func, type) else loss_func
    twin = copy.deepcopy(model)
    twin.train()
    opt = optimizer(twin, loss_func, lr_min)
    lrs, losses, smoothed, average, diverged = np.geomspace(lr_min, lr_max, num_steps), [], [], 0.0, False
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # divergence is what we are looking for
        for lr, batch in zip(lrs, _endless(loader), strict=False):
            y_pred = twin.forward(batch["image"])
            loss = float(loss_func(y_pred, batch["label"])) + float(sum(getattr(twin, "reg", {}).values()))
            if not math.isfinite(loss):
                diverged = True
                break
            losses.append(loss)
            average = smoothing * average + (1 - smoothing) * loss
            smoothed.append(average / (1 - smoothing ** len(losses)))
            if smoothed[-1] > max(smoothed[0], diverge_factor * min(smoothed)):
                diverged = True
                break
            opt.lr = float(lr)
            opt.backward(y_pred, batch["label"])
            opt.step()
    if not losses:
        raise ValueError(
            "the very first loss is not finite: look at the model's weights and the inputs before any rate"
        )
    lrs, curve = lrs[: len(losses)], np.array(smoothed)
    return LRRangeResult(lrs, np.array(losses), curve, _steepest(lrs, curve, smoothing), diverged)


def _endless(loader: Any) -> Iterator[dict[str, NDArray]]:
    loader = loader.fork() if hasattr(loader, "fork") else loader
    while True:
        empty = True
        for batch in loader:
            empty = False
            yield batch
        if empty:
            raise ValueError("the loader gave no batch: its batch_size is larger than the data set, or it was used up")


def _steepest(lrs: NDArray, smoothed: NDArray, smoothing: float) -> float | None:
    """Learning rate at the steepest descent on the way to the lowest smoothed loss; None if nothing fell.

    The first 1 / (1 - smoothing) steps, but at most a quarter, are left out: there the average is one of few batches, which
    differ by chance, and it jumps more than any learning rate that small can make it fall.
    """
    start = min(round(1 / (1 - smoothing)), len(smoothed) // 4)
    curve = smoothed[start:]
    lowest_yet = np.minimum.accumulate(curve)
    fallen = curve[0] - lowest_yet
    if not fallen[-1] > 0:
        return None
    # A network that blew up and died falls back to a constant loss, perhaps lower than ever: look only before the turn.
    turned = np.flatnonzero((fallen >= fallen[-1] / 4) & (curve - lowest_yet > fallen / 2))
    lowest = int(curve[: turned[0] if turned.size else len(curve)].argmin())
    slopes = np.gradient(smoothed, np.log(lrs))[start : start + lowest + 1]
    return float(lrs[start + int(slopes.argmin())])


def _check(lr_min: float, lr_max: float, num_steps: int, smoothing: float, diverge_factor: float) -> None:
    if not 0 < lr_min < lr_max < math.inf:
        raise ValueError(f"expected 0 < lr_min < lr_max, got {lr_min!r} and {lr_max!r}")
    if num_steps < 5:
        raise ValueError(f"num_steps must be at least 5, got {num_steps!r}")
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing must lie in [0, 1), got {smoothing!r}")
    if not diverge_factor > 1:
        raise ValueError(f"diverge_factor must be larger than 1, got {diverge_factor!r}")
