"""MNIST as tensors, real or stand-in, and as the folder that torchvision's own data set class reads."""

import gzip
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.data.cache import read_images
from exercise_code.data.registry import Source, fetch, fetch_or_stand_in
from exercise_code.labs.images import LabelledImages, TrainingData, labelled, normalisation

NAME = "mnist"
SPLIT_SEED = 0
VALIDATION = 5_000  # images of the training part that settings are chosen by
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


class Mnist(TrainingData):
    """MNIST's training part, cut in two."""

    def test(self) -> LabelledImages:
        """Return the official test images (or those of the stand-in): to be looked at once, when all is chosen.

        Raises:
            DatasetError: the training images are real, but the test images are neither here nor to be had.

        >>> from unittest.mock import patch
        >>> drawn = Source("mnist", root=None, stand_in=True, label="mnist stand-in", stand_in_size=100)
        >>> with patch(f"{__name__}.fetch_or_stand_in", return_value=drawn):
        ...     data = load()
        >>> data.label, len(data.test())
        ('mnist stand-in', 25)
        """
        if self.source.stand_in:
            from exercise_code.data import synthetic

            size = self.source.stand_in_size
            images, labels, _ = synthetic.make(NAME, "test", n=None if size is None else max(size // 4, 10))
        else:
            images, labels, _ = read_images(fetch(NAME, ("test",)), ("test",))
        return labelled(images, labels, self.transform)

    def torchvision(self, root: Path | str, *, train: bool = True, changes: Sequence[Callable[[Any], Any]] = ()) -> Any:
        """Return a `torchvision.datasets.MNIST` of all official images, with the same normalisation, for a DataLoader.

        Its training part is train and val together, so choose settings on a part that you hold back yourself.

        Args:
            root: where `torchvision_root` puts the files.
            train: the 60,000 training images, else the 10,000 test images.
            changes: torchvision transforms of a PIL image that come first, such as `transforms.RandomRotation(10)`.

        Raises:
            DatasetError: as `registry.fetch_or_stand_in`.
        """
        from torchvision import datasets, transforms

        ends = np.array([0, 255], dtype=np.uint8).reshape(2, 1, 1, 1)
        low, high = self.transform.batch(ends).reshape(2).tolist()
        normalize = transforms.Normalize((-low / (high - low),), (1 / (high - low),))
        steps = transforms.Compose([*changes, transforms.ToTensor(), normalize])
        return datasets.MNIST(torchvision_root(root), train=train, transform=steps)


def load(*, validation: int | None = None, limit: int | None = None, stand_in_size: int | None = None) -> Mnist:
    """Load MNIST from the registry's folders, download it, or draw its stand-in, saying so.

    Args:
        validation: images that are held back from the training part, the same ones on every machine; None means 5,000,
            but at most a fifth of all.
        limit: keep only so many training images.
        stand_in_size: images of the stand-in, training and validation together; None is its usual 10,000.

    Raises:
        DatasetError: as `registry.fetch_or_stand_in`.
        ValueError: validation or limit leaves no image for a part.

    >>> from unittest.mock import patch
    >>> drawn = Source("mnist", root=None, stand_in=True, label="mnist stand-in", stand_in_size=100)
    >>> with patch(f"{__name__}.fetch_or_stand_in", return_value=drawn):
    ...     data = load()
    >>> len(data.train), len(data.val), data.train.images.shape[1:], data.label
    (80, 20, torch.Size([1, 28, 28]), 'mnist stand-in')
    """
    source = fetch_or_stand_in(NAME, stand_in_size=stand_in_size)
    images, labels = _training_part(source)
    count = min(VALIDATION, len(labels) // 5) if validation is None else validation
    if not 1 <= count < len(labels) or (limit is not None and limit < 1):
        raise ValueError(
            f"expected 1 to {len(labels) - 1} validation images and a limit of at least 1, got {count}, {limit}"
        )
    order = np.random.default_rng(SPLIT_SEED).permutation(len(labels))
    val, train = order[:count], order[count:][:limit]
    transform = normalisation(images[train])
    return Mnist(
        labelled(images[train], labels[train], transform),
        labelled(images[val], labels[val], transform),
        transform,
        source,
    )


def torchvision_root(root: Path | str) -> Path:
    """Write the four files that `torchvision.datasets.MNIST(root)` looks for, in `root`/MNIST/raw, and return root.

    They come from the registry's folders, a download, or the stand-in.  Files that are there already stay.

    Raises:
        DatasetError: as `registry.fetch_or_stand_in`.

    >>> from unittest.mock import patch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = Source("mnist", root=Path(folder), stand_in=False, label="mnist")
    ...     made = [(found.root / name).touch() for name in FILES]
    ...     with patch(f"{__name__}.fetch_or_stand_in", return_value=found):
    ...         root = torchvision_root(found.root / "for_torchvision")
    ...     sorted(path.name for path in (root / "MNIST" / "raw").iterdir()) == sorted(FILES)
    True
    """
    root = Path(root)
    raw = root / "MNIST" / "raw"
    if all((raw / name).is_file() for name in FILES):
        return root
    source = fetch_or_stand_in(NAME, ("train", "test"))
    raw.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=raw, prefix=".unfinished-") as scratch:
        folder = Path(scratch) if source.root is None else source.root
        if source.root is None:
            from exercise_code.data import synthetic
            from exercise_code.data.synthetic_files import write_layout

            for part in synthetic.PARTS:
                write_layout(NAME, part, *synthetic.make(NAME, part), folder)
        for name in FILES:
            if not (raw / name).is_file():
                _unpacked(folder, name, Path(scratch) / name).replace(raw / name)
    return root


def _unpacked(folder: Path, name: str, target: Path) -> Path:
    """Copy an idx file, decompressing it where it is compressed."""
    packed = folder / f"{name}.gz"
    with gzip.open(packed) if packed.is_file() else (folder / name).open("rb") as stream, target.open("wb") as out:
        shutil.copyfileobj(stream, out)
    return target


def _training_part(source: Source) -> tuple[NDArray, NDArray]:
    if source.stand_in:
        from exercise_code.data import synthetic

        images, labels, _ = synthetic.make(NAME, n=source.stand_in_size)
    else:
        assert source.root is not None
        images, labels, _ = read_images(source.root)
    return images, labels
