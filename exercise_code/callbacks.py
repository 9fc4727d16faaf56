"""Callbacks of the Solver: watch a training run, draw it, or write it down.

A callback has five methods, all called with the Solver: `train_start`, `before_step` (gradients are ready, weights not yet
changed), `step_end`, `epoch_end` and `train_end`.  Subclass `Callback` and override what you need:

>>> class CountSteps(Callback):
...     steps = 0
...     def step_end(self, solver):
...         self.steps += 1
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code import diagnostics


class Callback:
    """Does nothing at every event.

    >>> class LastLoss(Callback):
    ...     def epoch_end(self, solver):
    ...         self.loss = solver.val_loss_history[-1]
    >>> LastLoss().train_start(solver=None)
    """

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
    """A tqdm bar over the epochs with both losses; works in terminals and notebooks.

    >>> class Run:
    ...     planned_epochs, train_loss_history, val_loss_history = 1, [0.5], []
    >>> import contextlib, io
    >>> bar = ProgressBar()
    >>> with contextlib.redirect_stderr(io.StringIO()) as screen:
    ...     bar.train_start(Run)
    ...     Run.val_loss_history.append(0.7)
    ...     bar.epoch_end(Run)
    ...     bar.train_end(Run)
    >>> "val=0.7000" in screen.getvalue()
    True
    """

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
    """Redraw the loss curves in the notebook after every `every` epochs.

    >>> LivePlot(every=5).every      # Solver(..., callbacks=[LivePlot(every=5)])
    5
    """

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

    >>> class Run:
    ...     num_operation = 0
    ...     class model:
    ...         params = {"W1": np.array([3.0, 4.0])}
    >>> callback = UpdateRatio()
    >>> callback.before_step(Run)
    >>> Run.model.params["W1"] = np.array([3.0, 4.01])
    >>> callback.step_end(Run)
    >>> round(callback.ratios["W1"][0], 6)
    0.002
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
            ratio = diagnostics.update_ratio(old, solver.model.params[name])
            self.ratios.setdefault(name, []).append(ratio)


class GradientNorms(Callback):
    """Norm of the gradient of every parameter, at every `every`-th step: vanishing and exploding show early.

    Attributes:
        norms: name -> one number per measured step.

    >>> class Run:
    ...     num_operation = 0
    ...     class model:
    ...         grads = {"W1": np.array([3.0, 4.0])}
    >>> callback = GradientNorms()
    >>> callback.before_step(Run)
    >>> callback.norms
    {'W1': [5.0]}
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

    >>> class Run:
    ...     class model:
    ...         grads = {"W1": np.ones((3, 2)), "b1": np.array([0.0, 0.3]), "W2": np.ones((2, 4)), "b2": np.ones(4)}
    >>> callback = DeadUnits()
    >>> callback.before_step(Run)
    >>> callback.epoch_end(Run)
    >>> callback.fractions
    {'W1': [0.5]}
    """

    def __init__(self) -> None:
        self.fractions: dict[str, list[float]] = {}
        self._alive: dict[str, NDArray] = {}

    def before_step(self, solver: Any) -> None:
        grads = solver.model.grads
        numbers = sorted(int(name[1:]) for name in grads if re.fullmatch(r"W\d+", name))
        for i in numbers[:-1]:  # the last layer's units are the logits
            for name in (f"b{i}", f"beta{i}"):  # under batch norm the layer has no bias
                if name in grads:
                    moved = grads[name] != 0
                    self._alive[f"W{i}"] = self._alive.get(f"W{i}", np.zeros_like(moved)) | moved

    def epoch_end(self, solver: Any) -> None:
        for name, alive in self._alive.items():
            self.fractions.setdefault(name, []).append(float(1 - alive.mean()))
        self._alive = {}


class StopOnNaN(Callback):
    """Stop at the first step whose loss is not finite, with the step's number.

    Without it the Solver ends such a run at the end of the epoch, quietly, with `stop_reason` "diverged".

    Raises:
        FloatingPointError: before the step that would spoil the weights.

    >>> class Run:
    ...     num_operation = 6
    ...     class opt:
    ...         lr = 10.0
    ...     class model:
    ...         grads = {"W1": np.array([np.nan])}
    >>> StopOnNaN().before_step(Run)      # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    FloatingPointError: step 7: the gradient of W1 is not finite (learning rate 10): try a smaller one, ...
    """

    def before_step(self, solver: Any) -> None:
        bad = [name for name, grad in solver.model.grads.items() if not np.isfinite(grad).all()]
        if bad:
            raise FloatingPointError(
                f"step {solver.num_operation + 1}: the gradient of {', '.join(bad)} is not finite (learning rate "
                f"{solver.opt.lr:g}): try a smaller one, gradient_clip=, or look at the inputs"
            )


class Checkpoint(Callback):
    """Write `path` after every `every` epochs, so that `exercise_code.checkpoint.resume` can go on from there.

    >>> callback = Checkpoint("models/run.npz", every=5)      # Solver(..., callbacks=[callback])
    >>> callback.path.name, callback.every
    ('run.npz', 5)
    """

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
