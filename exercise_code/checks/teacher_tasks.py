"""Checks of exercise 07 about the teacher: its network, and how to ask it."""

from typing import Any

import numpy as np

from exercise_code.checks.core import expect, expect_close

TEACHER_SHAPES = [(10,), (10, 1200), (1200,), (1200,), (1200, 784), (1200, 1200)]


def teacher_net(answer: Any, rng: np.random.Generator) -> None:
    import torch

    images = torch.from_numpy(rng.normal(0, 1, (64, 1, 28, 28)).astype(np.float32))
    model = answer(dropout=0.8)
    expect(
        isinstance(model, torch.nn.Module),
        "TeacherNet()",
        "a torch.nn.Module",
        type(model).__name__,
        "Keep the class line.",
    )
    shapes = sorted(
        (tuple(weight.shape) for weight in model.parameters()),
        key=lambda shape: (shape[0] != 10, len(shape), shape[-1]),
    )
    look = "Three linear layers, 784-1200, 1200-1200 and 1200-10, each made in __init__ and kept in self."
    expect(shapes == TEACHER_SHAPES, "shapes of all weights", TEACHER_SHAPES, shapes, look)
    _expect_logits(
        model.eval()(images), "images (64, 1, 28, 28)", "Flatten each image to 784 numbers, not the whole batch."
    )
    _expect_logits(model(images.flatten(1)), "rows (64, 784)", "Flatten from axis 1 on leaves rows as they are.")
    quiet, noisy = _inputs_of_linear_layers(model, images, False), _inputs_of_linear_layers(model, images, True)
    look = "In forward each of linear_1, linear_2 and linear_3 is called once."
    expect(len(quiet) == len(noisy) == 4, "linear layers called in forward", 3, len(quiet) - 1, look)
    same = bool(torch.equal(quiet[0], noisy[0]))
    expect(
        same,
        "what the first layer gets in training",
        "the images",
        "something else",
        "Dropout comes after a hidden layer.",
    )
    for number in (1, 2):
        name = f"what hidden layer {number} hands on"
        alive = float((quiet[number] > 0).double().mean())
        look = f"ReLU after linear_{number}: nothing negative, about half of it 0."
        expect(bool((quiet[number] >= 0).all()) and 0.2 < alive < 0.8, name, "half of it 0, the rest positive",
               f"{alive:.0%} positive, smallest {float(quiet[number].min()):.2g}", look)  # fmt: skip
        kept = float((noisy[number] > 0).double().mean() / alive)
        look = f"Dropout after hidden layer {number} is missing, applied twice, or ignores its argument: one call per layer."
        expect(bool(0.1 < kept < 0.3), f"{name} in training with dropout=0.8: units kept", "20 %", f"{kept:.0%}", look)
    scale = (noisy[1][noisy[1] > 0] / quiet[1][noisy[1] > 0]).median().item()
    expect_close(
        "factor of the units that are kept", round(scale, 3), 5.0, "nn.Dropout scales by 1 / (1 - p) by itself."
    )
    zeros = int((noisy[3] == 0).sum())
    expect(zeros == 0, "logits set to 0 in training", 0, zeros, "No dropout, and no ReLU, after the last layer.")
    negative = bool((quiet[3] < 0).any())
    expect(negative, "logits", "positive and negative numbers", "no negative one", "No ReLU and no softmax at the end.")
    one = quiet[3].exp().sum(dim=1)
    expect(
        bool((one - 1).abs().max() > 1e-3),
        "logits",
        "raw numbers",
        "log-probabilities",
        "The loss applies the softmax.",
    )
    for make, what in ((lambda: answer(0.0), "dropout=0.0"), (lambda: answer(), "the default dropout")):
        model = make()
        quiet, noisy = _inputs_of_linear_layers(model, images, False), _inputs_of_linear_layers(model, images, True)
        kept = float((noisy[1] > 0).double().mean() / (quiet[1] > 0).double().mean())
        expected = 1.0 if what == "dropout=0.0" else 0.5
        look = "Hand the argument dropout to nn.Dropout, and let evaluation mode switch it off."
        expect(
            bool(abs(kept - expected) < 0.05), f"{what}: units kept in training", f"{expected:.0%}", f"{kept:.0%}", look
        )


def _expect_logits(logits: Any, what: str, look: str) -> None:
    shape = tuple(getattr(logits, "shape", ())) or type(logits).__name__
    expect(shape == (64, 10), f"forward of {what}", "logits of shape (64, 10)", shape, look)


def _inputs_of_linear_layers(model: Any, images: Any, training: bool) -> list[Any]:
    """What each linear layer is called with, in order, and at the end the logits; dropout draws from a fixed seed."""
    import torch

    seen: list[Any] = []
    layers = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    handles = [
        layer.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach().clone())) for layer in layers
    ]
    try:
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(1)
            seen.append(model.train(training)(images))
    finally:
        for handle in handles:
            handle.remove()
    return seen


def teacher_logits(answer: Any, rng: np.random.Generator) -> None:
    import torch

    teacher, sizes = _probe()
    images = torch.from_numpy(rng.normal(0, 1, (10, 1, 2, 3)).astype(np.float32))
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    with torch.no_grad():
        expected = teacher.train(False)(images)
    for training in (True, False):
        teacher.train(training)
        sizes.clear()
        got = answer(teacher, images, 4)
        what = f"10 images, batch_size 4, teacher in {'training' if training else 'evaluation'} mode"
        rows = len(got) if isinstance(got, torch.Tensor) and got.ndim else type(got).__name__
        expect(
            rows == 10, f"{what}: rows", 10, rows, "One tensor with a row per image, the last, smaller piece included."
        )
        expect_close(what, got, expected, "Is dropout switched off? Are the rows in order?", rtol=1e-4, atol=1e-5)
        expect(sizes == [4, 4, 2], f"{what}: pieces handed to the teacher", [4, 4, 2], sizes, "Pieces of batch_size.")
        expect(
            not got.requires_grad,
            f"{what}: gradients recorded",
            "no",
            "yes",
            "torch.no_grad() while the teacher works.",
        )
        tracked = bool(teacher.tracked and teacher.tracked[-1])
        expect(
            not tracked,
            f"{what}: gradients recorded",
            "no",
            "yes",
            "detach() comes too late: the graph was built. no_grad().",
        )
        mode = teacher.training
        expect(
            mode is training,
            f"{what}: mode afterwards",
            training,
            mode,
            "teacher.train(...) with what teacher.training was.",
        )
    same = all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())
    expect(
        same,
        "the teacher's weights and statistics",
        "as they were",
        "changed",
        "Evaluation mode before the first piece.",
    )
    learns = all(weight.requires_grad for weight in teacher.parameters())
    expect(
        learns, "the teacher's weights", "still able to learn", "frozen", "Leave requires_grad of the teacher alone."
    )
    expect(torch.is_grad_enabled(), "gradients after the call", "on", "off", "Use no_grad as a with block.")
    sizes.clear()
    expect_close(
        "batch_size not given", answer(teacher, images), expected, "batch_size has a default.", rtol=1e-4, atol=1e-5
    )


def _probe() -> tuple[Any, list[int]]:
    """A teacher with dropout and batch norm that notes how many images it gets and whether gradients are recorded."""
    import torch

    sizes: list[int] = []

    class Probe(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(6), torch.nn.Linear(6, 40))
            self.head = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(40, 3))
            self.tracked: list[bool] = []

        def forward(self, images: Any) -> Any:
            sizes.append(len(images))
            self.tracked.append(torch.is_grad_enabled())
            return self.head(self.body(images))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Probe(), sizes
