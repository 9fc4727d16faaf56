"""Bean leaves as tensors, real or stand-in: loading, augmentation, and a small convolutional network with batch norm.

Three classes, angular leaf spot, bean rust and healthy; photographs scaled to 128 x 128 pixels.  Exercise 08.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from exercise_code.data import ComposeTransform, NormalizeTransform, RescaleTransform, compute_image_mean_and_std
from exercise_code.data.cache import read_images
from exercise_code.data.registry import Source, fetch, fetch_or_stand_in
from exercise_code.labs.batches import Augment, Batches
from exercise_code.labs.seeding import seeded

NAME = "beans"
SIZE = 128  # pixels; the form in which the hidden test images come
CLASSES = ("angular_leaf_spot", "bean_rust", "healthy")
STAND_IN_VALIDATION = 133  # as many as the real data set has


@dataclass(frozen=True, eq=False)
class Leaves:
    """Some bean leaves.

    Attributes:
        images: (N, 3, S, S) float32, normalised.
        labels: (N,) int64, the position in CLASSES.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def where(self, rows: Tensor) -> "Leaves":
        """Return the leaves chosen by a mask (N,) bool or by indices (M,)."""
        return Leaves(self.images[rows], self.labels[rows])

    def smaller(self, factor: int) -> "Leaves":
        """Return the same leaves with the mean of every factor x factor square of pixels as one pixel.

        >>> Leaves(torch.zeros(2, 3, 128, 128), torch.zeros(2)).smaller(2).images.shape
        torch.Size([2, 3, 64, 64])
        """
        return Leaves(functional.avg_pool2d(self.images, factor), self.labels)

    def batches(
        self,
        batch_size: int = 32,
        *,
        shuffle: bool = False,
        seed: int = 0,
        augment: Augment | None = None,
        drop_last: bool = False,
    ) -> Batches:
        """Return batches of (images, labels); see `Batches`."""
        return Batches(
            self.images,
            self.labels,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            augment=augment,
            drop_last=drop_last,
        )


@dataclass(frozen=True, eq=False)
class Beans:
    """The data set's own training and validation part.

    Attributes:
        train: 1,034 leaves to fit weights by, and to cross-validate with.
        val: 133 leaves; never part of train.
        transform: pixels 0..255 to network input; mean and standard deviation are those of train.
        source: where the images came from; `source.label` is "beans" or "beans stand-in".
    """

    train: Leaves
    val: Leaves
    transform: ComposeTransform
    source: Source

    @property
    def label(self) -> str:
        return self.source.label

    def pixels(self, leaves: Leaves) -> NDArray[np.uint8]:
        """Return images as they were, (N, S, S, 3) uint8, for pictures; also of images that were changed since."""
        ends = self.transform.batch(np.array([0, 255], dtype=np.uint8).reshape(2, 1, 1, 1).repeat(3, axis=3))
        low, high = ends.reshape(2, 3)
        images = leaves.images.permute(0, 2, 3, 1).numpy()
        return np.clip(np.rint((images - low) / (high - low) * 255), 0, 255).astype(np.uint8)

    def test(self) -> Leaves:
        """Return the official test leaves (or those of the stand-in): to be looked at once, when all is chosen.

        Raises:
            DatasetError: the training leaves are real, but the test leaves are neither here nor to be had.
        """
        if self.source.stand_in:
            from exercise_code.data import synthetic

            count = None if self.source.stand_in_size is None else max(self.source.stand_in_size // 4, 6)
            images, labels, _ = synthetic.make(NAME, "test", n=count)
        else:
            images, labels, _ = read_images(fetch(NAME, ("test",)), ("test",), SIZE)
        return _leaves(images, labels, self.transform)


def load(*, stand_in_size: int | None = None) -> Beans:
    """Load the leaves from the registry's folder, download them, or draw the stand-in, saying so.

    Args:
        stand_in_size: leaves of the stand-in, training and validation together, at least 30; None is 1,167, as many as
            there are real ones.

    Raises:
        DatasetError: as `registry.fetch_or_stand_in`.

    >>> from unittest.mock import patch
    >>> drawn = Source("beans", root=None, stand_in=True, label="beans stand-in", stand_in_size=30)
    >>> with patch(f"{__name__}.fetch_or_stand_in", return_value=drawn):
    ...     data = load(stand_in_size=30)
    >>> len(data.train), len(data.val), tuple(data.train.images.shape[1:]), data.label
    (24, 6, (3, 128, 128), 'beans stand-in')
    """
    source = fetch_or_stand_in(NAME, ("train", "validation"), stand_in_size=stand_in_size)
    if source.stand_in:
        from exercise_code.data import synthetic

        total = 1_034 + STAND_IN_VALIDATION if source.stand_in_size is None else source.stand_in_size
        images, labels, _ = synthetic.make(NAME, n=total)
        held_back = min(STAND_IN_VALIDATION, total // 5)
        parts = [(images[held_back:], labels[held_back:]), (images[:held_back], labels[:held_back])]
    else:
        assert source.root is not None
        parts = [read_images(source.root, (part,), SIZE)[:2] for part in ("train", "validation")]
    mean, std = compute_image_mean_and_std(parts[0][0])
    transform = ComposeTransform([RescaleTransform(), NormalizeTransform(mean / 255, std / 255)])
    train, val = (_leaves(images, labels, transform) for images, labels in parts)
    return Beans(train, val, transform, source)


def turned(images: Tensor, random: torch.Generator) -> Tensor:
    """Turn and mirror every image at random: one of the eight symmetries of a square, each as likely as the others.

    A leaf that was photographed from another side is the same leaf.

    Args:
        images: (B, C, S, S) square images, not changed.
        random: the only source of the draws, which are independent for every image.

    Returns:
        A tensor of the same shape and dtype.
    """
    ### BEGIN SOLUTION 08_batch_norm
    coins = torch.rand(3, len(images), 1, 1, 1, generator=random) < 0.5
    images = torch.where(coins[0], images.flip(3), images)
    images = torch.where(coins[1], images.flip(2), images)
    return torch.where(coins[2], images.transpose(2, 3), images)
    ### END SOLUTION


def mirrored(images: Tensor, random: torch.Generator) -> Tensor:
    """Mirror every image (B, C, H, W) left to right with probability 1/2.

    >>> mirrored(torch.zeros(2, 3, 4, 4), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 3, 4, 4])
    """
    chosen = torch.rand(len(images), generator=random) < 0.5
    return torch.where(chosen[:, None, None, None], images.flip(dims=(3,)), images)


def zoomed(
    images: Tensor, random: torch.Generator, *, turn: float = 8.0, zoom: float = 0.1, move: float = 0.1
) -> Tensor:
    """Turn every image by up to `turn` degrees, scale it by 1 -+ zoom, and move it by up to `move` of half its side.

    What comes in from outside is the image's own mirror.

    Args:
        images: (B, C, H, W), not changed.
        random: source of the draws.

    >>> zoomed(torch.zeros(2, 3, 8, 8), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 3, 8, 8])
    """
    count = len(images)
    angle, scale, right, down = 2 * torch.rand(4, count, generator=random) - 1
    angle, scale = math.radians(turn) * angle, 1 + zoom * scale
    row_1 = torch.stack([scale * angle.cos(), -scale * angle.sin(), move * right], dim=1)
    row_2 = torch.stack([scale * angle.sin(), scale * angle.cos(), move * down], dim=1)
    grid = functional.affine_grid(torch.stack([row_1, row_2], dim=1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid.to(images.dtype), padding_mode="reflection", align_corners=False)


def relit(images: Tensor, random: torch.Generator, *, contrast: float = 0.2, tint: float = 0.1) -> Tensor:
    """Scale every normalised image by 1 -+ contrast and shift each of its channels by a normal number of width `tint`.

    >>> relit(torch.ones(2, 3, 4, 4), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 3, 4, 4])
    """
    scale = 1 + contrast * (2 * torch.rand(len(images), 1, 1, 1, generator=random) - 1)
    shift = tint * torch.randn(len(images), images.shape[1], 1, 1, generator=random)
    return images * scale.to(images.dtype) + shift.to(images.dtype)


AUGMENTATIONS: dict[str, tuple[str, ...]] = {
    "none": (),
    "mirrored": ("mirrored",),
    "mirrored, zoomed": ("mirrored", "zoomed"),
    "turned": ("turned",),
    "all": ("turned", "zoomed", "relit"),
}


def augmentation(name: str) -> Augment | None:
    """Return the chain of changes with this name in AUGMENTATIONS, or None for "none".

    Raises:
        ValueError: an unknown name.

    >>> augmentation("all")(torch.zeros(2, 3, 8, 8), torch.Generator()).shape
    torch.Size([2, 3, 8, 8])
    """
    if name not in AUGMENTATIONS:
        raise ValueError(f"expected an augmentation out of {', '.join(AUGMENTATIONS)}, got {name!r}")
    parts = AUGMENTATIONS[name]
    if not parts:
        return None

    def change(images: Tensor, random: torch.Generator) -> Tensor:
        for part in parts:
            images = globals()[part](images, random)  # looked up now, so that a `turned` plugged in counts
        return images

    return change


class BeanNet(nn.Module):
    """Small convolutional network for square images of 32 pixels or more: convolution, batch norm, ReLU, maximum, and again.

    The first convolution takes every second pixel; each later block has twice the channels and half the side.  After the
    last block comes the mean over all pixels, so the side of the images does not matter.

    Args:
        width: channels of the first block.
        blocks: 1 or more; the channels are width, 2 width, 4 width, 6 width, 8 width, ...
        dropout: before the last layer, in [0, 1).
        batch_norm: False leaves the norms out and gives the convolutions a bias.
        seed: of the first weights; None takes torch's shared generator as it is.

    >>> BeanNet(8)(torch.zeros(2, 3, 128, 128)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        width: int = 16,
        *,
        blocks: int = 4,
        dropout: float = 0.2,
        batch_norm: bool = True,
        seed: int | None = None,
    ):
        super().__init__()
        if width < 1 or blocks < 1 or not 0 <= dropout < 1:
            raise ValueError(
                f"expected width and blocks of at least 1, dropout in [0, 1), got {width}, {blocks}, {dropout}"
            )
        if seed is None:
            self.layers = self._build(width, blocks, dropout, batch_norm)
        else:
            with seeded(seed):
                self.layers = self._build(width, blocks, dropout, batch_norm)

    @staticmethod
    def _build(width: int, blocks: int, dropout: float, batch_norm: bool) -> nn.Sequential:
        layers: list[nn.Module] = []
        channels = 3
        for block in range(blocks):
            wider = width * max(1, 2 * block)
            side, stride = (5, 2) if block == 0 else (3, 1)
            # a bias right before batch norm has no effect
            layers.append(nn.Conv2d(channels, wider, side, stride=stride, padding=side // 2, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm2d(wider))
            layers.append(nn.ReLU())
            if block < blocks - 1:
                layers.append(nn.MaxPool2d(2))
            channels = wider
        return nn.Sequential(
            *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, len(CLASSES))
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 3) for images (N, 3, S, S)."""
        return self.layers(images)


class BothSides(nn.Module):
    """Ask a network about each image and its mirror image, and average the log-probabilities it answers.

    What was mirrored at random in training may be mirrored on purpose at test time; it costs twice as much.

    >>> BothSides(BeanNet(4).eval())(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 3])
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Return mean log-probabilities (N, 3), which serve as logits."""
        answers = [functional.log_softmax(self.model(view), dim=1) for view in (images, images.flip(3))]
        return (answers[0] + answers[1]) / 2


def _leaves(images: NDArray, labels: NDArray, transform: ComposeTransform) -> Leaves:
    ready = transform.batch(images).astype(np.float32, copy=False).transpose(0, 3, 1, 2)
    return Leaves(torch.from_numpy(np.ascontiguousarray(ready)), torch.from_numpy(labels.astype(np.int64)))
