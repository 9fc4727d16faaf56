"""Image data sets that hold their pixels once as uint8 and transform them when they are asked for.

A float32 copy of CIFAR-10's 50,000 training images takes 614 MB, the uint8 pixels 154 MB.  A batch of 256 is
fetched from them in a third of the time and turned into floats in a quarter of a millisecond.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPLIT_SEED = 0
DEFAULT_SPLIT = {"train": 0.6, "val": 0.2, "test": 0.2}


class Dataset(ABC):
    """A sequence of samples; each is a dict with at least "image" and "label".

    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 3
    ...     def __getitem__(self, index):
    ...         return {"image": np.full((2, 2, 1), index**2), "label": index}
    >>> Squares()[2]["image"].ravel().tolist()
    [4, 4, 4, 4]
    """

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> dict[str, Any]: ...


class ArrayDataset(Dataset):
    """Images and labels that lie in memory.

    Args:
        images: (N, H, W, C) uint8 in 0..255, or floats; never copied, never written to.
        labels: (N,) integers.
        transform: applied to an image when it is read; None gives the image as it is.
        classes: names of the classes, by label.

    Raises:
        ValueError: images and labels differ in number.

    >>> dataset = ArrayDataset(np.zeros((5, 32, 32, 3), dtype=np.uint8), [3, 1, 4, 1, 5])
    >>> len(dataset), dataset[2]["label"], dataset.batch(np.array([0, 4]))["image"].shape
    (5, 4, (2, 32, 32, 3))
    """

    def __init__(self, images: NDArray, labels: NDArray, transform: Any = None, classes: tuple[str, ...] = ()):
        labels = np.asarray(labels)
        if len(images) != len(labels):
            raise ValueError(f"expected as many labels as images, got {len(labels)} for {len(images)} images")
        self.images = images
        self.labels = labels
        self.transform = transform
        self.classes = tuple(classes)
        self._indices = np.arange(len(labels))  # which of the images are this data set's own; a part has fewer

    def __len__(self) -> int:
        """Number of samples of this data set."""
        ### BEGIN SOLUTION 02_solver
        return len(self._indices)
        ### END SOLUTION

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return `{"image": transformed image, "label": int}`; IndexError beyond the end."""
        ### BEGIN SOLUTION 02_solver
        i = self._indices[index]
        image = self.images[i]
        if self.transform is not None:
            image = self.transform(image)
        return {"image": image, "label": int(self.labels[i])}
        ### END SOLUTION

    def batch(self, indices: NDArray) -> dict[str, NDArray]:
        """Return `{"image": (B, ...), "label": (B,) int64}`, new arrays, for indices (B,) into this data set."""
        chosen = self._indices[indices]
        images = self.images[chosen]
        if hasattr(self.transform, "batch"):
            images = self.transform.batch(images)
        elif self.transform is not None:
            images = np.stack([self.transform(image) for image in images])
        return {"image": images, "label": self.labels[chosen].astype(np.int64, copy=False)}

    def pixels(self) -> NDArray:
        """Return a copy of this data set's own images as they are stored, (N, H, W, C), without the transform."""
        return self.images[self._indices]


class ImageFolderDataset(ArrayDataset):
    """One part (train, val or test) of an image data set on disk (lecture 004, exercise 3).

    The parts share one copy of the pixels.  Image files are decoded once and kept in `exercise_code.data.cache`.

    Args:
        transform: see `ArrayDataset`.
        mode: "train", "val" or "test".
        limit_files: keep only the first so many images of the part; None keeps all.
        split: fractions of the parts, adding up to 1; the order is one fixed permutation, so parts never overlap and
            are the same on every machine.
        root: folder in a layout that `exercise_code.data.readers` understands (CIFAR-10 binary batches, MNIST idx files,
            or a folder per class), or a Source from `exercise_code.data.registry`, which may be a stand-in.
        download_url: archive to download and unpack to root when root does not exist.
        size: side, or (H, W), to which image files are scaled; needed when their sizes differ.

    Attributes: images, labels (of the whole data set; use indexing for the part's own), classes, class_to_idx.

    Raises:
        ValueError: an unknown mode, a split that does not add up to 1, a limit below 1, an unreadable root.

    >>> from exercise_code.data.registry import Source
    >>> stand_in = Source("cifar10", root=None, stand_in=True, label="cifar10 stand-in", stand_in_size=50)
    >>> [len(ImageFolderDataset(mode=mode, root=stand_in)) for mode in ("train", "val", "test")]
    [30, 10, 10]
    """

    def __init__(
        self,
        transform: Any = None,
        mode: str = "train",
        limit_files: int | None = None,
        split: Mapping[str, float] | None = None,
        root: Any = None,
        download_url: str | None = None,
        size: int | tuple[int, int] | None = None,
    ):
        images, labels, classes = load_images(root, download_url, size)
        super().__init__(images, labels, transform, classes)
        self.root = root
        self.mode = mode
        self.split = dict(DEFAULT_SPLIT if split is None else split)
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}
        self._indices = self.select_split(len(labels), mode, self.split)
        if limit_files is not None:
            if limit_files < 1:
                raise ValueError(f"limit_files must be at least 1 or None, got {limit_files!r}")
            self._indices = self._indices[:limit_files]

    @staticmethod
    def select_split(n: int, mode: str, split: Mapping[str, float]) -> NDArray:
        """Return the indices (int64) of the part `mode` among n images, in a fixed random order.

        Every image belongs to exactly one part, and a part holds its fraction of the images, give or take one.
        """
        if mode not in split:
            raise ValueError(f"expected mode to be one of {', '.join(split)}, got {mode!r}")
        if not math.isclose(sum(split.values()), 1.0, abs_tol=1e-9) or min(split.values()) < 0:
            raise ValueError(f"expected split fractions that add up to 1, got {dict(split)}")
        order = np.random.default_rng(SPLIT_SEED).permutation(n)
        ### BEGIN SOLUTION 02_solver
        names = list(split)
        ends = np.rint(np.cumsum([split[name] for name in names]) * n).astype(int)
        position = names.index(mode)
        start = ends[position - 1] if position else 0
        return order[start : ends[position]]
        ### END SOLUTION


def load_images(
    root: Any, download_url: str | None = None, size: int | tuple[int, int] | None = None
) -> tuple[NDArray, NDArray, tuple[str, ...]]:
    """Read all images of a folder or Source, for the arguments see `ImageFolderDataset`.

    Returns:
        `(images, labels, classes)`: uint8 (N, H, W, C), integers (N,), both read-only and shared by all who ask, and the names.

    Raises:
        ValueError: no root, or one that cannot be read.

    >>> from exercise_code.data.registry import Source
    >>> images, labels, classes = load_images(Source("cifar10", None, stand_in=True, label="", stand_in_size=50))
    >>> images.shape, labels.shape, len(classes)
    ((50, 32, 32, 3), (50,), 10)
    """
    if root is None:
        raise ValueError(
            "expected root=, the folder of the images; "
            'fetch_or_stand_in("cifar10") of exercise_code.data.registry finds or downloads one'
        )
    if hasattr(root, "stand_in"):  # a Source
        if root.stand_in:
            return _stand_in(root.name, root.stand_in_size)
        root = root.root
    path = Path(root)
    if download_url is not None and not path.exists():
        from exercise_code.data.registry import download_archive

        download_archive(download_url, path)
    from exercise_code.data.cache import read_images

    return _frozen(*read_images(path, size=size))


@lru_cache(maxsize=2)  # as read_images does for folders
def _stand_in(name: str, size: int | None) -> tuple[NDArray, NDArray, tuple[str, ...]]:
    from exercise_code.data import synthetic

    return _frozen(*synthetic.make(name, n=size))


def _frozen(images: NDArray, labels: NDArray, classes: tuple[str, ...]) -> tuple[NDArray, NDArray, tuple[str, ...]]:
    images.flags.writeable = False
    labels.flags.writeable = False
    return images, labels, tuple(classes)
