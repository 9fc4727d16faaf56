"""Images with their labels as tensors, normalised and ready for a network."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from exercise_code.data import ComposeTransform, NormalizeTransform, RescaleTransform, compute_image_mean_and_std
from exercise_code.data.registry import Source
from exercise_code.labs.batches import Augment, Batches


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Some images of a data set.

    Attributes:
        images: (N, C, H, W) float32, normalised.
        labels: (N,) int64, the positions of the classes.
        transform: what made images from pixels in 0..255, `Rescale` and `Normalize`; `submit` writes it into the model file.
            None means that the images are pixels.

    >>> digits = LabelledImages(torch.zeros(6, 1, 28, 28), torch.arange(6))
    >>> len(digits), len(digits.where(digits.labels != 3)), len(digits.batches(4))
    (6, 5, 2)
    """

    images: Tensor
    labels: Tensor
    transform: ComposeTransform | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def where(self, rows: Tensor) -> Self:
        """Return the images chosen by a mask (N,) bool or by indices (M,)."""
        return replace(self, images=self.images[rows], labels=self.labels[rows])

    def smaller(self, factor: int) -> Self:
        """Return the same images with the mean of every factor x factor square of pixels as one pixel.

        >>> LabelledImages(torch.zeros(2, 3, 128, 128), torch.zeros(2)).smaller(2).images.shape
        torch.Size([2, 3, 64, 64])
        """
        return replace(self, images=functional.avg_pool2d(self.images, factor))

    def changed(self, change: Augment, random: torch.Generator) -> Self:
        """Return the same images after a change at random, to look at; `batches` does it anew in every epoch."""
        return replace(self, images=change(self.images, random))

    def batches(self, batch_size: int = 128, **settings: Any) -> Batches:
        """Return batches of (images, labels); settings as of `Batches`: shuffle, seed, augment, drop_last."""
        return Batches(self.images, self.labels, batch_size=batch_size, **settings)

    def pixels(self) -> NDArray[np.uint8]:
        """Return the images as they were, (N, H, W, C) uint8, for pictures."""
        images = self.images.permute(0, 2, 3, 1).numpy()
        if self.transform is not None:
            ends = np.array([0, 255], dtype=np.uint8).reshape(2, 1, 1, 1).repeat(images.shape[3], axis=3)
            low, high = self.transform.batch(ends).reshape(2, -1)  # (C,) each
            images = (images - low) / (high - low) * 255
        return np.clip(np.rint(images), 0, 255).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The part of a data set that weights and settings may depend on.

    Attributes:
        train: to fit weights by.
        val: to choose settings by; never overlaps with train.
        transform: pixels 0..255 to network input; mean and standard deviation are those of train.
        source: where the images came from.

    >>> source = Source("mnist", root=None, stand_in=True, label="mnist stand-in")
    >>> images = LabelledImages(torch.zeros(6, 1, 28, 28), torch.arange(6))
    >>> TrainingData(images, images.where(images.labels > 9), ComposeTransform([]), source).label
    'mnist stand-in'
    """

    train: LabelledImages
    val: LabelledImages
    transform: ComposeTransform
    source: Source

    @property
    def label(self) -> str:
        """Name of the data set, with a remark when it is a stand-in."""
        return self.source.label


def normalisation(pixels: NDArray) -> ComposeTransform:
    """Return the transform after which these images (N, H, W, C) uint8 have mean 0 and standard deviation 1 per channel.

    >>> pixels = np.array([0, 255], dtype=np.uint8).reshape(2, 1, 1, 1)
    >>> normalisation(pixels).batch(pixels).ravel().tolist()
    [-1.0, 1.0]
    """
    mean, std = compute_image_mean_and_std(pixels)
    return ComposeTransform([RescaleTransform(), NormalizeTransform(mean / 255, std / 255)])


def labelled(pixels: NDArray, labels: NDArray, transform: ComposeTransform) -> LabelledImages:
    """Return images (N, H, W, C) uint8 with their labels (N,) as tensors, transformed.

    >>> one = np.full((1, 2, 2, 3), 255, dtype=np.uint8)
    >>> labelled(one, np.array([2]), ComposeTransform([RescaleTransform()])).images.shape
    torch.Size([1, 3, 2, 2])
    """
    ready = transform.batch(pixels).astype(np.float32, copy=False).transpose(0, 3, 1, 2)  # (N, C, H, W)
    tensors = torch.from_numpy(np.ascontiguousarray(ready)), torch.from_numpy(labels.astype(np.int64))
    return LabelledImages(*tensors, transform)
