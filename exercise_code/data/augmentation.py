"""Random changes that turn one training image into many: mirror, crop, cut out a square.

Each works on a single image (H, W, C) and, many times faster, on a stack (N, H, W, C) through `batch`; shape and dtype
stay the same, the argument is never written to.  Put them before RescaleTransform, so that they move uint8 pixels, a
quarter of the bytes of float32, and only into the transform of the training images.

A transform draws from its own generator, whatever its place in a chain, and draws the same for a stack as for its images
one by one.  The generators that are made when none is given have different seeds, so that a mirrored image is not always
shifted to the same side.
"""

from abc import ABC, abstractmethod

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray


class Augmentation(ABC):
    """A random change of images that keeps their shape and dtype.

    Args:
        rng: source of the draws.

    >>> class Shuffled(Augmentation):
    ...     def _change(self, images):
    ...         return self.rng.permutation(images, axis=1)
    >>> Shuffled(np.random.default_rng(0)).batch(np.zeros((2, 4, 4, 3), np.uint8)).shape
    (2, 4, 4, 3)
    """

    def __init__(self, rng: np.random.Generator):
        self.rng = rng

    def __call__(self, image: NDArray) -> NDArray:
        """Return a changed image (H, W, C); ValueError for any other number of axes."""
        if image.ndim != 3:
            raise ValueError(_shape_message(self, "an image (H, W, C)", image))
        return self.batch(image[None])[0]

    def batch(self, images: NDArray) -> NDArray:
        """Return changed images (N, H, W, C), each with draws of its own; ValueError for any other number of axes."""
        if images.ndim != 4:
            raise ValueError(_shape_message(self, "images (N, H, W, C)", images))
        return self._change(images)

    @abstractmethod
    def _change(self, images: NDArray) -> NDArray: ...


class RandomHorizontalFlip(Augmentation):
    """Mirror each image left to right with probability prob (lecture 004; a mirrored cat is a cat, a mirrored 3 is not).

    Pixels only change places, so it does not matter whether an image is rescaled before or after.

    Args:
        prob: in [0, 1].
        rng: source of the draws, one per image; None uses seed 0.

    Raises:
        ValueError: prob outside [0, 1].

    >>> import numpy as np
    >>> RandomHorizontalFlip(prob=1.0)(np.array([[[1], [2], [3]]], dtype=np.uint8)).ravel().tolist()
    [3, 2, 1]
    """

    moves_pixels_only = True  # lets a chain run it first, on uint8

    def __init__(self, prob: float = 0.5, rng: np.random.Generator | None = None):
        if not 0 <= prob <= 1:
            raise ValueError(f"prob must lie in [0, 1], got {prob!r}")
        super().__init__(np.random.default_rng(0) if rng is None else rng)
        self.prob = prob

    def _change(self, images: NDArray) -> NDArray:
        chosen = self.rng.random(len(images)) < self.prob
        before = images[chosen]
        mirrored = np.empty_like(before)
        for c in range(images.shape[3]):  # one channel at a time is four times as fast as images[..., ::-1, :]
            mirrored[..., c] = before[:, :, ::-1, c]
        out = images.copy()
        out[chosen] = mirrored
        return out


class RandomCrop(Augmentation):
    """Put a frame of `padding` pixels around each image and cut an image of the old size out of it at a random place.

    So an image moves by up to `padding` pixels in each direction; all (2 padding + 1)^2 moves are equally likely.
    He et al., "Deep Residual Learning for Image Recognition" (2016), section 4.2, use 4 pixels for CIFAR-10.

    Args:
        padding: width of the frame in pixels, >= 1.
        fill: value of the frame in the units of the images, a scalar or (C,); 0 is black before normalising.
        rng: source of the draws, two per image; None uses seed 1.

    Raises:
        ValueError: a padding below 1; when used, a fill that integer images cannot hold.

    >>> import numpy as np
    >>> image = np.arange(1, 10, dtype=np.uint8).reshape(3, 3, 1)
    >>> RandomCrop(padding=1, rng=np.random.default_rng(2))(image)[..., 0].tolist()
    [[0, 4, 5], [0, 7, 8], [0, 0, 0]]
    """

    def __init__(self, padding: int = 4, fill: ArrayLike = 0, rng: np.random.Generator | None = None):
        if int(padding) != padding or padding < 1:
            raise ValueError(f"padding must be a whole number of at least 1, got {padding!r}")
        super().__init__(np.random.default_rng(1) if rng is None else rng)
        self.padding = int(padding)
        self.fill = fill

    def _change(self, images: NDArray) -> NDArray:
        n, height, width, channels = images.shape
        pad = self.padding
        frame = np.empty((height + 2 * pad, width + 2 * pad, channels), images.dtype)
        frame[:] = _fill_value(self.fill, images)
        padded = np.empty((n, *frame.shape), images.dtype)
        padded[:] = frame
        padded[:, pad : pad + height, pad : pad + width] = images
        top, left = self.rng.integers(2 * pad, size=(n, 2), endpoint=True).T
        # windows[i, y, x, 0] is the crop of image i whose first pixel is (y, x); no pixel is copied before the choice.
        windows = sliding_window_view(padded, (height, width, channels), axis=(1, 2, 3))
        return windows[np.arange(n), top, left, 0]


class Cutout(Augmentation):
    """Overwrite a square of each image, so that no single part of the object decides.

    The centre is any pixel with equal probability; what lies beyond the border is lost, so squares near it are smaller.
    A square of side s around row y covers the rows y - s//2 to y - s//2 + s - 1, and the columns alike.
    DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout" (2017): side 16 for
    CIFAR-10 and 8 for CIFAR-100.

    Args:
        size: side of the square in pixels, >= 1.
        fill: value written, in the units of the images, a scalar or (C,).  After normalising, 0 is the mean colour, as in
            the paper; for uint8 images give the rounded mean to get the same.
        rng: source of the draws, two per image; None uses seed 2.

    Raises:
        ValueError: a size below 1; when used, a fill that integer images cannot hold.

    >>> import numpy as np
    >>> image = np.ones((3, 3, 1), dtype=np.uint8)
    >>> Cutout(size=2, rng=np.random.default_rng(4))(image)[..., 0].tolist()
    [[1, 1, 1], [1, 0, 0], [1, 0, 0]]
    """

    def __init__(self, size: int = 16, fill: ArrayLike = 0, rng: np.random.Generator | None = None):
        if int(size) != size or size < 1:
            raise ValueError(f"size must be a whole number of at least 1, got {size!r}")
        super().__init__(np.random.default_rng(2) if rng is None else rng)
        self.size = int(size)
        self.fill = fill

    def _change(self, images: NDArray) -> NDArray:
        n, height, width, channels = images.shape
        side, half = self.size, self.size // 2
        # A margin takes up what lies beyond the border: every square is whole in here and starts at its centre's index.
        roomy = np.empty((n, height + side, width + side, channels), images.dtype)
        inner = roomy[:, half : half + height, half : half + width]
        inner[:] = images
        y, x = self.rng.integers([height, width], size=(n, 2)).T
        squares = sliding_window_view(roomy, (side, side, channels), axis=(1, 2, 3), writeable=True)
        squares[np.arange(n), y, x, 0] = _fill_value(self.fill, images)
        return inner.copy()


def _shape_message(transform: Augmentation, expected: str, got: NDArray) -> str:
    name = type(transform).__name__
    return f"{name}: expected {expected}, got an array of shape {got.shape}. Put it before FlattenTransform."


def _fill_value(fill: ArrayLike, images: NDArray) -> NDArray:
    """Return fill in the dtype of the images; ValueError when an integer dtype cannot hold it."""
    value = np.asarray(fill)
    if images.dtype.kind in "iu":
        limits = np.iinfo(images.dtype)
        if not np.array_equal(value, np.clip(np.rint(value), limits.min, limits.max)):
            raise ValueError(
                f"fill must be whole and within {limits.min}..{limits.max} for {images.dtype} images, got {fill!r}"
            )
    return value.astype(images.dtype)
