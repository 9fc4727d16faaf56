"""The Solver: trains a network on batches, watches the validation loss and hands back the best weights it saw."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code import training_loop
from exercise_code.networks.loss import CrossEntropyFromLogits
from exercise_code.networks.optimizer import Adam


class Solver:
    """Train a classification or regression network (lecture 004).

    Args:
        model: a network with `params`, `grads`, `reg`, `forward`, `backward` (see `exercise_code.networks`).
        train_dataloader: yields batches `{"image": (B, ...), "label": (B,)}`.
        val_dataloader: the same for validation.  A `DataLoader` is read whole and in order, even if it was made with
            shuffle or drop_last, so the validation loss is the same number whenever it is asked for.
        loss_func: a loss as an instance or a class; None means CrossEntropyFromLogits().
        learning_rate: of the first epoch, per step.
        optimizer: called as `optimizer(model, loss_func, learning_rate)`; use functools.partial for more settings.
        verbose: print a line per print_every epochs.
        print_every: epochs between two lines.
        lr_decay: the learning rate is multiplied by it after every epoch; in (0, 1].
        schedule: a schedule of `exercise_code.schedules` that sets the learning rate instead of lr_decay.
        gradient_clip: largest allowed norm of all gradients together (Pascanu et al. 2013); longer ones are scaled
            down to it.  None does not clip.
        callbacks: see `exercise_code.callbacks`.
        allow_overlap: accept a validation set that shares images with the training set, for the overfitting check.

    Attributes after training (epoch histories have one number per epoch):
        train_loss_history: mean batch loss of the epoch, with the regularisation term (it is what was minimised).
        val_loss_history: loss on the whole validation set without the regularisation term, so that runs with different
            regularisation can be compared; it decides which epoch was best.
        train_batch_loss: loss of every step.  lr_history: learning rate of every epoch.
        best_params: a copy of the weights at the best epoch.  best_model_stats: {"epoch", "val_loss", "train_loss"}.
        num_operation: optimizer steps done.  current_patience: epochs since the best one.
        stop_reason: "epochs", "patience" or "diverged".

    Raises:
        ValueError: a setting out of its range.

    >>> from exercise_code.data import DataLoader
    >>> from exercise_code.networks import ClassificationNet
    >>> samples = [{"image": [float(i % 2), 1.0], "label": i % 2} for i in range(12)]
    >>> net = ClassificationNet(input_size=2, num_classes=2, hidden_size=3, std="xavier")
    >>> solver = Solver(net, DataLoader(samples[:8], 4), DataLoader(samples[8:], 4), learning_rate=0.1, verbose=False)
    >>> solver.train(epochs=20)
    >>> solver.val_loss_history[-1] < 0.1 * solver.val_loss_history[0], solver.get_dataset_accuracy(solver.val_dataloader)
    (True, 1.0)
    """

    def __init__(
        self,
        model: Any,
        train_dataloader: Any,
        val_dataloader: Any,
        loss_func: Any = None,
        learning_rate: float = 1e-3,
        optimizer: Any = Adam,
        verbose: bool = True,
        print_every: int = 1,
        lr_decay: float = 1.0,
        *,
        schedule: Any = None,
        gradient_clip: float | None = None,
        callbacks: Sequence[Any] = (),
        allow_overlap: bool = False,
    ):
        if not 0 < lr_decay <= 1:
            raise ValueError(f"lr_decay must lie in (0, 1], got {lr_decay!r}")
        if print_every < 1:
            raise ValueError(f"print_every must be at least 1, got {print_every!r}")
        if schedule is not None and lr_decay != 1.0:
            raise ValueError("expected a schedule or an lr_decay, got both: they would fight over the learning rate")
        if gradient_clip is not None and not gradient_clip > 0:
            raise ValueError(f"gradient_clip must be positive or None, got {gradient_clip!r}")
        if not allow_overlap:
            refuse_overlap(train_dataloader, val_dataloader)
        loss_func = CrossEntropyFromLogits() if loss_func is None else loss_func
        self.model = model
        self.train_dataloader = train_dataloader
        self.val_dataloader = val_dataloader
        self.loss_func = loss_func() if isinstance(loss_func, type) else loss_func
        self.learning_rate = learning_rate
        self.opt = optimizer(model, self.loss_func, learning_rate)
        self.verbose = verbose
        self.print_every = print_every
        self.lr_decay = lr_decay
        self.schedule = schedule
        self.gradient_clip = gradient_clip
        self.callbacks = list(callbacks)
        self._reset()

    def _reset(self) -> None:
        self.train_loss_history: list[float] = []
        self.val_loss_history: list[float] = []
        self.train_batch_loss: list[float] = []
        self.lr_history: list[float] = []
        self.best = training_loop.BestWeights()
        self.best_model_stats = None
        self.best_buffers: dict[str, NDArray] = {}
        self.num_operation = 0
        self.keep_patience = False
        self.stop_reason = ""

    @property
    def best_params(self) -> dict[str, NDArray] | None:
        """Copies of the weights at the best epoch; None before there is one."""
        return self.best.params

    @best_params.setter
    def best_params(self, params: dict[str, NDArray] | None) -> None:
        self.best.params = params

    @property
    def best_model_stats(self) -> dict[str, float] | None:
        """Epoch and losses of the best epoch; setting None forgets it."""
        return self._best_model_stats

    @best_model_stats.setter
    def best_model_stats(self, stats: dict[str, float] | None) -> None:
        self._best_model_stats = stats
        self.best.loss = math.inf if stats is None else stats["val_loss"]

    @property
    def current_patience(self) -> int:
        """Epochs since the best one."""
        return self.best.waited

    @current_patience.setter
    def current_patience(self, waited: int) -> None:
        self.best.waited = waited

    def _step(self, X: NDArray, y: NDArray, validation: bool = False) -> float:
        """Loss on one batch, X (B, ...) and y (B,); unless it is for validation, also one step of the optimizer.

        The training loss includes the regularisation term, the validation loss does not.
        """
        if validation:
            return self.loss_func(self.model.forward(X), y)
        return training_loop.train_step(self.model, self.loss_func, _WatchedOptimizer(self), X, y)

    def train(self, epochs: int = 100, patience: int | None = None) -> None:
        """Train for a number of epochs, then put the best weights seen back into the model.

        Calling it again goes on from those weights and appends to the histories.

        Args:
            epochs: passes over the training data, >= 0.
            patience: stop when this many epochs in a row did not improve the validation loss; None never does.

        Raises:
            ValueError: the training loader yields no batch (its batch_size exceeds the data and drop_last is set).
        """
        if not self.keep_patience:
            self.current_patience = 0
        self.keep_patience, self.stop_reason = False, "epochs"
        self.planned_epochs = len(self.val_loss_history) + epochs
        self._tell("train_start")
        try:
            self.stop_reason = training_loop.run_epochs(self._one_epoch, self.best, epochs, patience)
        finally:  # an interrupted run keeps its best weights too
            self._tell("train_end")
            self._restore_best()
        if self.verbose and self.stop_reason != "epochs":
            print(f"Stopped after epoch {len(self.val_loss_history)}: {self.stop_reason}")

    def _one_epoch(self) -> float:
        """Train, validate and take note; the validation loss, or nan when the training loss is not finite."""
        if self.schedule is not None and self.schedule.per == "epoch":
            self.opt.lr = self.schedule(len(self.val_loss_history))
        self.lr_history.append(self.opt.lr)
        train_loss = self._train_epoch()
        val_loss = self.get_validation_loss()
        self.train_loss_history.append(train_loss)
        self.val_loss_history.append(val_loss)
        self._report()
        self.update_best_loss(val_loss, train_loss)
        self.opt.lr *= self.lr_decay
        self._tell("epoch_end")
        return val_loss if math.isfinite(train_loss) else math.nan

    def _train_epoch(self) -> float:
        self.model.train()
        losses = []
        with np.errstate(over="ignore", invalid="ignore"):  # divergence is reported by stop_reason
            for batch in self.train_dataloader:
                losses.append(self._step(batch["image"], batch["label"]))
                self._tell("step_end")
        if not losses:
            raise ValueError("the training loader gave no batch: its batch_size is larger than the data set")
        self.train_batch_loss += losses
        return float(np.mean(losses))

    def get_validation_loss(self) -> float:
        """Mean loss over the whole validation set, without regularisation and without changing anything."""
        loader = self.val_dataloader
        batches = loader.in_order() if hasattr(loader, "in_order") else loader
        with np.errstate(over="ignore", invalid="ignore"):
            return training_loop.dataset_loss(self.model, self.loss_func, batches)

    def get_dataset_accuracy(self, loader: Any) -> float:
        """Fraction (0 to 1) of a loader's images that the model classifies correctly, every image counted once."""
        return self.model.get_dataset_prediction(loader)[2]

    def update_best_loss(self, val_loss: float, train_loss: float) -> None:
        """Keep a copy of the weights when val_loss is the lowest finite one so far; otherwise count up the patience."""
        self.best.update(val_loss, self.model.params)
        if self.best.waited == 0:
            epoch = len(self.val_loss_history)
            self.best_model_stats = {"epoch": epoch, "val_loss": val_loss, "train_loss": train_loss}
            self.best_buffers = {name: value.copy() for name, value in self.model.buffers().items()}

    def history(self) -> dict[str, list[float]]:
        """The epochs as a table: column name -> one number per epoch; `pandas.DataFrame(solver.history())` shows it."""
        return {
            "epoch": [float(epoch) for epoch in range(1, len(self.val_loss_history) + 1)],
            "train_loss": list(self.train_loss_history),
            "val_loss": list(self.val_loss_history),
            "learning_rate": self.lr_history[: len(self.val_loss_history)],
        }

    def _tell(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self)

    def _restore_best(self) -> None:
        self.best.restore(self.model.params)
        if self.best_params is not None:
            self.model.load_buffers(self.best_buffers)
        self.model.eval()

    def _report(self) -> None:
        epoch = len(self.val_loss_history)
        if self.verbose and (epoch - 1) % self.print_every == 0:
            train_loss, val_loss = self.train_loss_history[-1], self.val_loss_history[-1]
            print(f"(Epoch {epoch}) train loss: {train_loss:.4f}; val loss: {val_loss:.4f}; lr: {self.opt.lr:.2e}")


class _WatchedOptimizer:
    """A Solver's optimizer as `train_step` sees it: clipping, the schedule and callbacks act between its two calls."""

    def __init__(self, solver: Solver):
        self.solver = solver

    def backward(self, y_pred: NDArray, y_true: NDArray) -> None:
        self.solver.opt.backward(y_pred, y_true)
        if self.solver.gradient_clip is not None:
            clip_gradients(self.solver.model.grads, self.solver.gradient_clip)

    def step(self) -> None:
        solver = self.solver
        if solver.schedule is not None and solver.schedule.per == "step":
            solver.opt.lr = solver.schedule(solver.num_operation)
        solver._tell("before_step")
        solver.opt.step()
        solver.num_operation += 1


def clip_gradients(grads: dict[str, NDArray], max_norm: float) -> float:
    """Scale gradients in place so that their common norm is at most max_norm; return the norm they had.

    Pascanu et al. 2013: all of them are multiplied by one number, so the direction of the step stays.

    >>> grads = {"W1": np.array([3.0]), "b1": np.array([4.0])}
    >>> clip_gradients(grads, 1.0), {name: round(grad.item(), 6) for name, grad in grads.items()}
    (5.0, {'W1': 0.6, 'b1': 0.8})
    """
    norm = math.sqrt(sum(float(np.vdot(grad, grad)) for grad in grads.values()))
    if norm > max_norm:
        for grad in grads.values():
            grad *= max_norm / norm
    return norm


def refuse_overlap(train_loader: Any, val_loader: Any) -> None:
    """Raise ValueError when both loaders read the same data set, or share images of one.

    Only what can be seen is refused: loaders of one data set object, and data sets that select from the same stored images.

    >>> refuse_overlap([1, 2], [3])      # two lists, two data sets
    >>> data = [1, 2]
    >>> refuse_overlap(data, data)      # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: training and validation data share 2 images, so the validation loss would praise memorising: ...
    """
    train, val = (getattr(loader, "dataset", loader) for loader in (train_loader, val_loader))
    images = getattr(train, "images", None)
    if train is val:
        shared = len(train) if hasattr(train, "__len__") else 1
    elif images is not None and images is getattr(val, "images", None):
        shared = len(np.intersect1d(train._indices, val._indices))
    else:
        return
    if shared:
        raise ValueError(
            f"training and validation data share {shared} images, so the validation loss would praise memorising: use another "
            "part for validation, or pass allow_overlap=True for an overfitting check"
        )
