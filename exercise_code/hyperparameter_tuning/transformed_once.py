"""Loaders whose images go through a fixed transform once for a whole search instead of once per epoch of every trial."""

import copy
from typing import Any

import numpy as np

from exercise_code.data import ArrayDataset, ComposeTransform, FlattenTransform, ImageFolderDataset
from exercise_code.data.dataloader import BatchReader
from exercise_code.data.subset import Subset
from exercise_code.data.transforms import AffineTransform, NormalizeTransform, RescaleTransform, merge_affine

MOST_BYTES = 1 << 29  # of transformed images; 42,000 of CIFAR-10's in float32
FIXED_TRANSFORMS = (AffineTransform, RescaleTransform, NormalizeTransform, FlattenTransform)
PLAIN_DATASETS = (ArrayDataset, ImageFolderDataset)


def transformed_once(loader: Any) -> Any:
    """Return a loader that gives the same batches, to the last bit, from images that have been transformed already.

    Args:
        loader: any loader; it is returned as it is unless its data set is one of `PLAIN_DATASETS` (or a `Subset` of one), its
            transform is made of `FIXED_TRANSFORMS` only, which never draw anything, and the result fits into `MOST_BYTES`.

    >>> from exercise_code.data import DataLoader
    >>> pixels = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)
    >>> loader = DataLoader(ArrayDataset(pixels, [0, 1], RescaleTransform((0, 255))), batch_size=2)
    >>> once = transformed_once(loader)
    >>> once.dataset.images.dtype, once.dataset.transform, next(iter(once))["image"].ravel().tolist()
    (dtype('float32'), None, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    """
    dataset: Any = getattr(loader, "dataset", None)
    transform, stored = getattr(dataset, "transform", None), dataset
    while isinstance(stored, Subset):
        stored = stored._dataset
    if not isinstance(loader, BatchReader) or type(stored) not in PLAIN_DATASETS or not _is_fixed(transform):
        return loader
    count = len(dataset)
    if count * dataset.batch(np.arange(1))["image"].nbytes > MOST_BYTES:
        return loader
    whole = dataset.batch(np.arange(count))
    once = copy.copy(loader)
    once.dataset = ArrayDataset(whole["image"], whole["label"], classes=stored.classes)
    return once


def _is_fixed(transform: Any) -> bool:
    steps = merge_affine([transform]) if isinstance(transform, ComposeTransform) else [transform]
    return all(type(step) in FIXED_TRANSFORMS for step in steps)
