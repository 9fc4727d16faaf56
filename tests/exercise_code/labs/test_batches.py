"""Mini-batches: every row once, an order that only seed and epoch decide."""

import pytest
import torch

from exercise_code.labs.batches import Batches


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
