"""What is measured while a network trains with and without batch norm (exercise 08): accuracy, gradients, shift."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain, islice, repeat
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from exercise_code.labs.evaluation import accuracy
from exercise_code.labs.seeding import seeded


@dataclass
class Run:
    """What `watch` saw.

    Attributes:
        steps: (T,) numbers of the steps after which was measured.
        val_accuracy: (T,) fraction correct on the validation batches.
        gradients: (T, L) mean absolute gradient of the weights of each linear layer, input side first.
        means: (T, D) mean over the training batch of every input of the last linear layer: its drift from step to step is
            the covariate shift which that layer sees.
    """

    steps: list[int] = field(default_factory=list)
    val_accuracy: list[float] = field(default_factory=list)
    gradients: list[list[float]] = field(default_factory=list)
    means: list[list[float]] = field(default_factory=list)

    def steps_to(self, level: float) -> int | None:
        """Return the first measured step with at least this validation accuracy; None when it was never reached.

        >>> Run([10, 20, 30], [0.1, 0.8, 0.9]).steps_to(0.8)
        20
        """
        return next((step for step, got in zip(self.steps, self.val_accuracy, strict=True) if got >= level), None)

    @property
    def shift(self) -> float:
        """Mean distance between the input means of the last layer at neighbouring measurements, per input; nan for one.

        >>> round(Run(means=[[0.0, 0.0], [3.0, 1.0], [3.0, 1.0]]).shift, 6)
        1.0
        """
        table = torch.tensor(self.means)
        return float(table.diff(dim=0).abs().mean())

    @property
    def gradient_ratio(self) -> float:
        """Gradient of the first layer divided by that of the last one, in the mean over the measurements.

        >>> Run(gradients=[[1.0, 4.0], [1.0, 2.0]]).gradient_ratio
        0.375
        """
        table = torch.tensor(self.gradients)
        return float((table[:, 0] / table[:, -1]).mean())


def watch(
    model: nn.Module,
    train: Iterable[Any],
    val: Iterable[Any],
    *,
    steps: int,
    learning_rate: float,
    every: int = 50,
    seed: int = 0,
) -> Run:
    """Train with plain SGD for so many steps, in place, and measure along the way.

    Args:
        model: gives logits; has linear layers.
        train: batches, begun again when used up.
        val: batches for the accuracy.
        steps: of the optimizer.
        learning_rate: > 0, constant.
        every: steps from one measurement to the next.
        seed: of random layers.

    Raises:
        ValueError: steps or every below 1.

    >>> from exercise_code.labs.batches import Batches
    >>> points, labels = torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1])
    >>> batches = Batches(points, labels, batch_size=2)
    >>> with seeded(0):
    ...     line = nn.Linear(2, 2)
    >>> watch(line, batches, batches, steps=20, learning_rate=0.5, every=10).val_accuracy
    [1.0, 1.0]
    """
    if steps < 1 or every < 1:
        raise ValueError(f"steps and every must be at least 1, got {steps} and {every}")
    linears = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    inputs: list[Tensor] = []
    handle = linears[-1].register_forward_pre_hook(lambda _, given: inputs.append(given[0].detach()))
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    run = Run()
    try:
        with seeded(seed):
            for step, (images, labels, *_) in enumerate(islice(chain.from_iterable(repeat(train)), steps), start=1):
                model.train()
                inputs.clear()
                loss = functional.cross_entropy(model(images), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if step % every == 0 or step == steps:
                    run.steps.append(step)
                    run.gradients.append([_mean_size(layer.weight.grad) for layer in linears])
                    run.means.append(inputs[0].mean(dim=0).tolist())
                    run.val_accuracy.append(accuracy(model, val))
    finally:
        handle.remove()
    model.eval()
    return run


def _mean_size(gradient: Tensor | None) -> float:
    return 0.0 if gradient is None else float(gradient.abs().mean())


def gap_between_modes(model: nn.Module, images: Tensor, batch_size: int) -> float:
    """Share of images whose prediction in training mode, in batches of this size, differs from that in evaluation mode.

    The model is left as it was, its running statistics, too.

    >>> gap_between_modes(nn.Flatten(), torch.eye(4), 2)
    0.0
    """
    state = {name: value.clone() for name, value in model.state_dict().items()}
    modes = {layer: layer.training for layer in model.modules()}
    try:
        with torch.no_grad():
            model.eval()
            settled = model(images).argmax(dim=1)
            model.train()
            noisy = torch.cat([model(piece) for piece in images.split(batch_size)]).argmax(dim=1)
    finally:
        model.load_state_dict(state)
        for layer, training in modes.items():
            layer.training = training
    return float((settled != noisy).double().mean())
