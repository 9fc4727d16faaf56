"""Image transforms for single images (H, W, C) and, through `batch`, for stacks (N, H, W, C).

`transform(image)` and `transform.batch(images)` return new arrays (or views) and never write into their argument.
A transform that multiplies and adds a constant per channel also tells them by `affine()`, which lets a chain of them run
as one pass and lets the ONNX export put the very same preprocessing into the model file.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


class AffineTransform:
    """`scale * x + shift` per channel, in float32; scale and shift are scalars or (C,)."""

    def __init__(self, scale: ArrayLike, shift: ArrayLike):
        self.scale = np.asarray(scale, dtype=np.float32)
        self.shift = np.asarray(shift, dtype=np.float32)

    def affine(self) -> tuple[NDArray, NDArray]:
        """Return `(scale, shift)`, each a float32 scalar or (C,)."""
        return self.scale, self.shift

    def __call__(self, images: NDArray) -> NDArray:
        out = np.multiply(images, self.scale, dtype=np.float32)
        out += self.shift
        return out

    batch = __call__


class RescaleTransform(AffineTransform):
    """Map the range old_range to range_ linearly, by default [0, 255] to [0, 1].

    >>> import numpy as np
    >>> RescaleTransform(range_=(-1, 1))(np.array([[[0, 255]]], dtype=np.uint8)).tolist()
    [[[-1.0, 1.0]]]
    """

    def __init__(self, range_: Sequence[float] = (0, 1), old_range: Sequence[float] = (0, 255)):
        (low, high), (old_low, old_high) = range_, old_range
        if old_high == old_low:
            raise ValueError(f"old_range must have two different ends, got {old_range}")
        scale = (high - low) / (old_high - old_low)
        super().__init__(scale, low - scale * old_low)


class NormalizeTransform(AffineTransform):
    """Subtract the mean and divide by the standard deviation, per channel.

    Args:
        mean: scalar or (C,), in the units of the input.
        std: scalar or (C,), all positive.
    """

    def __init__(self, mean: ArrayLike, std: ArrayLike):
        std = np.asarray(std, dtype=np.float64)
        if not np.all(std > 0):
            raise ValueError(f"std must be positive in every channel, got {std}")
        super().__init__(1 / std, -np.asarray(mean, dtype=np.float64) / std)


class FlattenTransform:
    """Reshape an image (H, W, C) to (H*W*C,), and a stack (N, H, W, C) to (N, H*W*C)."""

    def __call__(self, image: NDArray) -> NDArray:
        return image.reshape(-1)

    def batch(self, images: NDArray) -> NDArray:
        """Flatten all axes but the first."""
        return images.reshape(len(images), -1)


class RandomHorizontalFlip:
    """Mirror each image left to right with probability prob; for training data only.

    Args:
        prob: in [0, 1].
        rng: source of the draws; None uses seed 0.
    """

    def __init__(self, prob: float = 0.5, rng: np.random.Generator | None = None):
        if not 0 <= prob <= 1:
            raise ValueError(f"prob must lie in [0, 1], got {prob!r}")
        self.prob = prob
        self.rng = np.random.default_rng(0) if rng is None else rng

    def __call__(self, image: NDArray) -> NDArray:
        return image[:, ::-1] if self.rng.random() < self.prob else image

    def batch(self, images: NDArray) -> NDArray:
        """Draw once per image; returns a new array when anything is mirrored."""
        chosen = self.rng.random(len(images)) < self.prob
        if not chosen.any():
            return images
        out = images.copy()
        out[chosen] = images[chosen, :, ::-1]
        return out


class ComposeTransform:
    """Apply transforms one after another; neighbouring affine ones are merged into a single pass over a batch.

    >>> import numpy as np
    >>> chain = ComposeTransform([RescaleTransform(), NormalizeTransform(0.5, 0.5), FlattenTransform()])
    >>> chain(np.array([[[0, 255]]], dtype=np.uint8)).tolist()
    [-1.0, 1.0]
    """

    def __init__(self, transforms: Sequence[Any]):
        self.transforms = list(transforms)
        self._merged = merge_affine(self.transforms)
        if all(hasattr(step, "batch") for step in self._merged):
            self.batch = self._batch

    def __call__(self, image: NDArray) -> NDArray:
        for transform in self.transforms:
            image = transform(image)
        return image

    def _batch(self, images: NDArray) -> NDArray:
        for transform in self._merged:
            images = transform.batch(images)
        return images


def merge_affine(transforms: Sequence[Any]) -> list[Any]:
    """Return an equivalent list in which no two neighbours are affine; nested ComposeTransforms are opened."""
    merged: list[Any] = []
    for transform in transforms:
        steps = merge_affine(transform.transforms) if isinstance(transform, ComposeTransform) else [transform]
        for step in steps:
            if merged and hasattr(step, "affine") and hasattr(merged[-1], "affine"):
                (a1, b1), (a2, b2) = merged[-1].affine(), step.affine()
                merged[-1] = AffineTransform(a2 * a1, a2 * b1 + b2)
            else:
                merged.append(step)
    return merged


def compute_image_mean_and_std(images: NDArray) -> tuple[NDArray, NDArray]:
    """Mean and standard deviation per channel of images (N, H, W, C), in the units of the images.

    Returns:
        `(mean, std)`, float64 (C,) each; the divisor of the variance is N*H*W.  Integer images are summed exactly.

    Raises:
        ValueError: images does not have four axes, or is empty.
    """
    images = np.asarray(images)
    if images.ndim != 4 or not images.size:
        raise ValueError(f"expected images of shape (N, H, W, C) with N >= 1, got {images.shape}")
    if images.dtype == np.uint8:
        # A histogram per channel is exact and needs no float copy of the data.
        values = np.arange(256, dtype=np.float64)
        counts = [np.bincount(images[..., c].ravel(), minlength=256) for c in range(images.shape[-1])]
        mean = np.array([count @ values / count.sum() for count in counts])
        var = np.array([count @ (values - m) ** 2 / count.sum() for count, m in zip(counts, mean, strict=True)])
        return mean, np.sqrt(var)
    return images.mean(axis=(0, 1, 2), dtype=np.float64), images.std(axis=(0, 1, 2), dtype=np.float64)
