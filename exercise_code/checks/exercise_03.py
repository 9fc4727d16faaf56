"""Checks of exercise 03: update rules, second-order directions, learning-rate schedules and the range test."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.checks import optimizer_tasks
from exercise_code.checks.core import Check, expect, expect_close
from exercise_code.checks.verifiers import Case, call_unchanged, function

EXERCISE = "03_optimizers"


def _rotation(rng: np.random.Generator, size: int) -> NDArray:
    return np.linalg.qr(rng.standard_normal((size, size)))[0]


def _with_curvatures(rotation: NDArray, curvatures: Any) -> NDArray:
    hessian = rotation @ np.diag(curvatures) @ rotation.T
    return (hessian + hessian.T) / 2


def largest_learning_rate(answer: Any, rng: np.random.Generator) -> None:
    cases: dict[str, tuple[NDArray, Any]] = {"curvatures 1 and 25 along the axes": (np.eye(2), [1.0, 25.0])}
    turned = np.array([[1.0, -1.0], [1.0, 1.0]]) / math.sqrt(2)
    cases["curvatures 2 and 8 along the diagonals"] = (turned, [2.0, 8.0])
    cases["one variable, curvature 0.5"] = (np.eye(1), [0.5])
    curvatures = [*rng.uniform(0.2, 3, 3), rng.uniform(4, 6)]
    cases["four variables, turned at random"] = (_rotation(rng, 4), curvatures)
    for what, (rotation, values) in cases.items():
        got = call_unchanged(what, answer, _with_curvatures(rotation, values))
        turns = len(values) > 1 and not np.array_equal(rotation, np.eye(len(values)))
        look = (
            "The steepest direction decides; it need not be an axis."
            if turns
            else "A step multiplies the distance by 1 - lr * h, also along the steepest direction: it may turn negative, but not below -1."
        )
        expect_close(what, got, 2 / max(values), look)


def newton_direction(answer: Any, rng: np.random.Generator) -> None:
    cases: dict[str, tuple[NDArray, Any]] = {
        "curvatures 1 and 25 along the axes": (np.eye(2), [1.0, 25.0]),
        "a saddle, curvatures 2 and -4": (np.eye(2), [2.0, -4.0]),
        "three variables, turned at random": (_rotation(rng, 3), rng.uniform(0.5, 8, 3)),
    }
    for what, (rotation, curvatures) in cases.items():
        step, hessian = rng.uniform(0.5, 2, len(curvatures)), _with_curvatures(rotation, curvatures)
        # The gradient that this step brings to 0.
        got = call_unchanged(what, answer, -(hessian @ step), hessian)
        look = "After the step the gradient of the quadratic, gradient + H step, has to be 0."
        if min(curvatures) < 0:
            look += " Newton's step leads to the saddle point, downhill or not."
        expect_close(what, got, step, look, rtol=1e-6)


def _dense(gradient: NDArray, pairs: Any, scale: float) -> NDArray:
    """Minus the matrix that BFGS builds from scale * I, times the gradient, with that matrix written out."""
    size = len(gradient)
    inverse = scale * np.eye(size)
    for s, u in pairs:
        left = np.eye(size) - np.outer(s, u) / np.dot(s, u)
        inverse = left @ inverse @ left.T + np.outer(s, s) / np.dot(s, u)
    return -inverse.dot(gradient)


def lbfgs_direction(answer: Any, rng: np.random.Generator) -> None:
    size = 5
    hessian = _with_curvatures(_rotation(rng, size), rng.uniform(0.5, 8, size))
    gradient = rng.standard_normal(size)
    pairs = [(s, hessian @ s) for s in rng.standard_normal((3, size))]

    def compare(what: str, pairs: Any, expected: NDArray, look: str, gradient: NDArray = gradient, **scale) -> None:
        got = call_unchanged(what, answer, gradient, pairs, **scale)
        expect_close(what, got, expected, look, rtol=1e-6, atol=1e-9)

    compare("no pairs", [], -gradient, "Nothing is known of the curvature: steepest descent.")
    compare("no pairs, scale = 3", [], -3 * gradient, "scale multiplies between the two loops.", scale=3.0)
    s, u = pairs[0]
    look = "The quasi-Newton condition: with u as the gradient, the direction is -s of the newest pair."
    compare("one pair, gradient = u", [(s, u)], -s, look, gradient=u)
    look = "First loop: newest pair first; it takes away from q what the pair explains."
    compare("one pair, scale = 1", pairs[:1], _dense(gradient, pairs[:1], 1.0), look, scale=1.0)
    look = "The first loop goes from the newest pair to the oldest, the second one back, with the shares of the first."
    compare("three pairs, scale = 1", pairs, _dense(gradient, pairs, 1.0), look, scale=1.0)
    s, u = pairs[-1]
    look = "Without a scale: s @ u / (u @ u) of the newest pair, between the two loops."
    compare("three pairs, no scale given", pairs, _dense(gradient, pairs, np.dot(s, u) / np.dot(u, u)), look)


def _wave(start: float, end: float, share: float) -> float:
    return round(start * math.cos(math.pi * share / 2) ** 2 + end * math.sin(math.pi * share / 2) ** 2, 15)


HALF_COSINE = [
    Case("from 1 to 0, share 0", (1.0, 0.0, 0.0), look="It begins at start."),
    Case("from 1 to 0, share 1", (1.0, 0.0, 1.0), look="It ends at end."),
    Case("from 1 to 0, share 1/2", (1.0, 0.0, 0.5), look="Halfway in time is halfway down."),
    Case("from 1 to 0, share 1/4", (1.0, 0.0, 0.25), look="Flat at both ends, steepest in the middle; half a wave."),
    Case("from 0.1 to 0.02, share 1/3", (0.1, 0.02, 1 / 3), look="The way down is start - end long and ends at end."),
    Case("upwards, from 0.01 to 0.3, share 0.8", (0.01, 0.3, 0.8), look="Nothing changes when end is above start."),
]


def _cycle(step: float, num_steps: int, lr_max: float, between: Any, pct_start: float = 0.3, div_factor: float = 25.0,
           final_div_factor: float = 1e4) -> float:  # fmt: skip
    """The cycle as a curve through its three corners, in the clock of the half waves."""
    peak = pct_start * num_steps - 1
    corners = [0.0, peak, num_steps - 1.0] if peak > 0 else [peak, num_steps - 1.0]
    clock = float(np.interp(step, corners, [0.0, 1.0, 2.0][-len(corners) :]))
    low = lr_max / div_factor if clock < 1 else lr_max / (div_factor * final_div_factor)
    return between(low, lr_max, 1 - abs(clock - 1))


def one_cycle(answer: Any, rng: np.random.Generator) -> None:
    lr = float(rng.uniform(0.1, 2))
    short: dict[str, Any] = {
        "num_steps": 20,
        "lr_max": lr,
        "between": _wave,
        "pct_start": 0.25,
        "div_factor": 10.0,
        "final_div_factor": 50.0,
    }
    looks = {
        0: "The first step has lr_max / div_factor.",
        4: "The top is at step pct_start * num_steps - 1.",
        1: "The way up: between the first learning rate and lr_max, share step / top.",
        19: "The last step is num_steps - 1; it has lr_max / div_factor / final_div_factor.",
        12: "The way down: between lr_max and the last learning rate; its share counts from the top.",
        30: "Beyond the last step the learning rate stays where it is.",
    }
    cases = [Case(f"step {step} of 20", (step,), short, look) for step, look in looks.items()]
    cases += [Case(f"step {step} of 200, defaults", (step, 200, lr, _wave), {}, "The defaults are 0.3, 25 and 1e4.")
              for step in (0, 30, 59, 120)]  # fmt: skip
    look = "There is no step before the top: leave the way up out, and do not divide by 0."
    cases += [Case(f"step {step} of 10, pct_start = 0.1", (step, 10, lr, _wave, 0.1), {}, look) for step in (0, 5)]
    function(cases, _cycle, "", rtol=1e-6, atol=1e-12)(answer, rng)
    line = short | {"between": lambda start, end, share: start + (end - start) * share}
    for step in (1, 12):
        look = "Use the curve that is given as between, for both parts."
        expect_close(f"step {step} of 20, between = a line", answer(step, **line), _cycle(step, **line), look)


def range_test(answer: Any, rng: np.random.Generator) -> None:
    falling = list(3 - np.sort(rng.uniform(0, 2, 9)))

    def run(what: str, losses: list[float], look: str, kept: int) -> None:
        asked: list[float] = []

        def train_step(lr: float) -> float:
            asked.append(float(lr))
            look = "Stop after num_steps steps, or earlier when the loss blows up."
            expect(len(asked) <= len(losses), what, f"at most {len(losses)} training steps", "one more", look)
            return losses[len(asked) - 1]

        result = answer(train_step, 1e-4, 1.0, 9)
        is_pair = isinstance(result, tuple | list) and len(result) == 2
        expect(is_pair, what, "a pair (lrs, losses)", type(result).__name__, "Return both lists.")
        # Equal factors, from the first to the last: 10^-4, 10^-3.5, ..., 1
        rates = np.array([10 ** (k / 2 - 4) for k in range(9)])
        steps = min(kept + 1, 9)
        expect(len(asked) >= steps, what, f"{steps} training steps", len(asked), look)
        growth = "Every step multiplies the learning rate by the same factor: lr_min at the first, lr_max at the last."
        expect_close(f"{what}, learning rates that were tried", np.array(asked[:steps]), rates[:steps], growth)
        expect(len(asked) == steps, what, f"{steps} training steps", len(asked), look)
        for name, part, want in (("lrs", result[0], rates[:kept]), ("losses", result[1], np.array(losses[:kept]))):
            advice = look if kept < 9 else "One entry per training step: its learning rate, and the loss it returned."
            expect_close(f"{what}, {name}", np.array(part, dtype=float), want, advice)

    run("a loss that falls all the way", falling, "Try all num_steps learning rates.", 9)
    look = "Stop at a loss that is not finite, and leave it out."
    run("loss 3, 2, nan", [3.0, 2.0, math.nan, *falling], look, 2)
    run("loss 3, 2, 1, inf", [3.0, 2.0, 1.0, math.inf, *falling], look, 3)
    look = "Stop at a loss of more than 4 times the lowest one so far, and leave it out."
    run("loss 4, 1, 2, 3.9, 4.1", [4.0, 1.0, 2.0, 3.9, 4.1, *falling], look, 4)
    run("loss 1, 1.5, 2, 2.5, 3, 3.5, 4, 3, 2", [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 3.0, 2.0], look, 9)


UPDATES, CURVES, SECOND = (
    "exercise_code.networks.updates", "exercise_code.schedule_curves", "exercise_code.networks.second_order"
)  # fmt: skip

CHECKS = {
    "largest_learning_rate": Check(
        EXERCISE,
        largest_learning_rate,
        (
            "Along a direction with curvature h every step multiplies the distance to the minimum by 1 - lr * h. When does it shrink?",
            "It shrinks while lr < 2 / h. All directions have to shrink, so which curvature decides?",
            "The curvatures are the eigenvalues of the symmetric matrix: np.linalg.eigvalsh. Divide 2 by the largest.",
        ),
    ),
    "momentum_update": Check(
        EXERCISE,
        optimizer_tasks.momentum_update,
        (
            "Two lines: the new velocity from the old one and the gradient, then the new weights from the new velocity.",
            "Give the new velocity a new name and do not use += on what came in. The gradient enters with a minus sign.",
            "The new velocity is momentum times v, minus lr times dw. Return w plus the new velocity, and the new velocity.",
        ),
        f"{UPDATES}:momentum_update",
    ),
    "nesterov_update": Check(
        EXERCISE,
        optimizer_tasks.nesterov_update,
        (
            "The velocity is computed as for momentum. For w, write down where W is before and after the step.",
            "Before: W = w - momentum * v, with the old v. After the step: W plus the new v. Then w is ahead of that again.",
            "w - momentum * (old v) + (new v) + momentum * (new v).",
        ),
        f"{UPDATES}:nesterov_update",
    ),
    "adagrad_update": Check(
        EXERCISE,
        optimizer_tasks.adagrad_update,
        (
            "First the new g, then the step that uses it.",
            "np.sqrt and dw**2 work entry by entry; eps is added to the root.",
            "The new g is g plus the squared gradient. The step is lr times dw over (the root of the new g, plus eps).",
        ),
        f"{UPDATES}:adagrad_update",
    ),
    "rmsprop_update": Check(
        EXERCISE,
        optimizer_tasks.rmsprop_update,
        (
            "AdaGrad with an average in place of the sum.",
            "The share beta of the old average stays, the share 1 - beta comes from the new square.",
            "The new g is beta times g plus (1 - beta) times the squared gradient; the rest is your AdaGrad.",
        ),
        f"{UPDATES}:rmsprop_update",
    ),
    "adadelta_update": Check(
        EXERCISE,
        optimizer_tasks.adadelta_update,
        (
            "Compute the first step by hand, with p = 0. What is the root of 0?",
            "One of the two roots lacks something that the other one has.",
            "Numerator: the root of (p + eps). Denominator: the root of (g + eps). All else is as in the code that was found.",
        ),
        f"{UPDATES}:adadelta_update",
    ),
    "adam_update": Check(
        EXERCISE,
        optimizer_tasks.adam_update,
        (
            "Four parts: the new m, the new v, both corrected, the step. m is an average like RMSProp's g, of dw without the square.",
            "Corrected: the new m over (1 - beta1 to the power t), the new v over (1 - beta2 to the power t). t is 1 at the first step.",
            "w minus lr times the corrected m over (the root of the corrected v, plus eps); return it with the uncorrected m and v.",
        ),
        f"{UPDATES}:adam_update",
    ),
    "newton_direction": Check(
        EXERCISE,
        newton_direction,
        (
            "Look for the step at which gradient + H step = 0: a system of linear equations.",
            "np.linalg.solve(A, b) solves A x = b, without an inverse matrix.",
            "Solve with the Hessian and the gradient, and turn the sign of the solution round.",
        ),
        f"{SECOND}:newton_direction",
    ),
    "lbfgs_direction": Check(
        EXERCISE,
        lbfgs_direction,
        (
            "Copy the gradient to q. Two loops over the pairs, with a multiplication by the scale between them.",
            "First loop, newest pair first: the share a = (s @ q) / (s @ u) is kept, and a * u is taken from q. Second loop, oldest "
            "first: b = (u @ q) / (s @ u), and q gets (a - b) * s, with the a of the same pair.",
            "reversed(pairs) goes from the newest to the oldest; append every share to a list, and take it from that list's end "
            "in the second loop. The scale is s @ u / (u @ u) of pairs[-1], or 1 without pairs. Return -q.",
        ),
        f"{SECOND}:lbfgs_direction",
    ),
    "half_cosine": Check(
        EXERCISE,
        function(HALF_COSINE, _wave, ""),
        (
            "The cosine goes from 1 to -1 while its angle goes from 0 to pi. Make it go from 1 to 0.",
            "(1 + cos(pi * share)) / 2 is the part of the way that is still to go.",
            "end plus (start - end) times that part.",
        ),
        f"{CURVES}:half_cosine",
    ),
    "one_cycle": Check(
        EXERCISE,
        one_cycle,
        (
            "Three learning rates (first, top, last) at three steps (0, top, num_steps - 1), and a curve between two of them.",
            "On the way up the share is step / top; on the way down it is the number of steps since the top over all steps from the "
            "top to the end, and at most 1.",
            "If 0 < top and step <= top: between(first, lr_max, step / top). Otherwise between(lr_max, last, share), where last is "
            "first / final_div_factor.",
        ),
        f"{CURVES}:one_cycle",
    ),
    "range_test": Check(
        EXERCISE,
        range_test,
        (
            "Read what changes from one turn of the loop to the next. What should?",
            "np.geomspace makes numbers with equal factors between them. After every training step ask whether to stop.",
            "for lr in np.geomspace(...): loss = train_step(lr); break when it is not finite, or when there are losses already and it "
            "is above 4 times their minimum; otherwise append both.",
        ),
    ),
}  # fmt: skip
