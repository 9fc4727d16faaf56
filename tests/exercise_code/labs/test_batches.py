"""Mini-batches: every row once, an order that only seed and epoch decide, augmentation that shifts."""

import pytest
import torch

from exercise_code.labs.batches import Batches, jittered, shifted


def _rows(batches):
    return torch.cat([labels for _, labels in batches]).tolist()


@pytest.mark.parametrize("drop_last", [False, True])
def test_every_row_comes_once_with_its_label(drop_last):
    values = torch.arange(10.0)
    batches = Batches(values * 3, values, batch_size=4, shuffle=True, drop_last=drop_last)

    seen = list(batches)

    assert [len(labels) for _, labels in seen] == ([4, 4] if drop_last else [4, 4, 2])
    assert len(batches) == len(seen)
    assert all(torch.equal(images, labels * 3) for images, labels in seen)
    rows = torch.cat([labels for _, labels in seen]).tolist()
    assert len(set(rows)) == len(rows)


def test_epochs_differ_and_a_resumed_pass_sees_the_order_it_would_have_seen():
    first = Batches(torch.zeros(50), torch.arange(50), shuffle=True, seed=3)
    epochs = [_rows(first) for _ in range(3)]
    again = Batches(torch.zeros(50), torch.arange(50), shuffle=True, seed=3)
    again.set_epoch(2)

    assert epochs[0] != epochs[1] != epochs[2]
    assert _rows(again) == epochs[2]
    assert _rows(Batches(torch.zeros(50), torch.arange(50), shuffle=True, seed=4)) != epochs[0]


def test_without_shuffling_the_order_stays_and_torchs_own_generator_is_not_used():
    torch.manual_seed(0)
    state = torch.get_rng_state()

    assert _rows(Batches(torch.zeros(7), torch.arange(7), batch_size=3)) == list(range(7))
    list(Batches(torch.zeros(7), torch.arange(7), shuffle=True))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("tensors", [(), (torch.zeros(3), torch.zeros(4)), (torch.zeros(0),)])
def test_tensors_that_do_not_match_are_refused(tensors):
    with pytest.raises(ValueError, match="same number of rows"):
        Batches(*tensors)


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
