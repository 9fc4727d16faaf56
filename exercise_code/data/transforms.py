"""Image transforms for single images (H, W, C) and, through `batch`, for stacks (N, H, W, C).

`transform(image)` and `transform.batch(images)` return new arrays (or views) and never write into their argument.
A transform that multiplies and adds a constant per channel also tells them by `affine()`, which lets a chain of them run
as one pass and lets the ONNX export put the very same preprocessing into the model file.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exercise_code.data.augmentation import RandomHorizontalFlip as RandomHorizontalFlip  # where I2DL has it

HISTOGRAM_PIXELS = 1 << 19  # counted at a time: bincount makes an int64 copy of what it counts


class AffineTransform:
    """`scale * x + shift` per channel, in float32.

    Args:
        scale: scalar or (C,).
        shift: scalar or (C,).

    >>> import numpy as np
    >>> AffineTransform(scale=[1, 10], shift=0.5)(np.array([[[1, 2]]], dtype=np.uint8)).tolist()
    [[[1.5, 20.5]]]
    """

    def __init__(self, scale: ArrayLike, shift: ArrayLike):
        self.scale = np.asarray(scale, dtype=np.float32)
        self.shift = np.asarray(shift, dtype=np.float32)

    def affine(self) -> tuple[NDArray, NDArray]:
        """Return `(scale, shift)`, each a float32 scalar or (C,)."""
        return self.scale, self.shift

    def __call__(self, images: NDArray) -> NDArray:
        """Return a new float32 array of the shape of images (..., C)."""
        images = np.asarray(images)
        if images.ndim < 2 or not {self.scale.shape, self.shift.shape} <= {(), images.shape[-1:]}:
            return images.astype(np.float32) * self.scale + self.shift
        # Each image is one long row against rows of repeated constants: NumPy's inner loop then runs over thousands of
        # numbers instead of C, seven times as fast, and twice as fast as looking every byte up in a table.
        pixels = math.prod(images.shape[1:-1])
        rows = images.reshape(len(images), pixels * images.shape[-1])
        # A product of bytes and floats would convert in small pieces, a tenth slower in all.
        out = rows.astype(np.float32)
        out *= np.tile(self.scale, pixels) if self.scale.ndim else self.scale
        out += np.tile(self.shift, pixels) if self.shift.ndim else self.shift
        return out.reshape(images.shape)

    batch = __call__


class RescaleTransform(AffineTransform):
    """Map the range old_range to range_ linearly, by default [0, 255] to [0, 1]; the result is float32.

    Args:
        range_: (low, high) of the result.
        old_range: (low, high) of the images.

    Raises:
        ValueError: old_range has two equal ends.

    >>> import numpy as np
    >>> RescaleTransform(range_=(-1, 1))(np.array([[[0, 255]]], dtype=np.uint8)).tolist()
    [[[-1.0, 1.0]]]
    """

    def __init__(self, range_: Sequence[float] = (0, 1), old_range: Sequence[float] = (0, 255)):
        (low, high), (old_low, old_high) = range_, old_range
        if old_high == old_low:
            raise ValueError(f"old_range must have two different ends, got {old_range}")
        ### BEGIN SOLUTION 02_solver
        scale = (high - low) / (old_high - old_low)
        super().__init__(scale, low - scale * old_low)
        ### END SOLUTION


class NormalizeTransform(AffineTransform):
    """`(x - mean) / std` per channel; the result is float32.

    Args:
        mean: scalar or (C,), in the units of the input.
        std: scalar or (C,), all positive.

    Raises:
        ValueError: a std that is not positive.

    >>> import numpy as np
    >>> NormalizeTransform(mean=[1, 2, 3], std=2)(np.array([[[3, 4, 5]]], dtype=np.float32)).tolist()
    [[[1.0, 1.0, 1.0]]]
    """

    def __init__(self, mean: ArrayLike, std: ArrayLike):
        std = np.asarray(std, dtype=np.float64)
        if not np.all(std > 0):
            raise ValueError(f"std must be positive in every channel, got {std}")
        ### BEGIN SOLUTION 02_solver
        super().__init__(1 / std, -np.asarray(mean, dtype=np.float64) / std)
        ### END SOLUTION


class FlattenTransform:
    """Reshape an image (H, W, C) to (H*W*C,), and a stack (N, H, W, C) to (N, H*W*C).

    >>> import numpy as np
    >>> FlattenTransform()(np.zeros((32, 32, 3))).shape
    (3072,)
    """

    def __call__(self, image: NDArray) -> NDArray:
        return image.reshape(-1)

    def batch(self, images: NDArray) -> NDArray:
        """Flatten all axes but the first."""
        return images.reshape(len(images), math.prod(images.shape[1:]))


class ComposeTransform:
    """Apply transforms one after another.

    Over a batch, neighbouring affine transforms are merged into one and flips run before them, on the stored uint8; the
    result is the same up to rounding.

    Args:
        transforms: callables that take and return an image; a batch is given whole to those that have `batch`, and image
            by image to a chain with any other.

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
    """Return an equivalent list in which no two neighbours are affine; nested ComposeTransforms are opened.

    A flip changes places with an affine transform before it, for which the place of a pixel does not matter.

    >>> [type(step).__name__ for step in merge_affine([RescaleTransform(), RandomHorizontalFlip(), NormalizeTransform(0, 1)])]
    ['RandomHorizontalFlip', 'AffineTransform']
    """
    merged: list[Any] = []
    for transform in transforms:
        steps = merge_affine(transform.transforms) if isinstance(transform, ComposeTransform) else [transform]
        for step in steps:
            if merged and hasattr(step, "affine") and hasattr(merged[-1], "affine"):
                (a1, b1), (a2, b2) = merged[-1].affine(), step.affine()
                merged[-1] = AffineTransform(a2 * a1, a2 * b1 + b2)
            elif merged and hasattr(merged[-1], "affine") and getattr(step, "moves_pixels_only", False):
                merged.insert(-1, step)
            else:
                merged.append(step)
    return merged


def compute_image_mean_and_std(images: NDArray) -> tuple[NDArray, NDArray]:
    """Mean and standard deviation per channel of images (N, H, W, C), in the units of the images.

    Returns:
        `(mean, std)`, float64 (C,) each; the divisor of the variance is N*H*W.  Integer images are summed exactly.

    Raises:
        ValueError: images does not have four axes, or is empty.

    >>> import numpy as np
    >>> mean, std = compute_image_mean_and_std(np.array([[[[0, 7], [4, 7]]]], dtype=np.uint8))
    >>> mean.tolist(), std.tolist()
    ([2.0, 7.0], [2.0, 0.0])
    """
    images = np.asarray(images)
    if images.ndim != 4 or not images.size:
        raise ValueError(f"expected images of shape (N, H, W, C) with N >= 1, got {images.shape}")
    if images.dtype == np.uint8:
        # A histogram per channel is exact and needs no float copy of the data.
        values = np.arange(256, dtype=np.float64)
        counts = np.zeros((images.shape[-1], 256), dtype=np.int64)
        pixels = images.reshape(-1, images.shape[-1])
        for start in range(0, len(pixels), HISTOGRAM_PIXELS):
            for c, count in enumerate(counts):
                count += np.bincount(pixels[start : start + HISTOGRAM_PIXELS, c], minlength=256)
        mean = np.array([count @ values / count.sum() for count in counts])
        var = np.array([count @ (values - m) ** 2 / count.sum() for count, m in zip(counts, mean, strict=True)])
        return mean, np.sqrt(var)
    return images.mean(axis=(0, 1, 2), dtype=np.float64), images.std(axis=(0, 1, 2), dtype=np.float64)
