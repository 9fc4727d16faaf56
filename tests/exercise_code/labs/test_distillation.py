"""The reference parts of exercise 07 against hand-computed numbers, torch's own losses, and small trained networks."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from exercise_code.labs.batches import Batches
from exercise_code.labs.distillation import (
    T_QUANTILE,
    BinaryLinear,
    BinaryStudent,
    SignStraightThrough,
    StudentNet,
    TeacherNet,
    bias_offset,
    distillation_loss,
    error_reduction,
    logit_gradient,
    soft_targets,
    teacher_logits,
)
from exercise_code.labs.evaluation import accuracy
from exercise_code.labs.networks import parameter_count
from exercise_code.labs.seeding import seeded
from exercise_code.labs.training import fit
from exercise_code.onnx_export import count_parameters, export_onnx


def test_teacher_and_student_have_the_sizes_of_the_lecture():
    assert parameter_count(TeacherNet()) == 784 * 1200 + 1200 + 1200 * 1200 + 1200 + 1200 * 10 + 10 == 2_395_210
    assert parameter_count(StudentNet()) == 39_760


@pytest.mark.parametrize("model", [StudentNet(), TeacherNet(), BinaryStudent()], ids=lambda model: type(model).__name__)
def test_every_network_of_the_lab_can_be_handed_in_as_onnx(tmp_path, model):
    path = export_onnx(model, tmp_path / "m.onnx", input_shape=(1, 28, 28))

    assert path.stat().st_size > 4 * 39_000
    if isinstance(model, StudentNet):
        assert count_parameters(path.read_bytes()) <= 40_000


def test_soft_targets_of_a_hand_computed_row():
    logits = torch.tensor([[math.log(16.0), 0.0]], dtype=torch.float64)

    np.testing.assert_allclose(soft_targets(logits), [[16 / 17, 1 / 17]])
    np.testing.assert_allclose(soft_targets(logits, 2), [[4 / 5, 1 / 5]])
    np.testing.assert_allclose(soft_targets(logits, 4), [[2 / 3, 1 / 3]])


def test_the_mse_gradient_dies_with_the_temperature_and_the_kl_gradient_does_not():
    random = torch.Generator().manual_seed(0)
    student, teacher = 3 * torch.randn(2, 200, 10, generator=random, dtype=torch.float64)
    labels = teacher.argmax(1)

    def size(loss):
        return logit_gradient(loss, student).abs().mean().item()

    def mse(temperature):
        return size(lambda z: functional.mse_loss((z / temperature).softmax(1), (teacher / temperature).softmax(1)))

    def kl(temperature):
        return size(lambda z: distillation_loss(z, teacher, labels, temperature, 1.0))

    assert mse(20) < mse(5) / 10 < mse(1) / 100  # 1 / T from the argument, 1 / T from the probabilities
    assert 0.5 < kl(20) / kl(5) < 2


def test_at_high_temperature_the_soft_loss_is_half_the_mean_square_of_the_centred_difference_of_logits():
    random = torch.Generator().manual_seed(1)
    student, teacher = torch.randn(2, 30, 10, generator=random, dtype=torch.float64)

    got = distillation_loss(student, teacher, teacher.argmax(1), 1e4, 1.0).item()

    difference = (student - teacher) - (student - teacher).mean(1, keepdim=True)
    assert math.isclose(got, (difference**2).mean().item() / 2, rel_tol=1e-3)  # Hinton et al., section 2.1


def test_teacher_logits_are_those_of_the_evaluation_mode():
    with seeded(3):
        teacher = TeacherNet().train()
    images = torch.randn(7, 1, 28, 28, generator=torch.Generator().manual_seed(0))

    got = teacher_logits(teacher, images, 3)

    assert teacher.training and not got.requires_grad
    torch.testing.assert_close(got, teacher.eval()(images), rtol=1e-4, atol=1e-5)


def test_the_quantiles_are_those_of_students_t():
    stats = pytest.importorskip("scipy.stats")

    for freedom, value in T_QUANTILE.items():
        assert abs(stats.t.ppf(0.975, freedom) - value) < 6e-4


def test_the_interval_is_the_one_that_scipy_computes():
    stats = pytest.importorskip("scipy.stats")
    plain, distilled = [140, 152, 133, 149, 141], [110, 118, 112, 131, 108]

    mean, low, high = error_reduction(plain, distilled)

    shares = 1 - np.array(distilled) / np.array(plain)
    expected = stats.t.interval(0.95, 4, loc=shares.mean(), scale=stats.sem(shares))
    np.testing.assert_allclose((mean, low, high), (shares.mean(), *expected), rtol=1e-3)


def test_a_class_that_was_never_met_is_answered_as_often_as_wanted_after_the_offset():
    logits = torch.randn(500, 10, generator=torch.Generator().manual_seed(0))
    logits[:, 3] -= 8

    offset = bias_offset(logits, 3, 0.1)

    moved = logits + offset * functional.one_hot(torch.tensor(3), 10)
    assert (logits.argmax(1) == 3).sum() == 0
    assert (moved.argmax(1) == 3).sum() == 50


def test_a_binary_layer_computes_with_two_values_per_output_and_learns():
    with seeded(0):
        layer = BinaryLinear(16, 4)
    used = {round(abs(value), 6) for value in (SignStraightThrough.apply(layer.weight) * layer.scale)[0].tolist()}
    assert len(used) == 1

    random = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (200,), generator=random)
    images = 0.5 * torch.randn(200, 16, generator=random)
    images[torch.arange(200), labels] += 2
    batches = Batches(images, labels, batch_size=20)
    before = accuracy(layer, batches)
    fit(layer, batches, batches, 20, optimizer=lambda w: torch.optim.Adam(w, lr=0.01), progress=False)
    assert accuracy(layer, batches) > max(0.9, before)


def test_a_frozen_sign_would_not_learn_at_all():
    layer = BinaryLinear(16, 4, sign=torch.sign)
    layer(torch.randn(5, 16)).sum().backward()

    assert isinstance(layer.weight, nn.Parameter) and (layer.weight.grad == 0).all()
