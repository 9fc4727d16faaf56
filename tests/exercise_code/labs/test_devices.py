"""Where a network is trained and asked, without a GPU: torch's `meta` device refuses tensors of another device as CUDA does.

It holds no numbers, so what runs there ends at the first number that is asked for; by then all else has been done.
"""

import pytest
import torch
from torch import nn

from exercise_code.labs import training
from exercise_code.labs.batches import Batches
from exercise_code.labs.distillation import BinaryStudent
from exercise_code.labs.evaluation import chosen_device, device_of, evaluate, predict_logits
from exercise_code.labs.networks import MLP
from exercise_code.labs.training import fit

NO_NUMBERS = r"cannot be called on meta tensors|Cannot copy out of meta tensor"


class Wanted(nn.Module):
    """Notes where it is sent, and stays."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(4, 2)
        self.sent = []

    def to(self, device):
        self.sent.append(torch.device(device))
        return self

    def forward(self, images):
        return self.line(images)


def points():
    return Batches(torch.randn(8, 4, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 2, batch_size=4)


@pytest.mark.parametrize(
    ("asked", "there", "device"),
    [
        (None, True, torch.device("cuda")),
        (None, False, torch.device("cpu")),
        ("cpu", True, torch.device("cpu")),
        ("cuda", False, torch.device("cuda")),  # and not silently the CPU: torch will say that there is none
        (torch.device("cuda", 1), True, torch.device("cuda", 1)),
    ],
)
def test_cuda_is_taken_where_there_is_one_and_nothing_else_was_asked_for(monkeypatch, asked, there, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)

    assert chosen_device(asked) == device


@pytest.mark.parametrize("asked", [None, "cpu", torch.device("cuda", 1)])
def test_training_sends_the_network_to_the_device_that_is_chosen(monkeypatch, asked):
    monkeypatch.setattr(training, "chosen_device", lambda device: device or torch.device("cuda"))
    model = Wanted()

    fit(model, points(), points(), 1, device=asked, progress=False)

    assert model.sent == [torch.device(asked or "cuda")]


@pytest.mark.parametrize("make", [lambda: MLP(3, inputs=784), BinaryStudent], ids=["plain", "one-bit"])
def test_a_whole_step_of_training_happens_on_the_device(make):
    digits = Batches(torch.zeros(4, 1, 28, 28), torch.arange(4), torch.zeros(4, 10), batch_size=4)
    model, steps = make(), []

    def loss(logits, labels, answers):
        return nn.functional.cross_entropy(logits, labels) + (logits - answers).square().mean()

    optimizer = lambda weights: Counting(weights, steps)  # noqa: E731
    with pytest.raises(RuntimeError, match=NO_NUMBERS):
        fit(model, digits, digits, 1, optimizer=optimizer, loss=loss, device="meta", progress=False)

    assert len(steps) == 1  # images, labels and what came with them were all brought along
    assert device_of(model) == torch.device("meta")


class Counting(torch.optim.Adam):
    def __init__(self, weights, steps):
        super().__init__(weights)
        self.steps = steps

    def step(self, *arguments):
        self.steps.append(1)
        return super().step(*arguments)


@pytest.mark.parametrize(
    "ask", [lambda model: predict_logits(model, torch.zeros(2, 4)), lambda model: evaluate(model, points())]
)
def test_images_are_brought_to_where_the_weights_are(ask):
    model = nn.Linear(4, 2, device="meta")

    with pytest.raises(
        (RuntimeError, NotImplementedError), match=NO_NUMBERS
    ):  # not: "expected all tensors on one device"
        ask(model)


def test_the_oracle_of_these_tests_refuses_another_device_as_cuda_does():
    with pytest.raises(RuntimeError, match="device"):
        nn.Linear(4, 2, device="meta")(torch.zeros(2, 4))
