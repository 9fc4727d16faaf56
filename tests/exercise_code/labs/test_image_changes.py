"""Random changes of images: each image gets its own, within the limits, and nothing but the generator decides."""

import pytest
import torch

from exercise_code.labs import augmentation
from exercise_code.labs.augmentation import jittered, shifted
from exercise_code.labs.seeding import generator


def leaves():
    return torch.randn(24, 3, 32, 32, generator=generator(0))


@pytest.mark.parametrize("name", [name for name in augmentation.AUGMENTATIONS if name != "none"])
def test_augmentation_depends_on_its_generator_only_and_changes_nothing_it_was_given(name):
    images = leaves()
    kept = images.clone()
    change = augmentation.augmentation(name)
    first, again, other = (change(images, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other) and torch.equal(images, kept)
    assert first.shape == images.shape and first.dtype == images.dtype


def test_a_turned_image_holds_the_same_pixels():
    images = torch.randn(20, 3, 8, 8, generator=generator(3))
    out = augmentation.turned(images, generator(4))
    assert torch.equal(out.flatten(2).sort().values, images.flatten(2).sort().values)


def test_a_version_plugged_in_is_the_one_that_is_used(monkeypatch):
    monkeypatch.setattr(augmentation, "turned", lambda images, random: images + 7)
    images = leaves()
    assert torch.equal(augmentation.augmentation("turned")(images, generator(0)), images + 7)


def test_a_shifted_image_is_the_image_elsewhere_and_the_original_stays():
    images = torch.zeros(40, 1, 9, 9)
    images[:, :, 4, 4] = 1
    kept = images.clone()

    moved = shifted(images, torch.Generator().manual_seed(0), most=2)

    places = {tuple(one.nonzero()[0].tolist()) for one in moved[:, 0]}
    assert torch.equal(images, kept)
    assert moved.sum() == 40
    assert places <= {(y, x) for y in range(2, 7) for x in range(2, 7)}
    assert len(places) > 15  # of 25; every image has its own shift


def test_what_a_shift_brings_in_repeats_the_edge():
    images = torch.full((5, 2, 4, 4), -0.4)

    assert torch.equal(shifted(images, torch.Generator().manual_seed(1)), images)


def _centre(image):
    """Centre of mass (row, column) of an image (H, W)."""
    rows, columns = torch.meshgrid(torch.arange(image.shape[0]), torch.arange(image.shape[1]), indexing="ij")
    return torch.stack([(image * rows).sum(), (image * columns).sum()]) / image.sum()


def test_jitter_moves_a_blob_within_its_limits_and_every_image_by_itself():
    images = torch.zeros(60, 1, 28, 28)
    images[:, :, 12:16, 12:16] = 1
    kept = images.clone()

    moved = jittered(images, torch.Generator().manual_seed(0), shift=3, degrees=0, stretch=0)

    centres = torch.stack([_centre(one[0]) for one in moved])
    assert torch.equal(images, kept)
    assert ((centres - 13.5).abs() <= 3.05).all()
    assert ((centres - 13.5).abs().amax(0) > 2).all()  # the limits are reached in both directions
    assert len({tuple(centre.round(decimals=2).tolist()) for centre in centres}) > 50


def test_jitter_turns_and_stretches_about_the_middle():
    bar = torch.zeros(40, 1, 28, 28)
    bar[:, :, 4:24, 13:15] = 1

    turned = jittered(bar, torch.Generator().manual_seed(0), shift=0, degrees=20, stretch=0)
    stretched = jittered(bar, torch.Generator().manual_seed(0), shift=0, degrees=0, stretch=0.3)

    assert all(torch.allclose(_centre(one[0]), torch.tensor([13.5, 13.5]), atol=0.1) for one in turned)
    tops = torch.stack([_centre(one[0, :9])[1] for one in turned])
    assert tops.min() < 12 and tops.max() > 15  # the upper end goes left in some, right in others
    masses = stretched.sum((1, 2, 3))
    assert masses.min() < 30 and masses.max() > 50  # of 40
