"""Checks of exercise 07: teacher, soft targets, the loss and its gradient, a fair comparison, and one-bit weights.

torch is imported when a check runs: this table is read by the checks of every exercise.
"""

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.checks import distillation_tasks, teacher_tasks
from exercise_code.checks.core import Check, expect, expect_close

EXERCISE = "07_distillation"
HOME = "exercise_code.labs.distillation"


def error_reduction(answer: Any, rng: np.random.Generator) -> None:
    pair = "plain 100 and 100 errors, distilled 80 and 60"
    result = answer([100, 100], [80, 60])
    is_triple = isinstance(result, tuple | list) and len(result) == 3
    expect(is_triple, pair, "a tuple (mean, low, high)", type(result).__name__, "Return three numbers.")
    # by hand: 0.2 and 0.4, so the mean is 0.3, s = 0.2 / sqrt(2), s / sqrt(2) = 0.1, and t of 1 degree is 12.706
    ends = [("the mean", 0.3), ("the low end", 0.3 - 1.2706), ("the high end", 0.3 + 1.2706)]
    looks = ("First a reduction per pair, then their mean.", *2 * ("s has n - 1 below the bar; t belongs to n - 1.",))
    for (name, value), got, look in zip(ends, result, looks, strict=True):
        expect_close(f"{pair}, {name}", got, value, look, rtol=1e-9)
    n = int(rng.integers(4, 12))
    plain = rng.uniform(100, 300, n)
    distilled = plain * rng.uniform(0.6, 1.1, n)
    mean, low, high = answer(plain.tolist(), distilled.tolist())
    expected = float(np.mean((plain - distilled) / plain))
    half = float(distillation_tasks.T_TABLE[n] * np.std(1 - distilled / plain, ddof=1) / math.sqrt(n))
    what = f"{n} pairs of runs"
    expect_close(
        f"{what}, the mean", mean, expected, "The mean of the shares r_i, run by run, not the share of the sums."
    )
    expect_close(f"{what}, half the width", (high - low) / 2, half, "t of n - 1 degrees of freedom times s / sqrt(n).")
    expect_close(f"{what}, the middle", (high + low) / 2, expected, "The interval lies around the mean.")
    worse = answer([50, 40, 60], [60, 66, 50])[0]
    look = "Worse is a negative number; compare run by run, in the order that came."
    expect_close("a student that got worse", worse, (-10 / 50 - 26 / 40 + 10 / 60) / 3, look)
    for bad in (([100, 90, 95], [80, 70]), ([100], [80]), ([1.0] * 22, [1.0] * 22)):
        _expect_refusal(answer, bad, f"{len(bad[0])} plain and {len(bad[1])} distilled runs")


def _expect_refusal(answer: Any, arguments: tuple[Any, ...], what: str) -> None:
    try:
        got = answer(*arguments)
    except ValueError:
        return
    expect(False, what, "a ValueError", got, "The docstring says when to refuse: look under Raises.")


def bias_offset(answer: Any, rng: np.random.Generator) -> None:
    import torch

    table = np.array([[1.0, 5.0, 2.0], [4.0, 3.0, 0.0], [0.5, 1.0, 0.0], [9.0, 1.0, 6.0]])
    # by hand: column 2 lacks 3, 4, 1 and 3 to the largest of the others; two rows need 3, three need 3 as well, all need 4
    for share, value in ((0.25, 2.0), (0.75, 3.5)):
        got = answer(torch.from_numpy(table.copy()), 2, share)
        is_number = isinstance(got, int | float | np.floating)
        expect(
            is_number, "the result", "a number", type(got).__name__, "Return a float: .item() takes it out of a tensor."
        )
        expect_close(
            f"4 rows, class 2, share {share}", got, value, "Halfway between two of the numbers that the rows lack."
        )
    for digit, share in itertools.product((0, 3, 9), (0.02, 0.1, 0.31)):
        logits = rng.normal(0, 3, (200, 10))
        logits[:, digit] -= 9
        given = torch.from_numpy(logits.copy())
        offset = answer(given, digit, share)
        what = f"200 rows, class {digit}, share {share}"
        expect(
            bool(torch.equal(given, torch.from_numpy(logits))),
            what,
            "logits as they were",
            "changed ones",
            "Copy first.",
        )
        wins = _wins(logits, digit, float(offset))
        look = "Count the rows in which this column, the offset added, is the largest."
        expect(wins == round(200 * share), f"{what}: rows won", round(200 * share), wins, look)
        ends = [_threshold(logits, digit, count) for count in (round(200 * share), round(200 * share) + 1)]
        expect_close(what, float(offset), sum(ends) / 2, "Halfway between enough and enough for one more.", atol=1e-6)
    for share in (0.0, 0.001, 1.0):
        _expect_refusal(answer, (torch.zeros(10, 3), 1, share), f"10 rows, share {share}")


def _wins(logits: NDArray, digit: int, offset: float) -> int:
    moved = logits.copy()
    moved[:, digit] += offset
    return int((moved.argmax(axis=1) == digit).sum())


def _threshold(logits: NDArray, digit: int, count: int) -> float:
    """The smallest offset at which `count` rows are won, by bisection."""
    low, high = -100.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if _wins(logits, digit, middle) >= count else (middle, high)
    return high


CHECKS = {
    "teacher_net": Check(
        EXERCISE,
        teacher_tasks.teacher_net,
        (
            "Follow one batch through the network with a pencil: which shape comes in, which layers does it meet, in which order?",
            "Images have to become rows of 784 numbers first, and what `self.dropout` holds does nothing until forward calls it.",
            "forward: flatten from axis 1; linear_1, relu, dropout; linear_2, relu, dropout; linear_3. Dropout gets p=dropout.",
        ),
        f"{HOME}:TeacherNet",
    ),
    "soft_targets": Check(
        EXERCISE,
        distillation_tasks.soft_targets,
        (
            "Everything happens before the softmax.",
            "Divide the logits by the temperature; then a softmax over the classes of each row.",
            "torch.softmax of logits / temperature with dim=1. It takes care of large logits by itself.",
        ),
        f"{HOME}:soft_targets",
    ),
    "teacher_logits": Check(
        EXERCISE,
        teacher_tasks.teacher_logits,
        (
            "Two switches: one for how layers behave, one for whether gradients are recorded. They are not the same.",
            "eval() before, and afterwards back to what teacher.training was; a `with torch.no_grad():` around the calls.",
            "Note teacher.training; eval(); inside no_grad collect teacher(piece) for images.split(batch_size); "
            "train(what you noted); torch.cat.",
        ),
        f"{HOME}:teacher_logits",
    ),
    "logit_gradient": Check(
        EXERCISE,
        distillation_tasks.logit_gradient,
        (
            "Make the logits the start of a small graph of their own, so that nobody else's gradients are touched.",
            "A detached copy with requires_grad_(); loss of the copy; then torch.autograd.grad or backward.",
            "copy = logits.detach().clone().requires_grad_(); loss(copy).backward(); the answer is copy.grad.",
        ),
        f"{HOME}:logit_gradient",
    ),
    "distillation_loss": Check(
        EXERCISE,
        distillation_tasks.distillation_loss,
        (
            "Build it in two parts, each a mean over the images, and test each alone with alpha 1 and alpha 0.",
            "log_softmax of both logits divided by T; sum p * (log p - log q) over the classes, mean over the images; then T**2. "
            "The labels' part uses the plain logits.",
            'With kl_div the first argument is log q, the second p (or log p with log_target=True), and reduction="batchmean"; '
            "the default divides by the number of classes as well. detach() the teacher.",
        ),
        f"{HOME}:distillation_loss",
    ),
    "error_reduction": Check(
        EXERCISE,
        error_reduction,
        (
            "One number per pair of runs first; only then think of means and spreads.",
            "s is the square root of the sum of squared deviations divided by n - 1; the margin is t * s / sqrt(n).",
            "r = [1 - d / p for each pair]; statistics.mean(r) and statistics.stdev(r) (which divides by n - 1); T_QUANTILE[n - 1].",
        ),
        f"{HOME}:error_reduction",
    ),
    "bias_offset": Check(
        EXERCISE,
        bias_offset,
        (
            "For one row: how much does the column lack until it is the largest?",
            "Subtract the column from the largest of the *other* columns; sort what the rows lack, smallest first.",
            "With k = round(share * N): the answer lies halfway between the k-th and the (k+1)-th smallest.",
        ),
        f"{HOME}:bias_offset",
    ),
    "straight_through": Check(
        EXERCISE,
        distillation_tasks.straight_through,
        (
            "forward is a plain sign, but torch.sign(0) is 0: what does the docstring want at 0?",
            "backward needs to know where the weights were: ctx.save_for_backward in forward, ctx.saved_tensors in backward.",
            "backward: outputs[0] times the mask abs(weights) <= 1.",
        ),
        f"{HOME}:SignStraightThrough",
    ),
}
