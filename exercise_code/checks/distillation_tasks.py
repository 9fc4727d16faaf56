"""Checks of exercise 07 about soft targets, losses and their gradients, and a custom autograd function."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.checks.core import expect, expect_close

# 97.5 % quantiles of Student's t, by number of runs
T_TABLE = {4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262, 11: 2.228}


def softmax(logits: NDArray, temperature: float = 1.0) -> NDArray:
    """Probabilities row by row in float64, from differences of logits: 1 / sum over j of exp(z_j - z_i)."""
    z = np.asarray(logits, dtype=np.float64) / temperature
    with np.errstate(over="ignore"):
        return np.array([[1 / np.exp(row - value).sum() for value in row] for row in z])


def soft_targets(answer: Any, rng: np.random.Generator) -> None:
    import torch

    logits = rng.normal(0, 3, (5, 4))
    for temperature in (1.0, 5.0, 0.5, float(rng.uniform(2, 9))):
        given = torch.from_numpy(logits.copy())
        got = answer(given, temperature)
        what = f"5 rows of logits, T = {temperature:.3g}"
        expect_close(
            what, got, torch.from_numpy(softmax(logits, temperature)), "softmax(logits / T) over the classes of a row."
        )
        expect(
            bool(torch.equal(given, torch.from_numpy(logits))),
            what,
            "logits as they were",
            "changed ones",
            "Make a new tensor.",
        )
    got = answer(torch.from_numpy(logits))
    expect_close("no temperature given", got, torch.from_numpy(softmax(logits)), "T = 1 is the usual softmax.")
    big = np.array([[3000.0, 0.0, -3000.0], [-4000.0, -4000.0, -5000.0]], dtype=np.float32)
    got = answer(torch.from_numpy(big), 2.0)
    look = "exp overflows; torch's own softmax does not."
    expect_close("logits of thousands", got, torch.from_numpy(softmax(big, 2.0)), look, rtol=1e-3)
    kinds = [str(answer(torch.zeros(1, 2, dtype=kind), 2.0).dtype) for kind in (torch.float32, torch.float64)]
    expect(
        kinds == ["torch.float32", "torch.float64"],
        "dtypes for float32 and float64",
        "the same",
        kinds,
        "Keep the dtype.",
    )


def logit_gradient(answer: Any, rng: np.random.Generator) -> None:
    import torch

    values = rng.normal(0, 1, (3, 4))
    weights = torch.from_numpy(rng.normal(0, 1, (3, 4)))
    look = "The gradient of the one number that loss returns: no mean, no absolute value, one entry per logit."
    for what, loss, expected in (
        ("loss = sum of w * z", lambda z: (weights * z).sum(), weights),
        ("loss = mean of z**2", lambda z: (z**2).mean(), torch.from_numpy(values / 6)),
    ):
        for tracked in (False, True):
            logits = torch.from_numpy(values.copy()).requires_grad_(tracked)
            if tracked:
                logits.grad = torch.full((3, 4), 7.0, dtype=torch.float64)
            got = answer(loss, logits)
            where = f"{what}, logits that {'have a gradient already' if tracked else 'record nothing'}"
            expect_close(where, got, expected, look)
            expect(not got.requires_grad, where, "a gradient without a graph", "one with a graph", "detach() it.")
            same = logits.requires_grad is tracked and bool((logits.detach() == torch.from_numpy(values)).all())
            expect(same, where, "logits as they were", "changed ones", "requires_grad_() on a detached copy.")
            now = logits.grad
            kept = now is None if not tracked else now is not None and bool(torch.eq(now, 7).all())
            expect(
                kept,
                f"{where}: logits.grad",
                "as it was",
                "changed",
                "Do not call backward through the logits you were given.",
            )
    student = torch.nn.Linear(4, 4).double()
    answer(lambda z: (z**2).sum(), student(torch.from_numpy(values)))
    untouched = all(weight.grad is None for weight in student.parameters())
    expect(
        untouched,
        "a student's weights",
        "no gradients",
        "gradients",
        "Detach the logits from the network they came from.",
    )


def distillation_loss(answer: Any, rng: np.random.Generator) -> None:
    import torch

    student, teacher = rng.normal(0, 2, (6, 5)), rng.normal(0, 2, (6, 5))
    labels = rng.integers(5, size=6)
    tensors = [torch.from_numpy(values.copy()) for values in (student, teacher)]
    targets = torch.from_numpy(labels)

    def compare(what: str, look: str, *options: float) -> None:
        expected = _distillation(student, teacher, labels, *options)
        got = answer(*tensors, targets, *options)
        shape = tuple(getattr(got, "shape", (type(got).__name__,)))
        expect(
            shape == (),
            f"{what}: shape",
            "one number, as a tensor",
            shape,
            "A mean over the images is left at the end.",
        )
        expect_close(what, got, torch.tensor(expected, dtype=torch.float64), look, rtol=1e-5)

    compare(
        "alpha 0, T 1",
        "Only the labels count: cross entropy of the plain logits. alpha belongs to the soft part.",
        1.0,
        0.0,
    )
    compare("alpha 0, T 6", "The labels' part takes no temperature and no factor.", 6.0, 0.0)
    look = (
        "Sum over classes, mean over images; the teacher's p comes first in KL(p || q), inside kl_div it is the target."
    )
    compare("alpha 1, T 1", look, 1.0, 1.0)
    look = "Both logits are divided by T, and something must make up for the smaller gradient: see the formula."
    compare("alpha 1, T 4", look, 4.0, 1.0)
    compare("alpha 0.3, T 3", "alpha for the soft part, 1 - alpha for the labels.", 3.0, 0.3)
    compare("temperature and alpha not given", "Their defaults are 2 and 0.9.")
    same = float(answer(tensors[1].clone(), tensors[1], targets, 3.0, 1.0))
    expect(
        bool(abs(same) < 1e-9), "student equal to teacher, alpha 1", 0, same, "KL(p || p) = 0: is a part of it missing?"
    )
    z = [tensor.clone().requires_grad_() for tensor in tensors]
    loss = answer(*z, targets, 4.0, 0.5)
    look = "Nothing of the student may be detached."
    expect(loss.requires_grad, "gradient at the student's logits", "some", "none", look)
    loss.backward()
    grad = torch.from_numpy(_gradient(lambda moved: _distillation(moved, teacher, labels, 4.0, 0.5), student))
    expect_close("gradient at the student's logits", z[0].grad, grad, look, rtol=1e-4, atol=1e-7)
    flows = z[1].grad is not None and bool((z[1].grad != 0).any())
    expect(
        not flows,
        "gradient at the teacher's logits",
        "none",
        "some",
        "The teacher is not being trained: detach() its logits.",
    )
    big = [torch.tensor([[900.0, 0.0, -900.0]]), torch.tensor([[-900.0, 900.0, 0.0]])]
    got = answer(*big, torch.tensor([0]), 1.0, 1.0)
    expect_close("logits of 900", got, torch.tensor(900.0), "log of a softmax is -inf; log_softmax is not.", rtol=1e-4)


def _distillation(
    student: NDArray, teacher: NDArray, labels: NDArray, temperature: float = 2.0, alpha: float = 0.9
) -> float:
    total = 0.0
    p, q, plain = softmax(teacher, temperature), softmax(student, temperature), softmax(student)
    for row, label in enumerate(labels):
        relative = sum(a * math.log(a / b) for a, b in zip(p[row], q[row], strict=True))
        total += alpha * temperature * temperature * relative - (1 - alpha) * math.log(plain[row, label])
    return total / len(labels)


def _gradient(of: Callable[[NDArray], float], x: NDArray, h: float = 1e-5) -> NDArray:
    grad = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[index] += h
        down[index] -= h
        grad[index] = (of(up) - of(down)) / (2 * h)
    return grad


def straight_through(answer: Any, rng: np.random.Generator) -> None:
    import torch

    sign = getattr(answer, "apply", None)
    look = "Keep the class line and its two static methods."
    expect(callable(sign), "SignStraightThrough", "a torch.autograd.Function with apply", type(answer).__name__, look)
    assert sign is not None
    weights = np.array([-2.0, -1.0, -0.3, -0.0, 0.0, 0.2, 1.0, 1.5])
    upstream = rng.normal(0, 1, 8)
    for kind in (torch.float64, torch.float32):
        given = torch.tensor(weights, dtype=kind, requires_grad=True)
        signs = sign(given)
        what = f"{str(kind).removeprefix('torch.')} weights {weights.tolist()}"
        wanted = torch.tensor([-1.0, -1, -1, 1, 1, 1, 1, 1], dtype=kind)
        expect_close(f"{what}, forward", signs, wanted, "+1 where weights >= 0, 0 included, else -1; nothing else.")
        expect(signs.dtype == kind, f"{what}, forward", kind, signs.dtype, "Keep the dtype of weights.")
        signs.backward(torch.tensor(upstream, dtype=kind))
        inside = np.array([0, 1, 1, 1, 1, 1, 1, 0])
        look = "The gradient that comes in, unchanged for weights from -1 to 1 (ends included), 0 outside."
        expect_close(f"{what}, backward", given.grad, torch.tensor(upstream * inside, dtype=kind), look, rtol=1e-5)
        same = bool(torch.equal(given.detach(), torch.tensor(weights, dtype=kind)))
        expect(
            same,
            what,
            "weights as they were",
            "changed ones",
            "Make a new tensor: an optimizer moves the real weights.",
        )
    small = torch.from_numpy(rng.uniform(-1.5, 1.5, (2, 3))).requires_grad_()
    (sign(small) * small.detach()).sum().backward()
    wanted = torch.where(small.detach().abs() <= 1, small.detach(), torch.zeros(2, 3, dtype=torch.float64))
    expect_close(
        "weights (2, 3), loss = sum of sign * w", small.grad, wanted, "Chain rule: outputs[0] is dL/dsigns, use it."
    )
