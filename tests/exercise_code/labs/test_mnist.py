"""MNIST in tensors and in torchvision's folder: the right images, parts that never overlap, stand-ins that say so."""

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from exercise_code.data import synthetic
from exercise_code.data.registry import Source
from exercise_code.labs import mnist

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def offline(tmp_path, monkeypatch):
    monkeypatch.setenv("DATASETS_DIR", str(tmp_path / "nothing"))
    monkeypatch.setenv("DATASETS_OFFLINE", "1")
    monkeypatch.setattr(mnist, "fetch_or_stand_in", _small_stand_in)


def _small_stand_in(name, parts=("train",), stand_in_size=None):
    return Source(name, None, True, f"{name} stand-in", stand_in_size or 300)


def test_the_parts_are_all_of_the_training_part_once_and_normalised_by_train(offline):
    data = mnist.load()

    assert (len(data.train), len(data.val), data.label) == (240, 60, "mnist stand-in")
    images, labels, _ = synthetic.make("mnist", n=300)
    whole = {bytes(image) for image in images}
    parts = [{bytes(image) for image in part.pixels()} for part in (data.train, data.val)]
    assert parts[0] | parts[1] == whole
    assert not parts[0] & parts[1]
    by_image = {bytes(image): label for image, label in zip(images, labels, strict=True)}
    assert [by_image[bytes(image)] for image in data.val.pixels()] == data.val.labels.tolist()
    assert abs(data.train.images.mean().item()) < 1e-4
    assert abs(data.train.images.std().item() - 1) < 1e-3
    assert data.train.images.dtype == torch.float32 and data.train.images.shape == (240, 1, 28, 28)


def test_the_test_images_are_another_part_with_the_same_preprocessing(offline):
    data = mnist.load()
    test = data.test()

    expected, labels, _ = synthetic.make("mnist", "test", n=75)
    np.testing.assert_array_equal(test.pixels(), expected)
    assert test.labels.tolist() == labels.tolist()


def test_limits_cut_train_and_leave_validation_as_it_was(offline):
    small, usual = mnist.load(limit=17), mnist.load()

    assert len(small.train) == 17
    assert torch.equal(small.train.labels, usual.train.labels[:17])
    assert torch.equal(small.val.labels, usual.val.labels)


@pytest.mark.parametrize("wrong", [{"validation": 300}, {"validation": 0}, {"limit": 0}])
def test_parts_without_images_are_refused(offline, wrong):
    with pytest.raises(ValueError, match="validation images"):
        mnist.load(**wrong)


@pytest.mark.slow
def test_torchvision_reads_the_folder_of_the_stand_in(offline, tmp_path):
    from torchvision.datasets import MNIST
    from torchvision.transforms import ToTensor

    root = mnist.torchvision_root(tmp_path / "data")
    again = mnist.torchvision_root(root)

    assert again == root
    train, test = MNIST(root, train=True, transform=ToTensor()), MNIST(root, train=False)
    images, labels, _ = synthetic.make("mnist")
    assert (len(train), len(test)) == (10_000, 2_000)
    image, label = train[123]
    np.testing.assert_allclose(image.numpy()[0], images[123, :, :, 0] / 255, atol=1e-6)
    assert label == labels[123]
    assert sorted(path.name for path in (root / "MNIST" / "raw").iterdir()) == sorted(mnist.FILES)


@pytest.mark.slow
def test_torchvisions_data_set_gives_the_same_tensors_and_takes_its_own_transforms(offline, tmp_path):
    from torchvision.transforms.functional import invert

    data = mnist.load()
    whole, test = data.torchvision(tmp_path), data.torchvision(tmp_path, train=False, changes=[invert])

    images, labels, _ = synthetic.make("mnist")
    torch.testing.assert_close(whole[7][0], mnist.labelled(images[7:8], labels[7:8], data.transform).images[0])
    inverted = 255 - synthetic.make("mnist", "test")[0][3:4]
    torch.testing.assert_close(test[3][0], mnist.labelled(inverted, labels[:1], data.transform).images[0])
    batch, targets = next(iter(torch.utils.data.DataLoader(whole, batch_size=4)))
    assert batch.shape == (4, 1, 28, 28) and targets.tolist() == labels[:4].tolist()


def test_torchvision_is_not_loaded_before_it_is_asked_for():
    code = "import sys; from exercise_code.labs import mnist, beans; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.real_data
@pytest.mark.slow
def test_real_images_come_from_the_official_files(tmp_path):
    from exercise_code.data.errors import DatasetError
    from exercise_code.data.registry import locate

    try:
        folder = locate("mnist", ("train", "test"))
    except DatasetError as missing:
        pytest.skip(f"no real MNIST here: {missing}")
    data = mnist.load()

    assert (len(data.train), len(data.val), len(data.test()), data.label) == (55_000, 5_000, 10_000, "mnist")
    from torchvision.datasets import MNIST

    test = MNIST(mnist.torchvision_root(tmp_path), train=False)
    with gzip.open(folder / "t10k-images-idx3-ubyte.gz") as stream:
        pixels = np.frombuffer(stream.read()[16:], np.uint8).reshape(-1, 28, 28)
    np.testing.assert_array_equal(test.data.numpy(), pixels)
    np.testing.assert_array_equal(data.test().pixels()[..., 0], pixels)
