"""Train a `BeanNet` from a configuration, as an objective of the search package and with cross-validation (exercise 08)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from exercise_code.cross_validation import kfold_indices
from exercise_code.labs.augmentation import augmentation
from exercise_code.labs.bean_net import BeanNet
from exercise_code.labs.images import LabelledImages
from exercise_code.labs.training import History, fit
from exercise_code.schedules import OneCycle

DEFAULTS: dict[str, Any] = {
    "learning_rate": 3e-3,
    "weight_decay": 5e-2,
    "width": 16,
    "dropout": 0.2,
    "batch_size": 32,
    "augmentation": "mirrored",
    "blocks": 4,
    "batch_norm": True,
}


def train_bean_net(
    config: Mapping[str, Any],
    train: LabelledImages,
    val: LabelledImages,
    epochs: int,
    *,
    seed: int = 0,
    progress: bool = False,
) -> tuple[BeanNet, History]:
    """Train with AdamW and one cycle of the learning rate; the model has the weights of the epoch with the lowest val loss.

    Args:
        config: any of the names in DEFAULTS; what is missing has its value from there.  learning_rate is the highest one.
        train, val: leaves of one size.
        epochs: of the whole cycle.
        seed: of first weights, order, augmentation and dropout.
        progress: show a bar.

    Raises:
        ValueError: an unknown name in config.

    >>> leaves = LabelledImages(torch.zeros(12, 3, 32, 32), torch.arange(12) % 3)
    >>> model, history = train_bean_net({"width": 2, "blocks": 1}, *split_leaves(leaves), epochs=1)
    >>> history.epochs, model(leaves.images).shape
    (1, torch.Size([12, 3]))
    """
    unknown = sorted(set(config) - set(DEFAULTS))
    if unknown:
        raise ValueError(f"expected names out of {', '.join(DEFAULTS)}, got {', '.join(unknown)}")
    chosen = DEFAULTS | dict(config)
    model = BeanNet(
        chosen["width"],
        blocks=chosen["blocks"],
        dropout=chosen["dropout"],
        batch_norm=chosen["batch_norm"],
        seed=seed,
    )
    batches = train.batches(
        min(chosen["batch_size"], len(train)),
        shuffle=True,
        seed=seed,
        augment=augmentation(chosen["augmentation"]),
        drop_last=True,  # a last batch of one leaf would have no variance
    )
    rate, decay = chosen["learning_rate"], chosen["weight_decay"]
    history = fit(
        model,
        batches,
        val.batches(100),
        epochs,
        optimizer=lambda weights: torch.optim.AdamW(weights, lr=rate, weight_decay=decay),
        schedule=OneCycle(rate, max(2, epochs * len(batches))),
        monitor="loss",
        seed=seed,
        progress=progress,
    )
    return model, history


@dataclass(frozen=True)
class BeanObjective:
    """Objective for `tune`: the loss, after the last epoch, on leaves that every trial holds back alike.

    Of the last epoch, not of the best: a best of many epochs is luck in part, and more so for a shaky configuration.

    Attributes:
        train, held_back: leaves of one size.
        seed: the same for all trials, so that they differ in their configuration only.

    >>> from types import SimpleNamespace
    >>> leaves = LabelledImages(torch.zeros(12, 3, 32, 32), torch.arange(12) % 3)
    >>> objective = BeanObjective(*split_leaves(leaves))
    >>> sorted(objective({"width": 2, "blocks": 1}, SimpleNamespace(epochs=1)))
    ['accuracy', 'value']
    """

    train: LabelledImages
    held_back: LabelledImages
    seed: int = 0

    def __call__(self, config: Mapping[str, Any], context: Any) -> dict[str, float]:
        _, history = train_bean_net(config, self.train, self.held_back, context.epochs, seed=self.seed)
        if history.stopped == "diverged":
            return {"value": float("nan")}
        return {"value": history.val_loss[-1], "accuracy": history.val_accuracy[-1]}


def split_leaves(leaves: LabelledImages, folds: int = 3) -> tuple[LabelledImages, LabelledImages]:
    """Return (the rest, one fold) of stratified folds: something to hold back from training.

    >>> rest, held_back = split_leaves(LabelledImages(torch.zeros(12, 3, 4, 4), torch.arange(12) % 3))
    >>> len(rest), len(held_back)
    (8, 4)
    """
    rest, held_back = kfold_indices(len(leaves), folds, labels=leaves.labels.numpy())[0]
    return leaves.where(torch.from_numpy(rest)), leaves.where(torch.from_numpy(held_back))


def cross_validated(
    config: Mapping[str, Any], leaves: LabelledImages, epochs: int, *, folds: int = 5, repeats: int = 1, seed: int = 100
) -> list[float]:
    """Accuracy after the last epoch on each fold, `folds * repeats` numbers; pairs for `significance.compare`.

    The same seed gives the same folds and first weights for every configuration.  Another cut into folds for each repeat.

    >>> leaves = LabelledImages(torch.zeros(12, 3, 32, 32), torch.arange(12) % 3)  # all alike: one in three is right
    >>> accuracies = cross_validated({"width": 2, "blocks": 1}, leaves, epochs=1, folds=2)
    >>> [round(accuracy, 3) for accuracy in accuracies]
    [0.333, 0.333]
    """
    found = []
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        for number, parts in enumerate(kfold_indices(len(leaves), folds, labels=leaves.labels.numpy(), rng=rng)):
            train, val = (leaves.where(torch.from_numpy(rows)) for rows in parts)
            _, history = train_bean_net(config, train, val, epochs, seed=seed + 10 * repeat + number)
            found.append(history.val_accuracy[-1] if history.val_accuracy else 0.0)
    return found
