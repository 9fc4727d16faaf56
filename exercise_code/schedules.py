"""Learning rates that change during training, as pure functions of the number of steps or epochs done so far.

`schedule(step) -> lr` is all there is to the protocol: step 0 is the first step (or epoch), `schedule.per` says which of
the two is counted (every schedule here takes `per="step"` or `per="epoch"`), and nothing is remembered between calls,
so a resumed run needs only the number it stopped at.
"""

import math
from dataclasses import dataclass, field
from typing import Literal, Protocol

from exercise_code import schedule_curves

Per = Literal["step", "epoch"]


class Schedule(Protocol):
    """What the Solver needs: call it with the number of steps (or epochs, see `per`) done so far, get the learning rate.

    Any class with these two members is a schedule; the ones of this module are frozen dataclasses.

    >>> class Warmup:
    ...     per = "step"
    ...     def __call__(self, step): return 0.1 * min(1, (step + 1) / 100)
    >>> Warmup()(0)
    0.001
    """

    @property
    def per(self) -> Per:
        """What `step` counts: "epoch" or "step"."""
        ...

    def __call__(self, step: int, /) -> float: ...


@dataclass(frozen=True)
class _Schedule:
    per: Per = field(default="epoch", kw_only=True)

    def __post_init__(self) -> None:
        for name, (fine, expected) in self._rules().items():
            value = getattr(self, name)
            if not fine or (isinstance(value, float) and not math.isfinite(value)):
                raise ValueError(f"{name} must be {expected}, got {value!r}")

    def __call__(self, step: float, /) -> float:
        """Learning rate (>= 0) after `step` steps or epochs, a number >= 0; ValueError for a negative one."""
        if not (math.isfinite(step) and step >= 0):
            raise ValueError(f"expected the number of steps or epochs done, a number >= 0, got {step!r}")
        return float(self._at(step))

    def _rules(self) -> dict[str, tuple[bool, str]]:
        """For each setting, whether it is fine and what it must be."""
        return {"per": (self.per in ("step", "epoch"), '"step" or "epoch"')}

    def _at(self, step: float) -> float:
        raise NotImplementedError


@dataclass(frozen=True)
class StepDecay(_Schedule):
    """Multiply by gamma after every step_size epochs: `learning_rate * gamma ** (epoch // step_size)` (lecture 002).

    Equal to torch's StepLR.  The slide's condition, decay when epoch % step_size = 0, is true for epoch 0 as well and
    would start training at gamma * learning_rate; the first decay belongs at epoch step_size.

    Args:
        learning_rate: of the first epoch, > 0.
        step_size: epochs between two decays, >= 1.
        gamma: factor, in (0, 1].

    Raises:
        ValueError: a setting out of its range.

    >>> schedule = StepDecay(learning_rate=1.0, step_size=2, gamma=0.5)
    >>> [schedule(epoch) for epoch in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    learning_rate: float
    step_size: int
    gamma: float = 0.1

    def _rules(self) -> dict[str, tuple[bool, str]]:
        return super()._rules() | {
            "learning_rate": (self.learning_rate > 0, "> 0"),
            "step_size": (self.step_size >= 1, "at least 1"),
            "gamma": (0 < self.gamma <= 1, "in (0, 1]"),
        }

    def _at(self, step: float) -> float:
        return self.learning_rate * self.gamma ** (step // self.step_size)


@dataclass(frozen=True)
class Exponential(_Schedule):
    """Multiply by gamma after every epoch: `learning_rate * gamma ** epoch` (lecture 002; torch's ExponentialLR).

    Args:
        learning_rate: of the first epoch, > 0.
        gamma: factor, in (0, 1].

    Raises:
        ValueError: a setting out of its range.

    >>> Exponential(0.1, gamma=0.9)(1)
    0.09000000000000001
    """

    learning_rate: float
    gamma: float

    def _rules(self) -> dict[str, tuple[bool, str]]:
        return super()._rules() | {
            "learning_rate": (self.learning_rate > 0, "> 0"),
            "gamma": (0 < self.gamma <= 1, "in (0, 1]"),
        }

    def _at(self, step: float) -> float:
        return self.learning_rate * self.gamma**step


@dataclass(frozen=True)
class Cosine(_Schedule):
    """Half a cosine wave from learning_rate down to lr_min within num_steps, and lr_min from then on.

    `lr_min + (learning_rate - lr_min) * (1 + cos(pi * step / num_steps)) / 2` (Loshchilov and Hutter 2017).  torch's
    CosineAnnealingLR is equal up to num_steps and climbs back afterwards.

    Args:
        learning_rate: of the first epoch, > 0.
        num_steps: epochs until lr_min is reached, >= 1.
        lr_min: in [0, learning_rate].

    Raises:
        ValueError: a setting out of its range.

    >>> schedule = Cosine(learning_rate=0.1, num_steps=10)
    >>> [round(schedule(epoch), 6) for epoch in (0, 5, 10, 20)]
    [0.1, 0.05, 0.0, 0.0]
    """

    learning_rate: float
    num_steps: int
    lr_min: float = 0.0

    def _rules(self) -> dict[str, tuple[bool, str]]:
        return super()._rules() | {
            "learning_rate": (self.learning_rate > 0, "> 0"),
            "num_steps": (self.num_steps >= 1, "at least 1"),
            "lr_min": (0 <= self.lr_min <= self.learning_rate, "in [0, learning_rate]"),
        }

    def _at(self, step: float) -> float:
        return schedule_curves.half_cosine(self.learning_rate, self.lr_min, min(step / self.num_steps, 1))


@dataclass(frozen=True)
class Cyclic(_Schedule):
    """Triangles between lr_min and lr_max (Smith 2017; lectures 001 and 002): up in step_size steps, down in as many.

    `lr_min + (lr_max - lr_min) * height * scale`, with height the triangle's value from 0 to 1.  Equal to torch's
    CyclicLR for every mode: "triangular" has scale 1, "triangular2" halves the height after every triangle
    (scale 0.5 ** cycle with cycle = 0, 1, ...), "exp_range" has scale gamma ** step.

    Args:
        lr_min: at step 0 and between the triangles, >= 0.
        lr_max: at the tips, > lr_min.
        step_size: steps from lr_min to lr_max, >= 1; the paper advises 2 to 10 epochs' worth of steps.
        mode: "triangular", "triangular2" or "exp_range".
        gamma: in (0, 1], for "exp_range".

    Raises:
        ValueError: a setting out of its range or an unknown mode.

    >>> schedule = Cyclic(lr_min=0.0, lr_max=1.0, step_size=2)
    >>> [schedule(step) for step in range(6)]
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.5]
    """

    lr_min: float
    lr_max: float
    step_size: int = 2000
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular"
    gamma: float = 1.0
    per: Per = field(default="step", kw_only=True)

    def _rules(self) -> dict[str, tuple[bool, str]]:
        return super()._rules() | {
            "lr_min": (self.lr_min >= 0, ">= 0"),
            "lr_max": (self.lr_max > self.lr_min, "> lr_min"),
            "step_size": (self.step_size >= 1, "at least 1"),
            "mode": (self.mode in ("triangular", "triangular2", "exp_range"), "triangular, triangular2 or exp_range"),
            "gamma": (0 < self.gamma <= 1, "in (0, 1]"),
        }

    def _at(self, step: float) -> float:
        cycle, position = divmod(step / self.step_size, 2)
        height = 1 - abs(position - 1)
        scale = {"triangular": 1.0, "triangular2": 0.5**cycle, "exp_range": self.gamma**step}[self.mode]
        return self.lr_min + (self.lr_max - self.lr_min) * height * scale


@dataclass(frozen=True)
class OneCycle(_Schedule):
    """One cycle: warm up to lr_max, then come down far below the start (Smith and Topin 2018; lecture 002).

    From `lr_max / div_factor` up to lr_max during the first share pct_start of the run, then down to
    `lr_max / div_factor / final_div_factor`, both along half a cosine wave ("cos") or a line ("linear").  Equal to
    torch's OneCycleLR with the same settings (two phases; its cycling of momentum is left out), including that the last
    step, num_steps - 1, and not num_steps, has the final value.  Beyond the run the final value stays; torch raises.

    Args:
        lr_max: the highest learning rate, > 0; a learning-rate range test finds it.
        num_steps: length of the run, `epochs * len(train_loader)`, >= 2.
        pct_start: share of the run that rises, in (0, 1).
        anneal: "cos" or "linear".
        div_factor: lr_max / first learning rate, >= 1.
        final_div_factor: first / last learning rate, >= 1.

    Raises:
        ValueError: a setting out of its range.

    >>> schedule = OneCycle(lr_max=1.0, num_steps=100)
    >>> [round(schedule(step), 6) for step in (0, 29, 99)]
    [0.04, 1.0, 4e-06]
    """

    lr_max: float
    num_steps: int
    pct_start: float = 0.3
    anneal: Literal["cos", "linear"] = "cos"
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    per: Per = field(default="step", kw_only=True)

    def _rules(self) -> dict[str, tuple[bool, str]]:
        return super()._rules() | {
            "lr_max": (self.lr_max > 0, "> 0"),
            "num_steps": (self.num_steps >= 2, "at least 2"),
            "pct_start": (0 < self.pct_start < 1, "in (0, 1)"),
            "anneal": (self.anneal in ("cos", "linear"), "cos or linear"),
            "div_factor": (self.div_factor >= 1, "at least 1"),
            "final_div_factor": (self.final_div_factor >= 1, "at least 1"),
        }

    def _at(self, step: float) -> float:
        between = schedule_curves.half_cosine if self.anneal == "cos" else schedule_curves.straight_line
        factors = self.div_factor, self.final_div_factor
        return schedule_curves.one_cycle(step, self.num_steps, self.lr_max, between, self.pct_start, *factors)


@dataclass(frozen=True)
class WarmRestarts(_Schedule):
    """SGDR: cosine waves that start over, each `factor` times as long as the one before (Loshchilov and Hutter 2017).

    Within a cycle of length T, at its step t: `lr_min + (learning_rate - lr_min) * (1 + cos(pi * t / T)) / 2`; equal to
    torch's CosineAnnealingWarmRestarts.  The end of a cycle is a good moment for a snapshot (lecture 001's ensembles).

    Args:
        learning_rate: at the start of every cycle, > 0.
        first_cycle: length of the first one, >= 1.
        factor: whole number >= 1; 1 makes all cycles equal.
        lr_min: in [0, learning_rate].

    Raises:
        ValueError: a setting out of its range.

    >>> schedule = WarmRestarts(learning_rate=1.0, first_cycle=2, factor=2)
    >>> [round(schedule(epoch), 3) for epoch in range(7)]
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0]
    """

    learning_rate: float
    first_cycle: int
    factor: int = 1
    lr_min: float = 0.0

    def _rules(self) -> dict[str, tuple[bool, str]]:
        return super()._rules() | {
            "learning_rate": (self.learning_rate > 0, "> 0"),
            "first_cycle": (self.first_cycle >= 1, "at least 1"),
            "factor": (self.factor >= 1 and self.factor == int(self.factor), "a whole number >= 1"),
            "lr_min": (0 <= self.lr_min <= self.learning_rate, "in [0, learning_rate]"),
        }

    def _at(self, step: float) -> float:
        length: float = self.first_cycle
        if self.factor == 1:
            step %= length
        while step >= length:
            step -= length
            length *= self.factor
        return schedule_curves.half_cosine(self.learning_rate, self.lr_min, step / length)
