"""Two checks to run before any long training: is the first loss right, and can the network learn a few samples by heart?

Both work on copies, so the model, its random numbers and the data set's augmentation stay as they were.
"""

import copy
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.diagnostics import expected_initial_loss
from exercise_code.model_probe import draw_samples
from exercise_code.networks.loss import CrossEntropyFromLogits
from exercise_code.networks.optimizer import Adam

# Settings that weaken fitting, switched off in the copy that has to overfit; whatever else acts at random is refused.
OFF = ("reg_strength", "reg", "l1", "l2", "weight_decay", "dropout", "drop", "strength")


@dataclass(frozen=True)
class InitialLoss:
    """Outcome of `check_initial_loss`.

    loss: of the data, without the regularisation term; reg: that term.  expected: what a network without knowledge has.
    logit_std: mean over the samples of the standard deviation of their scores.  samples: how many.

    >>> check = InitialLoss(loss=4.0, reg=0.0, expected=2.0, logit_std=3.0, samples=512, tolerance=0.1)
    >>> check.passed, check.verdict.split(":")[0]
    (False, 'Too high')
    """

    loss: float
    reg: float
    expected: float
    logit_std: float
    samples: int
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the loss lies within the tolerance; necessary for a good start, not sufficient."""
        return abs(self.loss - self.expected) <= self.tolerance * self.expected

    @property
    def verdict(self) -> str:
        """One sentence on what to do."""
        if not math.isfinite(self.loss):
            return "The loss is not finite: look for a logarithm of 0, an overflow or NaN in the inputs."
        if self.passed and self.logit_std < 1e-3:
            return "As expected, but the scores hardly depend on the input: check that gradients reach the first layer."
        if self.passed:
            return "As expected of a network that knows nothing."
        if self.loss > self.expected:
            return "Too high: the network is sure of guesses; scale the inputs or the last layer's weights down."
        return "Too low: the network knows the answers already; is it trained, are labels among the inputs?"

    def __str__(self) -> str:
        return (
            f"initial loss {self.loss:.4f}, expected {self.expected:.4f} (regularisation adds {self.reg:.4f}; "
            f"{self.samples} samples). {self.verdict}"
        )


def check_initial_loss(
    model: Any,
    dataset: Any,
    *,
    loss_func: Any = None,
    expected: float | None = None,
    tolerance: float = 0.1,
    samples: int = 512,
    rng: np.random.Generator | None = None,
) -> InitialLoss:
    """Compare the loss of an untrained network with that of equal probabilities, log(C) for cross entropy.

    Measured in training mode (batch norm then uses the batch).  The regularisation term is reported apart: counted in,
    a large one hides a wrong loss.  A pass does not prove that the network can learn: with weights near 0 the loss is
    log(C) to many digits, at any depth, and the gradients vanish; `InitialLoss.logit_std` and the overfit check tell.

    Args:
        model: a network; it is not changed.
        dataset: a data set or DataLoader with "image" and "label".
        loss_func: a loss as an instance or a class; None means CrossEntropyFromLogits().
        expected: the right value; None means `expected_initial_loss(number of logits)`, right for cross entropy alone.
        tolerance: relative, > 0. a last layer with Xavier or He weights starts a third to two thirds above log(C) and
            spends its first steps on unlearning that; a quieter last layer saves them.
        samples: how many to draw at most.
        rng: source of the draw; None uses seed 0.

    Raises:
        ValueError: a tolerance that is not positive, or another loss without `expected`.

    >>> import numpy as np
    >>> from exercise_code.networks import ClassificationNet
    >>> net = ClassificationNet(input_size=4, hidden_size=3, num_classes=2)
    >>> data = [{"image": np.full(4, i / 8), "label": i % 2} for i in range(8)]
    >>> check = check_initial_loss(net, data)
    >>> check.passed, round(check.loss, 3)
    (True, 0.693)
    """
    loss_func = _instance(loss_func)
    if not tolerance > 0:
        raise ValueError(f"tolerance must be positive, got {tolerance!r}")
    if expected is None and not isinstance(loss_func, CrossEntropyFromLogits):
        raise ValueError(f"expected= is needed for {type(loss_func).__name__}: log(C) is the value of cross entropy")
    x, y = draw_samples(dataset, samples, rng)
    twin = copy.deepcopy(model)
    twin.train()
    out = twin.forward(x)
    right = expected_initial_loss(out.shape[1]) if expected is None else float(expected)
    reg, spread = float(sum(twin.reg.values())), float(np.mean(np.std(out, axis=-1)))
    return InitialLoss(float(loss_func(out, y)), reg, right, spread, len(x), tolerance)


@dataclass(frozen=True)
class OverfitCheck:
    """Outcome of `check_overfit`.

    losses, accuracies: (T + 1,) before the first step and after each one, on the very samples that are trained on.
    samples: how many.  target_loss: a run that gets every sample right and falls to it has passed.
    clashes: samples whose image occurs again with another label; no network can get all of them right.

    >>> losses, accuracies = np.array([0.7, 0.3, 0.01]), np.array([0.5, 1.0, 1.0])
    >>> check = OverfitCheck(losses, accuracies, samples=4, target_loss=0.05, clashes=0)
    >>> check.steps, check.passed
    (2, True)
    """

    losses: NDArray
    accuracies: NDArray
    samples: int
    target_loss: float
    clashes: int

    @property
    def steps(self) -> int:
        """Optimizer steps done."""
        return len(self.losses) - 1

    @property
    def passed(self) -> bool:
        """Whether every sample is right and the loss at most target_loss."""
        return bool(self.accuracies[-1] == 1 and self.losses[-1] <= self.target_loss)

    @property
    def verdict(self) -> str:
        """One sentence on what to do."""
        if self.passed:
            return "It learns them by heart: data, loss, gradients and optimizer work together."
        if not math.isfinite(self.losses[-1]):
            return "The run diverged: lower the learning rate."
        if self.clashes:
            return "Some samples have the same image and different labels: look at the data."
        if self.losses.max() > 2 * self.losses[0]:
            return "The loss jumped up before it came down: lower the learning rate."
        if self.losses[-1] > 0.9 * self.losses[0]:
            return "The loss hardly moved: check gradients, the initial weights and the learning rate."
        if self.losses[-1] > 2 * self.losses.min():
            return "The loss came down and rose again: lower the learning rate."
        return "The loss falls but not far enough: allow more steps or a larger learning rate, then a larger network."

    def __str__(self) -> str:
        return (
            f"{self.samples} samples, {self.steps} steps: loss {self.losses[0]:.3f} -> {self.losses[-1]:.3g}, training "
            f"accuracy {100 * self.accuracies[-1]:.0f} %. {self.verdict}"
        )


def check_overfit(
    model: Any,
    dataset: Any,
    *,
    samples: int = 20,
    steps: int = 500,
    learning_rate: float = 1e-3,
    optimizer: Any = Adam,
    loss_func: Any = None,
    target_loss: float = 0.05,
    rng: np.random.Generator | None = None,
) -> OverfitCheck:
    """Train a copy of the network on a few samples until it knows them by heart (lectures 001 and 004).

    The accuracy that counts is that on the training samples; the validation accuracy says nothing here.  Regularisation
    and dropout are switched off in the copy and augmentation is frozen (each sample is drawn once), since all three are
    there to prevent what is asked for.  Every step uses all samples.

    Args:
        model: a network as you would train it; it is not changed.
        dataset: a data set or DataLoader with "image" and "label".
        samples: how many to learn; start with 1, then some.
        steps: at most so many.
        learning_rate, optimizer: as for the Solver.
        loss_func: a loss of class scores as an instance or a class; None means CrossEntropyFromLogits().
        target_loss: mean loss below which all is known, > 0.
        rng: source of the choice of samples; None uses seed 0.

    Raises:
        ValueError: a setting below 1 or not positive, or a model in which regularisation or randomness remains.

    >>> import numpy as np
    >>> from exercise_code.networks import ClassificationNet
    >>> data = [{"image": np.eye(4)[i], "label": i} for i in range(4)]
    >>> check_overfit(ClassificationNet(num_layer=1, input_size=4, num_classes=4), data, learning_rate=0.1).passed
    True
    """
    if samples < 1 or steps < 1 or not target_loss > 0:
        raise ValueError(f"samples, steps and target_loss must be positive, got {samples}, {steps} and {target_loss}")
    loss_func = _instance(loss_func)
    x, y = draw_samples(dataset, samples, rng)
    twin = plain_copy(model)
    _refuse_hindrances(twin, x)
    opt = optimizer(twin, loss_func, learning_rate)
    losses: list[float] = []
    accuracies: list[float] = []
    with np.errstate(over="ignore", invalid="ignore"):  # divergence is part of the outcome
        while True:
            out = twin.forward(x)
            losses.append(float(loss_func(out, y)))
            accuracies.append(float(np.mean(out.argmax(axis=1) == y)))
            known = accuracies[-1] == 1 and losses[-1] <= target_loss
            if known or len(losses) > steps or not math.isfinite(losses[-1]):
                break
            opt.backward(out, y)
            opt.step()
    return OverfitCheck(np.array(losses), np.array(accuracies), len(x), target_loss, _clashes(x, y))


def plain_copy(model: Any) -> Any:
    """Return a copy of a network in training mode, with regularisation and dropout switched off.

    Every number called one of OFF is set to 0, in the model and in the objects it holds, and so is `p`, `rate` or `prob`
    of an object whose class has Dropout in its name.

    >>> from exercise_code.networks import ClassificationNet
    >>> plain_copy(ClassificationNet(input_size=4, reg=0.5)).reg_strength
    0.0
    """
    twin = copy.deepcopy(model)
    seen: set[int] = set()
    waiting = [twin]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, type | np.ndarray):
            continue
        seen.add(id(thing))
        if isinstance(thing, dict):
            waiting += thing.values()
        elif isinstance(thing, list | tuple):
            waiting += thing
        elif hasattr(thing, "__dict__"):
            names = (*OFF, "p", "rate", "prob") if "dropout" in type(thing).__name__.lower() else OFF
            for name in names:
                if isinstance(vars(thing).get(name), int | float):
                    setattr(thing, name, 0.0)
            waiting += vars(thing).values()
    twin.train()
    return twin


def _refuse_hindrances(twin: Any, x: NDArray) -> None:
    first = np.array(twin.forward(x))
    if not np.array_equal(first, twin.forward(x), equal_nan=True):
        raise ValueError(
            "two forward passes differ: something (dropout?) still acts at random; build the model without"
        )
    if sum(twin.reg.values()):
        raise ValueError("the model still adds a regularisation term: build it without")


def _clashes(x: NDArray, y: NDArray) -> int:
    labels: dict[bytes, set[Any]] = {}
    keys = [np.ascontiguousarray(image).tobytes() for image in x]
    for key, label in zip(keys, np.asarray(y).tolist(), strict=True):
        labels.setdefault(key, set()).add(label)
    return sum(len(labels[key]) > 1 for key in keys)


def _instance(loss_func: Any) -> Any:
    loss_func = CrossEntropyFromLogits() if loss_func is None else loss_func
    return loss_func() if isinstance(loss_func, type) else loss_func
