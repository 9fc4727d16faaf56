"""How exercise 03 judges update rules: cases with one special step each, against sums of plain numbers, entry by entry."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from exercise_code.checks.verifiers import Case, Verify, function

SHAPE = (2, 3)
Rule = Callable[..., tuple[float, ...]]


def _entry_by_entry(rule: Rule) -> Callable[..., tuple[np.ndarray, ...]]:
    """Turn a rule for numbers (w, dw, *memory, **settings) into one for arrays."""

    def oracle(*args, **settings):
        arrays = [a for a in args if isinstance(a, np.ndarray)]
        numbers = [a for a in args if not isinstance(a, np.ndarray)]
        entries = [
            rule(*map(float, entry), *numbers, **settings) for entry in zip(*(a.flat for a in arrays), strict=True)
        ]
        return tuple(np.array(part).reshape(arrays[0].shape) for part in zip(*entries, strict=True))

    return oracle


def _update(rule: Rule, names: Sequence[str], cases: Callable[[np.random.Generator], list[Case]]) -> Verify:
    return function(cases, _entry_by_entry(rule), "", returns=names)


def _draw(rng: np.random.Generator, count: int) -> list[np.ndarray]:
    """Draw arrays whose entries stay away from 0, where a misplaced eps would show in the wrong case."""
    return [rng.choice([-1, 1], SHAPE) * rng.uniform(0.5, 2, SHAPE) for _ in range(count)]


def _sizes(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0.5, 4, SHAPE)  # averages of squares are positive


# ---- momentum and Nesterov -----------------------------------------------------------------------------------------


def _momentum(w: float, dw: float, v: float, lr: float, momentum: float = 0.9) -> tuple[float, float]:
    return w - lr * dw + momentum * v, -(lr * dw - momentum * v)


def _momentum_cases(rng: np.random.Generator) -> list[Case]:
    w, dw, v = _draw(rng, 3)
    zero = np.zeros(SHAPE)
    return [
        Case(
            "first step (v = 0, lr = 0.1)", (w, dw, zero), {"lr": 0.1},
            "With v = 0 this is plain gradient descent, and v is what w moved by.",
        ),
        Case(
            "no gradient (dw = 0, momentum = 0.5)", (w, zero, v), {"lr": 0.1, "momentum": 0.5},
            "Without a gradient the velocity shrinks by the factor momentum, and that new velocity still moves w.",
        ),
        Case(
            "gradient and velocity (lr = 0.3, momentum = 0.7)", (w, dw, v), {"lr": 0.3, "momentum": 0.7},
            "Only the gradient is scaled by lr, only the old velocity by momentum.",
        ),
        Case("momentum left out", (w, dw, v), {"lr": 0.2}, "The default is 0.9."),
    ]  # fmt: skip


def _nesterov(w: float, dw: float, v: float, lr: float, momentum: float = 0.9) -> tuple[float, float]:
    behind = w - momentum * v
    speed = -lr * dw + v * momentum
    behind += speed
    return behind + momentum * speed, speed


def _nesterov_cases(rng: np.random.Generator) -> list[Case]:
    w, dw, v = _draw(rng, 3)
    zero = np.zeros(SHAPE)
    return [
        Case(
            "first step (v = 0, momentum = 0.5)", (w, dw, zero), {"lr": 0.1, "momentum": 0.5},
            "With v = 0: W = w, one plain step to the new W, and from there momentum times the new v ahead.",
        ),
        Case(
            "no gradient (dw = 0, momentum = 0.5)", (w, zero, v), {"lr": 0.1, "momentum": 0.5},
            "Where is W before this step, behind w, and which v says so? And how far ahead of the new W is the new w?",
        ),
        Case(
            "gradient and velocity (lr = 0.3, momentum = 0.7)", (w, dw, v), {"lr": 0.3, "momentum": 0.7},
            "Put W = w - momentum * v into W <- W + v on both sides, each with its own v, and mind the signs.",
        ),
        Case("momentum left out", (w, dw, v), {"lr": 0.2}, "The default is 0.9."),
    ]  # fmt: skip


# ---- AdaGrad, RMSProp, AdaDelta, Adam ------------------------------------------------------------------------------


def _adagrad(w: float, dw: float, g: float, lr: float, eps: float = 1e-10) -> tuple[float, float]:
    root = math.hypot(math.sqrt(g), dw)
    return w - lr * (dw / (eps + root)), root**2


def _adagrad_cases(rng: np.random.Generator) -> list[Case]:
    w, dw = _draw(rng, 2)
    zero = np.zeros(SHAPE)
    return [
        Case(
            "first step (g = 0, lr = 0.1)", (w, dw, zero), {"lr": 0.1},
            "First add the square, then divide by its root: the first step has the size lr, against the gradient.",
        ),
        Case(
            "g from earlier steps", (w, dw, _sizes(rng)), {"lr": 0.5},
            "g is a sum over all steps, entry by entry; divide by the root of the new one.",
        ),
        Case("eps = 0.5", (w, dw, _sizes(rng)), {"lr": 0.5, "eps": 0.5}, "eps stands outside the root."),
        Case("no gradient yet (dw = 0, g = 0)", (w, zero, zero), {"lr": 0.5}, "eps keeps 0 / 0 out: w stays."),
    ]  # fmt: skip


def _rmsprop(w: float, dw: float, g: float, lr: float, beta: float = 0.99, eps: float = 1e-8) -> tuple[float, float]:
    average = dw**2 + beta * (g - dw**2)
    return w - lr * (dw / (eps + math.sqrt(average))), average


def _rmsprop_cases(rng: np.random.Generator) -> list[Case]:
    w, dw = _draw(rng, 2)
    zero = np.zeros(SHAPE)
    return [
        Case(
            "first step (g = 0, beta = 0.75)", (w, dw, zero), {"lr": 0.1, "beta": 0.75},
            "The first average is (1 - beta) times the square, so the step is lr / sqrt(1 - beta), against the gradient.",
        ),
        Case(
            "g from earlier steps (beta = 0.9)", (w, dw, _sizes(rng)), {"lr": 0.5, "beta": 0.9},
            "beta is the share of the old average, 1 - beta that of the new square; divide by the root of the new one.",
        ),
        Case(
            "eps = 0.5", (w, dw, _sizes(rng)), {"lr": 0.5, "beta": 0.8, "eps": 0.5}, "eps stands outside the root."
        ),
        Case("beta left out", (w, dw, _sizes(rng)), {"lr": 0.5}, "The default is 0.99."),
        Case("no gradient yet (dw = 0, g = 0)", (w, zero, zero), {"lr": 0.5}, "eps keeps 0 / 0 out: w stays."),
    ]  # fmt: skip


def _adadelta(
    w: float, dw: float, g: float, p: float, beta: float = 0.9, eps: float = 1e-6
) -> tuple[float, float, float]:
    squares = dw**2 + beta * (g - dw**2)
    moved = dw * math.exp((math.log(eps + p) - math.log(eps + squares)) / 2)
    return w - moved, squares, moved**2 + beta * (p - moved**2)


def _adadelta_cases(rng: np.random.Generator) -> list[Case]:
    w, dw = _draw(rng, 2)
    zero = np.zeros(SHAPE)
    return [
        Case(
            "first step (g = 0, p = 0, eps = 0.01)", (w, dw, zero, zero), {"eps": 0.01},
            "p is 0 before the first step: what makes the numerator larger than 0?",
        ),
        Case(
            "g and p from earlier steps (beta = 0.6)", (w, dw, _sizes(rng), _sizes(rng)), {"beta": 0.6},
            "The order counts: the new g, then the step with the old p, then the new p with that step's square.",
        ),
        Case(
            "eps = 0.5", (w, dw, _sizes(rng), _sizes(rng)), {"eps": 0.5}, "eps stands inside both roots.",
        ),
        Case("no gradient (dw = 0)", (w, zero, _sizes(rng), _sizes(rng)), {}, "w stays, both averages shrink."),
    ]  # fmt: skip


def _adam(w: float, dw: float, m: float, v: float, t: int, lr: float, beta1: float = 0.9, beta2: float = 0.999,
          eps: float = 1e-8) -> tuple[float, float, float]:  # fmt: skip
    mean, square = dw + beta1 * (m - dw), dw**2 + beta2 * (v - dw**2)
    # the weights of an average over t steps that began at 0, summed one by one
    total1 = sum(beta1**k * (1 - beta1) for k in range(t))
    total2 = sum(beta2**k * (1 - beta2) for k in range(t))
    return w - lr * (mean / total1) / (eps + math.sqrt(square / total2)), mean, square


def _adam_cases(rng: np.random.Generator) -> list[Case]:
    w, dw, m = _draw(rng, 3)
    zero = np.zeros(SHAPE)
    return [
        Case(
            "first step (t = 1, m = v = 0, lr = 0.1)", (w, dw, zero, zero, 1), {"lr": 0.1},
            "The first step has the size lr, whatever the gradient's size: both averages are corrected, with exponent t = 1.",
        ),
        Case(
            "step t = 3 (beta1 = 0.8, beta2 = 0.95)", (w, dw, m, _sizes(rng), 3),
            {"lr": 0.2, "beta1": 0.8, "beta2": 0.95},
            "The corrected averages make the step; the plain ones are returned. beta1 goes with m, beta2 with v.",
        ),
        Case(
            "eps = 0.5", (w, dw, m, _sizes(rng), 2), {"lr": 0.2, "eps": 0.5},
            "eps is added to the root of the corrected v, outside of it.",
        ),
        Case("betas left out", (w, dw, m, _sizes(rng), 10), {"lr": 0.2}, "The defaults are 0.9 and 0.999."),
        Case("no gradient yet (all 0)", (w, zero, zero, zero, 1), {"lr": 0.5}, "eps keeps 0 / 0 out: w stays."),
    ]  # fmt: skip


momentum_update = _update(_momentum, ("w", "v"), _momentum_cases)
nesterov_update = _update(_nesterov, ("w", "v"), _nesterov_cases)
adagrad_update = _update(_adagrad, ("w", "g"), _adagrad_cases)
rmsprop_update = _update(_rmsprop, ("w", "g"), _rmsprop_cases)
adadelta_update = _update(_adadelta, ("w", "g", "p"), _adadelta_cases)
adam_update = _update(_adam, ("w", "m", "v"), _adam_cases)
