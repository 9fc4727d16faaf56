"""Exercise 08's torch parts: folding, injected shift, the sigmoid networks, and what is measured while they train."""

import numpy as np
import pytest
import torch
from torch import nn

from exercise_code.labs.batch_norm import ShiftedNorm, fold_batch_norm, running_statistics, sigmoid_net
from exercise_code.labs.batch_norm_runs import Run, gap_between_modes, watch
from exercise_code.labs.batches import Batches
from exercise_code.labs.seeding import generator, seeded
from exercise_code.onnx_export import export_onnx


def blobs(count=240):
    random = generator(0)
    labels = torch.arange(count) % 3
    images = torch.randn(count, 784, generator=random) * 0.3
    images[torch.arange(count), labels] += 3
    return images, labels


def test_running_statistics_follow_torchs_layer_over_many_batches():
    norm = nn.BatchNorm1d(4)
    mean, var = torch.zeros(4), torch.ones(4)
    for step in range(20):
        batch = torch.randn(6, 4, generator=generator(step)) * 3 + 1
        norm(batch)
        mean, var = running_statistics(mean, var, batch)
    torch.testing.assert_close(mean, norm.running_mean)
    torch.testing.assert_close(var, norm.running_var)


def test_a_trained_network_without_its_norms_says_the_same():
    images, labels = blobs()
    model = sigmoid_net(nn.BatchNorm1d)
    batches = Batches(images, labels, batch_size=40)
    watch(model, batches, batches, steps=30, learning_rate=1.0, every=30)
    layers = list(model)
    folded = nn.Sequential(
        layers[0],
        *[layer for at in (1, 4, 7) for layer in (fold_batch_norm(layers[at], layers[at + 1]), nn.Sigmoid())],
        layers[-1],
    )
    with torch.no_grad():
        torch.testing.assert_close(folded(images), model.eval()(images), rtol=1e-4, atol=1e-4)


def test_the_shift_is_drawn_from_torchs_shared_generator_and_depends_on_the_seed_only():
    x = torch.randn(8, 3, generator=generator(1))
    outs = []
    for seed in (5, 5, 6):
        with seeded(seed):
            outs.append(ShiftedNorm(3)(x))
    assert torch.equal(outs[0], outs[1]) and not torch.equal(outs[0], outs[2])


def test_networks_with_and_without_norm_start_from_the_same_weights():
    plain, normed, after = sigmoid_net(), sigmoid_net(nn.BatchNorm1d), sigmoid_net(nn.BatchNorm1d, after=True)
    weights = [[layer.weight for layer in net if isinstance(layer, nn.Linear)] for net in (plain, normed, after)]
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(*weights, strict=True))
    kinds = [[type(layer).__name__ for layer in net][1:4] for net in (normed, after)]
    assert kinds == [["Linear", "BatchNorm1d", "Sigmoid"], ["Linear", "Sigmoid", "BatchNorm1d"]]


def test_the_bias_before_a_norm_gets_no_gradient_to_speak_of():
    images, labels = blobs()
    model = sigmoid_net(nn.BatchNorm1d, std=0.05)
    nn.functional.cross_entropy(model(images), labels).backward()
    assert model[1].bias.grad.abs().max() < 1e-6 * max(model[1].weight.grad.abs().max(), 1)
    assert model[2].bias.grad.abs().max() > 1e-6


def test_batch_norm_rescues_a_sigmoid_network_whose_first_weights_are_too_small():
    images, labels = blobs()
    val = Batches(images, labels, batch_size=240)
    runs = {}
    for name, norm in (("without", None), ("with", nn.BatchNorm1d)):
        train = Batches(images, labels, batch_size=60, shuffle=True)
        runs[name] = watch(sigmoid_net(norm, std=0.01), train, val, steps=60, learning_rate=0.5, every=20)
    assert runs["with"].val_accuracy[-1] > 0.9 > runs["without"].val_accuracy[-1]
    assert runs["with"].gradients[0][0] > 10 * runs["without"].gradients[0][0]


def test_a_run_is_measured_at_the_last_step_and_repeats_itself():
    images, labels = blobs(60)
    batches = [Batches(images, labels, batch_size=20, shuffle=True) for _ in range(2)]
    runs = [watch(sigmoid_net(ShiftedNorm), b, b, steps=7, learning_rate=0.1, every=3) for b in batches]
    assert runs[0] == runs[1]
    assert runs[0].steps == [3, 6, 7] and np.shape(runs[0].gradients) == (3, 4) and np.shape(runs[0].means) == (3, 100)


def test_a_level_that_was_never_reached_has_no_step():
    assert Run([1, 2], [0.2, 0.4]).steps_to(0.5) is None


@pytest.mark.parametrize("settings", [{"steps": 0}, {"every": 0}])
def test_watch_refuses_zero_steps(settings):
    with pytest.raises(ValueError, match="at least 1"):
        watch(nn.Linear(2, 2), [], [], **{"steps": 1, "learning_rate": 0.1, "every": 1} | settings)


def test_the_gap_between_modes_leaves_the_network_as_it_was_and_closes_for_large_batches():
    images, labels = blobs()
    model = sigmoid_net(nn.BatchNorm1d)
    batches = Batches(images, labels, batch_size=40, shuffle=True)
    watch(model, batches, batches, steps=60, learning_rate=0.5, every=60)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    noise = torch.randn(240, 784, generator=generator(2))
    small, large = (gap_between_modes(model, noise, size) for size in (2, 120))
    assert small > large
    assert not model.training and all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, ShiftedNorm])
def test_networks_with_either_norm_can_be_exported(tmp_path, norm):
    path = export_onnx(sigmoid_net(norm).eval(), tmp_path / "m.onnx", input_shape=(1, 28, 28))
    assert path.stat().st_size > 0
