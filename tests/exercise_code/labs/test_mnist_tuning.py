"""The training function behind the search of exercise 06."""

import math

import pytest
import torch

from exercise_code.labs.images import LabelledImages
from exercise_code.labs.mnist import Mnist
from exercise_code.labs.mnist_tuning import DEFAULTS, augmentation, optimizer_maker, schedule_for, train_config


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % 10
    images = 0.3 * torch.randn(120, 1, 28, 28, generator=generator)
    images[torch.arange(120), 0, 2 * labels] += 2.0  # a bright row tells the class
    whole = LabelledImages(images, labels)
    return Mnist(whole.where(torch.arange(120) < 80), whole.where(torch.arange(120) >= 80), None, None)


def test_the_defaults_learn_and_the_model_is_the_one_of_the_best_epoch(data):
    model, history = train_config(DEFAULTS, data, 8)

    right = (model(data.val.images).argmax(1) == data.val.labels).double().mean().item()
    assert history.epochs == 8 and right == history.best_accuracy > 0.9
    assert not model.training


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "sgd"}, {"lr": 2e-3}, {"batch_size": 32}, {"dropout": 0.3}, {"weight_decay": 0.1},
        {"schedule": "cosine"}, {"schedule": "one_cycle"}, {"shift": 1},
    ],
)  # fmt: skip
def test_every_setting_changes_the_trained_weights(data, change):
    first, again, other = (train_config(DEFAULTS | settings, data, 2)[0].state_dict() for settings in ({}, {}, change))

    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_width_and_depth_shape_the_network_also_as_floats_from_quniform(data):
    model, _ = train_config(DEFAULTS | {"width": 32.0, "depth": 3}, data, 1)

    assert [tuple(w.shape) for w in model.parameters() if w.ndim == 2] == [(32, 784), (32, 32), (32, 32), (10, 32)]


def test_weight_decay_is_decoupled_for_adam():
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    weight.grad = torch.tensor([0.0])
    optimizer_maker("adam", 0.1, 0.5)([weight]).step()

    assert weight.item() == pytest.approx(2.0 * (1 - 0.1 * 0.5))


def test_schedules_reach_their_end_with_the_last_step():
    assert schedule_for("cosine", 0.1, 50)(50) == 0 and schedule_for("constant", 0.1, 50) is None
    assert max(schedule_for("one_cycle", 0.1, 50)(step) for step in range(50)) == pytest.approx(0.1, rel=0.01)
    assert math.isclose(schedule_for("one_cycle", 0.1, 50)(49), 0.1 / 25 / 1e4)


def test_unknown_names_are_refused_with_those_that_exist():
    with pytest.raises(ValueError, match='"adam" or "sgd", got \'rmsprop\''):
        optimizer_maker("rmsprop", 0.1)
    with pytest.raises(ValueError, match="one_cycle"):
        schedule_for("step", 0.1, 10)


def test_augmentation_moves_images_by_no_more_than_the_shift():
    image = torch.zeros(50, 1, 9, 9)
    image[:, :, 4, 4] = 1.0
    moved = augmentation(2)(image, torch.Generator().manual_seed(0))

    places = moved.flatten(1).argmax(1)
    assert augmentation(0) is None
    assert ((places // 9 - 4).abs() <= 2).all() and ((places % 9 - 4).abs() <= 2).all() and len(places.unique()) > 10
