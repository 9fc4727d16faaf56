"""Bean leaves: loading real folders and the stand-in, augmentation, the network, and its search."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from exercise_code.data.registry import Source
from exercise_code.labs import bean_search, beans
from exercise_code.labs.bean_net import BeanNet, BothSides
from exercise_code.labs.bean_search import BeanObjective, cross_validated, split_leaves, train_bean_net
from exercise_code.labs.beans import CLASSES
from exercise_code.labs.images import LabelledImages
from exercise_code.labs.networks import parameter_count
from exercise_code.labs.seeding import generator
from exercise_code.onnx_export import count_parameters, export_onnx


def coloured(count=24, side=32):
    """Leaves whose class is the channel that shines."""
    labels = torch.arange(count) % 3
    images = torch.randn(count, 3, side, side, generator=generator(0)) * 0.1
    images[torch.arange(count), labels] += 1
    return LabelledImages(images, labels)


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(
        beans, "fetch_or_stand_in", lambda *_, **__: Source("beans", None, True, "beans stand-in", stand_in_size=30)
    )
    return beans.load(stand_in_size=30)


def test_photographs_of_any_size_come_as_128_pixels(tmp_path, monkeypatch):
    for part, count in (("train", 3), ("validation", 1)):
        for number, name in enumerate(CLASSES):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (500, 500), (80 * number, 40 * i, 100 + 20 * i)).save(folder / f"{i}.png")
    monkeypatch.setattr(beans, "fetch_or_stand_in", lambda *_, **__: Source("beans", tmp_path, False, "beans", None))
    data = beans.load()
    assert data.train.images.shape == (9, 3, 128, 128) and data.val.images.shape == (3, 3, 128, 128)
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    red = data.val.pixels()[:, 0, 0, 0]
    assert red.tolist() == [0, 80, 160]


def test_the_stand_in_is_cut_into_parts_that_do_not_overlap(stand_in):
    together = torch.cat([stand_in.train.images, stand_in.val.images]).flatten(1)
    assert len(stand_in.val) == 6 and len(torch.unique(together, dim=0)) == 30
    assert stand_in.test().images.shape == (7, 3, 128, 128)


def test_train_has_mean_0_and_deviation_1(stand_in):
    assert stand_in.train.images.mean(dim=(0, 2, 3)).abs().max() < 1e-3
    torch.testing.assert_close(stand_in.train.images.std(dim=(0, 2, 3)), torch.ones(3), rtol=1e-2, atol=1e-2)


def test_the_convolutions_have_a_bias_only_where_no_norm_follows():
    for batch_norm in (True, False):
        convolutions = [layer for layer in BeanNet(8, batch_norm=batch_norm).layers if hasattr(layer, "kernel_size")]
        with_bias = {layer.bias is not None for layer in convolutions if isinstance(layer, torch.nn.Conv2d)}
        assert with_bias == {not batch_norm}
    # by hand: 5*5*3*16, 9*16*32, 9*32*64, 9*64*96, two numbers per channel of the norms, 96*3 + 3
    assert parameter_count(BeanNet(16)) == 1200 + 4608 + 18432 + 55296 + 2 * (16 + 32 + 64 + 96) + 291


def test_both_sides_says_the_same_about_an_image_and_its_mirror_image():
    model = BothSides(BeanNet(4, seed=0).eval())
    images = coloured(6).images
    torch.testing.assert_close(model(images), model(images.flip(3)))
    torch.testing.assert_close(model(images).exp().sum(1), torch.ones(6), rtol=0.2, atol=0.2)


@pytest.mark.parametrize("wrap", [lambda net: net, BothSides], ids=["plain", "both sides"])
def test_the_network_fits_the_contract_of_the_board(tmp_path, wrap):
    path = export_onnx(wrap(BeanNet(8, seed=0).eval()), tmp_path / "m.onnx", input_shape=(3, 128, 128))
    assert count_parameters(path.read_bytes()) < 5_000_000


def test_a_small_network_learns_colours_and_does_it_again_with_the_same_seed():
    leaves = coloured(48)
    config = {"width": 4, "blocks": 2, "learning_rate": 2e-2, "batch_size": 8, "augmentation": "turned"}
    runs = [train_bean_net(config, leaves, leaves, 6, seed=1)[1] for _ in range(2)]
    assert runs[0] == runs[1] and runs[0].val_accuracy[-1] > 0.9


def test_a_misspelt_hyper_parameter_is_refused():
    with pytest.raises(ValueError, match="learning_rat"):
        train_bean_net({"learning_rat": 1}, coloured(), coloured(), 1)


def test_the_objective_gives_the_last_epochs_loss(monkeypatch):
    history = SimpleNamespace(val_loss=[0.2, 0.5], val_accuracy=[0.9, 0.8], stopped="epochs")
    monkeypatch.setattr(bean_search, "train_bean_net", lambda *_, **__: (None, history))
    assert BeanObjective(coloured(), coloured())({}, SimpleNamespace(epochs=2)) == {"value": 0.5, "accuracy": 0.8}
    history.stopped = "diverged"
    assert np.isnan(BeanObjective(coloured(), coloured())({}, SimpleNamespace(epochs=2))["value"])


def test_folds_are_the_same_for_every_configuration_and_cover_all_leaves(monkeypatch):
    seen = []

    def train(config, train, val, epochs, *, seed):
        seen.append((config["width"], val.images[:, 0, 0, 0].tolist(), seed))
        return None, SimpleNamespace(val_accuracy=[0.5])

    monkeypatch.setattr(bean_search, "train_bean_net", train)
    leaves = coloured(15)
    for width in (1, 2):
        assert cross_validated({"width": width}, leaves, 1, folds=3, repeats=2) == [0.5] * 6
    assert [row[1:] for row in seen[:6]] == [row[1:] for row in seen[6:]]
    assert sorted(value for row in seen[:3] for value in row[1]) == sorted(leaves.images[:, 0, 0, 0].tolist())
    assert seen[0][1] != seen[3][1]


def test_what_is_held_back_is_stratified():
    rest, held_back = split_leaves(coloured(30))
    assert len(rest) == 20 and torch.bincount(held_back.labels).tolist() in ([4, 3, 3], [3, 4, 3], [3, 3, 4])
