"""Train a torch network: progress bar, schedule, early stop, best weights put back, resumable, the same run every time."""

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from exercise_code.labs.evaluation import chosen_device, device_of, evaluate
from exercise_code.labs.seeding import mix, seeded
from exercise_code.schedules import Schedule

Loss = Callable[..., Tensor]  # loss(logits, *the rest of the batch) -> a mean over the batch
Monitor = Literal["accuracy", "loss"]


@dataclass
class History:
    """What happened, one entry per epoch; `stopped` says why it ended.

    Attributes:
        train_loss: mean of the training loss over the epoch, dropout and augmentation included.
        val_loss, val_accuracy: cross entropy and fraction correct on the validation batches.
        learning_rate: at the end of the epoch.
        best_epoch: 1, 2, ..., whose weights the model has now; 0 means the first weights.
        stopped: "epochs", "patience", "interrupted" or "diverged".

    >>> history = History(train_loss=[2.0, 1.0], val_loss=[2.0, 1.5], val_accuracy=[0.5, 0.75], best_epoch=2)
    >>> history.epochs, history.best_accuracy
    (2, 0.75)
    """

    train_loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    val_accuracy: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    best_epoch: int = 0
    stopped: str = "epochs"

    @property
    def epochs(self) -> int:
        """How many epochs were trained."""
        return len(self.train_loss)

    @property
    def best_accuracy(self) -> float:
        """Validation accuracy of the weights that were kept; nan before the first epoch."""
        return self.val_accuracy[self.best_epoch - 1] if self.best_epoch else math.nan


def fit(
    model: nn.Module,
    train: Iterable[Any],
    val: Iterable[Any],
    epochs: int,
    *,
    optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] | None = None,
    schedule: Schedule | None = None,
    loss: Loss = functional.cross_entropy,
    monitor: Monitor = "accuracy",
    patience: int | None = None,
    device: torch.device | str | None = None,
    seed: int = 0,
    progress: bool = True,
    after_step: Callable[[nn.Module], object] | None = None,
    on_epoch: Callable[[int, History], object] | None = None,
    checkpoint: Path | str | None = None,
) -> History:
    """Train the model in place and leave it with the weights of its best epoch, in evaluation mode.

    The same seed, model and batches give the same weights, and a run resumed from a checkpoint those of a run that was
    never interrupted; torch's shared generator is left as it was.

    Args:
        model: gives logits (N, C) for images; moved to the device.
        train, val: batches of (images, labels, ...) that can be gone through again and again: `Batches` or torch's
            DataLoader.  What follows the images is handed to the loss, so a batch may carry a teacher's logits, too.
        epochs: passes over the training batches, those of a resumed run included.
        optimizer: makes one out of the parameters, `lambda weights: torch.optim.SGD(weights, lr=0.1)`; None is Adam with
            torch's settings.
        schedule: a learning rate per step or epoch, from `exercise_code.schedules`; None keeps the optimizer's.
        loss: `loss(logits, labels, ...)`, a mean over the batch; only for training: validation reports cross entropy.
        monitor: what makes an epoch the best: validation "accuracy" or "loss"; the first of equals.
        patience: stop after so many epochs without a new best; None goes on.
        device: None means CUDA where there is one, else the CPU.
        seed: of dropout and of a DataLoader without a generator of its own.
        progress: show a bar.
        after_step: called with the model after every step, to keep weights pruned or clipped.
        on_epoch: called with (number of the epoch, history) after each; to stop the run, raise.
        checkpoint: a file that is written after every epoch and from which the same call continues.

    Returns:
        The history.  A loss that is not finite, and an interrupt, end the run early; the best weights are put back.

    Raises:
        ValueError: epochs or patience below 1, another monitor, or no training batch.

    >>> from exercise_code.labs.batches import Batches
    >>> points = torch.tensor([[-2.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    >>> batches = Batches(points, torch.tensor([0, 0, 1, 1]), batch_size=2)
    >>> with seeded(0):
    ...     line = nn.Linear(2, 2)
    >>> history = fit(line, batches, batches, 30, optimizer=lambda w: torch.optim.SGD(w, lr=0.5), progress=False)
    >>> history.epochs, history.best_accuracy, history.stopped
    (30, 1.0, 'epochs')
    """
    if epochs < 1 or (patience is not None and patience < 1):
        raise ValueError(f"epochs and patience must be at least 1, got {epochs!r} and {patience!r}")
    if monitor not in ("accuracy", "loss"):
        raise ValueError(f'monitor must be "accuracy" or "loss", got {monitor!r}')
    target = chosen_device(device)
    model.to(target)
    maker = torch.optim.Adam if optimizer is None else optimizer
    run = _Run(model, maker(model.parameters()), History(), _weights(model))
    if checkpoint is not None and Path(checkpoint).is_file():
        run.restore(Path(checkpoint), target)
    bar = _bar(epochs, run.history.epochs, progress)
    try:
        while run.history.epochs < epochs and not _out_of_patience(run.history, patience):
            epoch = run.history.epochs
            with seeded(mix(seed, epoch)):
                mean_loss = _epoch(run, train, epoch, schedule, loss, after_step)
                if not math.isfinite(mean_loss):
                    run.history.stopped = "diverged"
                    break
                val_loss, val_accuracy = evaluate(model, val)
            run.record(mean_loss, val_loss, val_accuracy, monitor)
            if checkpoint is not None:
                run.save(Path(checkpoint))
            bar.set_postfix({"loss": f"{mean_loss:.4f}", "val": f"{val_accuracy:.2%}"})
            bar.update()
            if on_epoch is not None:
                on_epoch(epoch + 1, run.history)
        if run.history.stopped == "epochs" and run.history.epochs < epochs:
            run.history.stopped = "patience"
    except KeyboardInterrupt:
        run.history.stopped = "interrupted"
    finally:
        bar.close()
        model.load_state_dict(run.best)
        model.eval()
    return run.history


@dataclass
class _Run:
    model: nn.Module
    optimizer: torch.optim.Optimizer
    history: History
    best: dict[str, Any]

    def record(self, train_loss: float, val_loss: float, val_accuracy: float, monitor: Monitor) -> None:
        """Add an epoch; keep its weights if no earlier epoch was as good."""
        history = self.history
        history.train_loss.append(train_loss)
        history.val_loss.append(val_loss)
        history.val_accuracy.append(val_accuracy)
        history.learning_rate.append(float(self.optimizer.param_groups[0]["lr"]))
        scores = [-value for value in history.val_loss] if monitor == "loss" else history.val_accuracy
        if math.isfinite(scores[-1]) and (not history.best_epoch or scores[-1] > scores[history.best_epoch - 1]):
            history.best_epoch = history.epochs
            self.best = _weights(self.model)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "history": asdict(self.history),
        }
        temporary = path.with_name(f".{path.name}.part")
        torch.save(state, temporary)
        temporary.replace(path)

    def restore(self, path: Path, device: torch.device) -> None:
        state = torch.load(path, map_location=device, weights_only=True)  # runs no code from the file
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best = state["best"]
        self.history = History(**state["history"])


def _epoch(
    run: _Run,
    train: Iterable[Any],
    epoch: int,
    schedule: Schedule | None,
    loss: Loss,
    after_step: Callable[[nn.Module], object] | None,
) -> float:
    """Return the mean loss over one pass; stop at the first that is not finite."""
    model, optimizer = run.model, run.optimizer
    if hasattr(train, "set_epoch"):
        train.set_epoch(epoch)
    device = device_of(model)
    per_step = schedule is not None and schedule.per == "step"
    steps_before = epoch * len(train) if per_step else 0  # type: ignore[arg-type]
    total, count = 0.0, 0
    model.train()
    for step, batch in enumerate(train):
        if schedule is not None:
            rate = schedule(epoch if schedule.per == "epoch" else steps_before + step)
            for group in optimizer.param_groups:
                group["lr"] = rate
        images, *rest = (piece.to(device) for piece in batch)
        value = loss(model(images), *rest)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        if after_step is not None:
            with torch.no_grad():
                after_step(model)
        total += value.item() * len(images)
        count += len(images)
        if not math.isfinite(total):
            return math.nan
    if not count:
        raise ValueError("expected at least one training batch, got none: is the loader empty or used up?")
    return total / count


def _weights(model: nn.Module) -> dict[str, Any]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _out_of_patience(history: History, patience: int | None) -> bool:
    return patience is not None and history.epochs - history.best_epoch >= patience


def _bar(epochs: int, done: int, progress: bool) -> Any:
    from tqdm.auto import tqdm

    return tqdm(total=epochs, initial=done, unit="epoch", disable=not progress)
