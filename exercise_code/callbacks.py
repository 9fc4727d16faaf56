"""Callbacks of the Solver: watch a training run, draw it, or write it down.

A callback has five methods, all called with the Solver: `train_start`, `before_step` (gradients are ready, weights not yet
changed), `step_end`, `epoch_end` and `train_end`.  Subclass `Callback` and override what you need:

>>> class CountSteps(Callback):
...     steps = 0
...     def step_end(self, solver):
...         self.steps += 1
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Callback:
    """Does nothing at every event."""

    def train_start(self, solver: Any) -> None:
        """Before the first epoch of a call of `train`."""

    def before_step(self, solver: Any) -> None:
        """Gradients are in `solver.model.grads`, the weights are still the old ones."""

    def step_end(self, solver: Any) -> None:
        """After the weights have changed."""

    def epoch_end(self, solver: Any) -> None:
        """After the validation of an epoch; the histories hold it."""

    def train_end(self, solver: Any) -> None:
        """After the last epoch, also of an interrupted run; the best weights are not yet put back."""


class ProgressBar(Callback):
    """A tqdm bar over the epochs with both losses; works in terminals and notebooks."""

    def train_start(self, solver: Any) -> None:
        from tqdm.auto import tqdm

        self._bar = tqdm(total=solver.planned_epochs, initial=len(solver.val_loss_history), unit="epoch")

    def epoch_end(self, solver: Any) -> None:
        losses = {"train": f"{solver.train_loss_history[-1]:.4f}", "val": f"{solver.val_loss_history[-1]:.4f}"}
        self._bar.set_postfix(losses)
        self._bar.update()

    def train_end(self, solver: Any) -> None:
        self._bar.close()


class LivePlot(Callback):
    """Redraw the loss curves in the notebook after every `every` epochs."""

    def __init__(self, every: int = 1):
        self.every = _interval(every)
        self._handle: Any = None

    def train_start(self, solver: Any) -> None:
        self._handle = None

    def epoch_end(self, solver: Any) -> None:
        if len(solver.val_loss_history) % self.every:
            return
        import matplotlib.pyplot as plt
        from IPython.display import display

        from exercise_code.plots import plot_losses

        figure = plot_losses({"run": solver})
        if self._handle is None:
            self._handle = display(figure, display_id=True)
        else:
            self._handle.update(figure)
        plt.close(figure)


class UpdateRatio(Callback):
    """Size of an update relative to the weights, `||W_new - W_old|| / ||W_old||` per weight matrix (lecture 001).

    About 1e-3 is healthy; much more is a learning rate that is too large, much less one that is too small.  Measured from the
    weights themselves, so it holds for every optimizer, not for plain SGD alone.

    Attributes:
        ratios: name -> one number per measured step.
    """

    def __init__(self, every: int = 10):
        self.every = _interval(every)
        self.ratios: dict[str, list[float]] = {}
        self._before: dict[str, NDArray] = {}

    def before_step(self, solver: Any) -> None:
        self._before = {}
        if solver.num_operation % self.every == 0:
            self._before = {name: w.copy() for name, w in solver.model.params.items() if name.startswith("W")}

    def step_end(self, solver: Any) -> None:
        for name, old in self._before.items():
            size = float(np.linalg.norm(old))
            change = float(np.linalg.norm(solver.model.params[name] - old))
            self.ratios.setdefault(name, []).append(change / size if size else float("nan"))


class GradientNorms(Callback):
    """Norm of the gradient of every parameter, at every `every`-th step: vanishing and exploding show early.

    Attributes:
        norms: name -> one number per measured step.
    """

    def __init__(self, every: int = 10):
        self.every = _interval(every)
        self.norms: dict[str, list[float]] = {}

    def before_step(self, solver: Any) -> None:
        if solver.num_operation % self.every == 0:
            for name, grad in solver.model.grads.items():
                self.norms.setdefault(name, []).append(float(np.linalg.norm(grad)))


class DeadUnits(Callback):
    """Fraction of hidden units whose weights got no gradient in a whole epoch: ReLU units that never fire again.

    Attributes:
        fractions: name of the weight matrix -> one number (0 to 1) per epoch.
    """

    def __init__(self) -> None:
        self.fractions: dict[str, list[float]] = {}
        self._alive: dict[str, NDArray] = {}

    def before_step(self, solver: Any) -> None:
        hidden = [f"b{i}" for i in range(1, solver.model.num_layer)]
        for name in hidden:
            if name in solver.model.grads:
                moved = solver.model.grads[name] != 0
                self._alive[name] = self._alive.get(name, np.zeros_like(moved)) | moved

    def epoch_end(self, solver: Any) -> None:
        for name, alive in self._alive.items():
            self.fractions.setdefault(f"W{name[1:]}", []).append(float(1 - alive.mean()))
        self._alive = {}


class StopOnNaN(Callback):
    """Stop at the first step whose loss is not finite, with the step's number.

    Without it the Solver ends such a run at the end of the epoch, quietly, with `stop_reason` "diverged".

    Raises:
        FloatingPointError: before the step that would spoil the weights.
    """

    def before_step(self, solver: Any) -> None:
        bad = [name for name, grad in solver.model.grads.items() if not np.isfinite(grad).all()]
        if bad:
            raise FloatingPointError(
                f"step {solver.num_operation + 1}: the gradient of {', '.join(bad)} is not finite (learning rate "
                f"{solver.opt.lr:g}): try a smaller one, gradient_clip=, or look at the inputs"
            )


class Checkpoint(Callback):
    """Write `path` after every `every` epochs, so that `exercise_code.checkpoint.resume` can go on from there."""

    def __init__(self, path: str | Path, every: int = 1):
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every!r}")
        self.path = Path(path)
        self.every = every

    def epoch_end(self, solver: Any) -> None:
        if len(solver.val_loss_history) % self.every == 0:
            from exercise_code.checkpoint import save

            save(solver, self.path)


def _interval(every: int) -> int:
    if every < 1:
        raise ValueError(f"every must be at least 1, got {every!r}")
    return every
