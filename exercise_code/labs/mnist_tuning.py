"""Hyper-parameter search on MNIST (exercise 06): settings in, trained network out.

A configuration is a dict with the keys of `DEFAULTS`.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from exercise_code.labs.augmentation import shifted
from exercise_code.labs.batches import Augment
from exercise_code.labs.mnist import Mnist
from exercise_code.labs.networks import MLP
from exercise_code.labs.training import History, fit
from exercise_code.schedules import Cosine, OneCycle, Schedule

DEFAULTS: dict[str, Any] = {
    "optimizer": "adam",
    "lr": 1e-3,
    "batch_size": 128,
    "width": 100,
    "depth": 1,
    "dropout": 0.0,
    "weight_decay": 0.0,
    "schedule": "constant",
    "shift": 0,
}


def train_config(
    config: Mapping[str, Any],
    data: Mnist,
    epochs: int,
    *,
    seed: int = 0,
    progress: bool = False,
    on_epoch: Callable[[int, History], object] | None = None,
) -> tuple[nn.Module, History]:
    """Train the network that a configuration describes on data.train, and judge it by data.val and nothing else.

    Every setting counts: an `MLP` with `depth` hidden layers of `width` units and `dropout`; images of
    data.train in shuffled batches of `batch_size`, changed by `augmentation(shift)`; the optimizer of
    `optimizer_maker(optimizer, lr, weight_decay)`; the learning rate of
    `schedule_for(schedule, lr, all steps of the training)`.

    Args:
        config: the keys of DEFAULTS; width may come as a float (128.0), as `hp.quniform` gives it.
        data: has train and val, `LabelledImages` with `batches(...)`.
        epochs: passes over data.train.
        seed: of the first weights, of the order of the images, and of dropout.
        progress, on_epoch: handed on to `fit`.

    Returns:
        (model with the weights of its best epoch on data.val, history)

    >>> from types import SimpleNamespace
    >>> from exercise_code.labs.images import LabelledImages
    >>> digits = LabelledImages(torch.eye(10, 784).reshape(10, 1, 28, 28), torch.arange(10))  # one white pixel each
    >>> data = SimpleNamespace(train=digits, val=digits)
    >>> model, history = train_config(DEFAULTS | {"lr": 0.1, "width": 16.0}, data, epochs=10)
    >>> history.epochs, history.best_accuracy
    (10, 1.0)
    """
    ### BEGIN SOLUTION 06_hyperopt
    model = MLP([int(config["width"])] * config["depth"], dropout=config["dropout"], seed=seed)
    train = data.train.batches(config["batch_size"], shuffle=True, seed=seed, augment=augmentation(config["shift"]))
    history = fit(
        model,
        train,
        data.val.batches(1000),
        epochs,
        optimizer=optimizer_maker(config["optimizer"], config["lr"], config["weight_decay"]),
        schedule=schedule_for(config["schedule"], config["lr"], epochs * len(train)),
        seed=seed,
        progress=progress,
        on_epoch=on_epoch,
    )
    return model, history
    ### END SOLUTION


def optimizer_maker(
    name: str, lr: float, weight_decay: float = 0.0
) -> Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]:
    """Return what makes the optimizer out of the weights: "adam" (AdamW) or "sgd" (momentum 0.9, Nesterov).

    Both shrink every weight by `lr * weight_decay` of its size in each step.  (Inside plain Adam the decay would be divided
    by the size of the gradient and shrink hardly anything: Loshchilov and Hutter 2019.)

    Raises:
        ValueError: another name.

    >>> make = optimizer_maker("sgd", 0.1)
    >>> type(make([nn.Parameter(torch.zeros(2))])).__name__
    'SGD'
    """
    if name == "adam":
        return partial(torch.optim.AdamW, lr=lr, weight_decay=weight_decay)
    if name == "sgd":
        return partial(torch.optim.SGD, lr=lr, weight_decay=weight_decay, momentum=0.9, nesterov=True)
    raise ValueError(f'expected the optimizer "adam" or "sgd", got {name!r}')


def schedule_for(name: str, lr: float, steps: int) -> Schedule | None:
    """Return the schedule over so many steps whose largest learning rate is lr; None for "constant".

    Raises:
        ValueError: another name than "constant", "cosine" or "one_cycle".

    >>> schedule_for("constant", 0.1, 100), schedule_for("cosine", 0.1, 100)(0)
    (None, 0.1)
    """
    if name == "constant":
        return None
    if name == "cosine":
        return Cosine(lr, steps, per="step")
    if name == "one_cycle":
        return OneCycle(lr, steps)
    raise ValueError(f'expected the schedule "constant", "cosine" or "one_cycle", got {name!r}')


def augmentation(shift: int) -> Augment | None:
    """Return an `augment` that moves every image by up to `shift` pixels, in each direction; None for 0.

    >>> augmentation(0), augmentation(2)(torch.zeros(3, 1, 28, 28), torch.Generator()).shape
    (None, torch.Size([3, 1, 28, 28]))
    """
    return partial(shifted, most=int(shift)) if shift else None
