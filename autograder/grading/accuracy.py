"""Counting, in the trusted process: the only place where predictions meet hidden labels. Integers decide."""

import hashlib

import numpy as np

NO_CLASS = 255  # what a prediction is when the model's output row held NaN or an infinity; never a label


def count_correct(predictions: np.ndarray, labels: np.ndarray) -> tuple[int, int, int]:
    """Compare class ids.

    Args:
        predictions: uint8 (N,), a class id or 255 for a row without a finite answer.
        labels: uint8 (N,), class ids below 255.
    Returns:
        (correct, total, non_finite); a 255 never counts as correct.
    Raises:
        ValueError: another dtype, other or unequal shapes, no rows, or a label of 255.
    """
    for name, array in (("predictions", predictions), ("labels", labels)):
        if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.ndim != 1:
            got = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
            raise ValueError(f"{name}: expected a uint8 array of shape (N,), got {got}")
    if predictions.shape != labels.shape or labels.size == 0:
        raise ValueError(f"expected equally many predictions and labels, got {predictions.size} and {labels.size}")
    if np.any(labels == NO_CLASS):
        raise ValueError("a label is 255, which stands for 'no class' and would match itself")
    correct = np.count_nonzero(predictions == labels)
    return int(correct), int(labels.size), int(np.count_nonzero(predictions == NO_CLASS))


def public_half(labels: np.ndarray) -> np.ndarray:
    """Which images are shown before the deadline: bool (N,), exactly N // 2 of them true.

    The same set always gives the same half. Images are ordered by a keyed hash of their index; the key is made of the
    labels in their secret order, so nobody outside can compute it and no key file can be lost.
    """
    key = hashlib.blake2b(labels.tobytes(), digest_size=32).digest()
    marks = [hashlib.blake2b(str(i).encode(), key=key, digest_size=8).digest() for i in range(labels.size)]
    chosen = sorted(range(labels.size), key=marks.__getitem__)[: labels.size // 2]
    mask = np.zeros(labels.size, dtype=bool)
    mask[chosen] = True
    return mask


def split_right(predictions: np.ndarray, labels: np.ndarray, public: np.ndarray) -> tuple[bytes, bytes]:
    """Which images were classified right, packed eight to a byte and padded with 0: (public half, private half).

    Args:
        predictions: uint8 (N,), as for `count_correct`.
        labels: uint8 (N,).
        public: bool (N,), from `public_half`.
    """
    right = predictions == labels
    return np.packbits(right[public]).tobytes(), np.packbits(right[~public]).tobytes()


def passes(correct: int, total: int, percent: int) -> bool:
    """Whether `correct` of `total` reaches `percent`, in integers: float32(0.48) is less than 0.48."""
    if total <= 0 or not 0 <= correct <= total:
        raise ValueError(f"expected 0 <= correct <= total and total > 0, got {correct} of {total}")
    return 100 * correct >= percent * total
