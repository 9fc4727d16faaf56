"""Bean leaves as tensors, real or stand-in, from the folders of the official archives (exercise 08).

Three classes, angular leaf spot, bean rust and healthy; photographs scaled to 128 x 128 pixels.
"""

from exercise_code.data.cache import read_images
from exercise_code.data.registry import fetch, fetch_or_stand_in
from exercise_code.labs.images import LabelledImages, TrainingData, labelled, normalisation

NAME = "beans"
SIZE = 128  # pixels; the form in which the hidden test images come
CLASSES = ("angular_leaf_spot", "bean_rust", "healthy")
STAND_IN_VALIDATION = 133  # as many as the real data set has


class Beans(TrainingData):
    """The data set's own training part, 1,034 leaves, also to cross-validate with, and its validation part, 133."""

    def test(self) -> LabelledImages:
        """Return the official test leaves (or those of the stand-in): to be looked at once, when all is chosen.

        Raises:
            DatasetError: the training leaves are real, but the test leaves are neither here nor to be had.

        >>> import numpy as np
        >>> from exercise_code.data import ComposeTransform
        >>> from exercise_code.data.registry import Source
        >>> pixels, same = np.zeros((6, SIZE, SIZE, 3), np.uint8), ComposeTransform([])
        >>> train, val = labelled(pixels[2:], np.arange(4) % 3, same), labelled(pixels[:2], np.arange(2), same)
        >>> source = Source("beans", root=None, stand_in=True, label="beans stand-in", stand_in_size=24)
        >>> data = Beans(train, val, same, source)
        >>> data.label, len(data.test())
        ('beans stand-in', 6)
        """
        if self.source.stand_in:
            from exercise_code.data import synthetic

            count = None if self.source.stand_in_size is None else max(self.source.stand_in_size // 4, 6)
            images, labels, _ = synthetic.make(NAME, "test", n=count)
        else:
            images, labels, _ = read_images(fetch(NAME, ("test",)), ("test",), SIZE)
        return labelled(images, labels, self.transform)


def load(*, stand_in_size: int | None = None) -> Beans:
    """Load the leaves from the registry's folder, download them, or draw the stand-in, saying so.

    Args:
        stand_in_size: leaves of the stand-in, training and validation together, at least 30; None is 1,167, as many as
            there are real ones.

    Raises:
        DatasetError: as `registry.fetch_or_stand_in`.

    >>> from unittest.mock import patch
    >>> from exercise_code.data.registry import Source
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
    transform = normalisation(parts[0][0])
    train, val = (labelled(images, labels, transform) for images, labels in parts)
    return Beans(train, val, transform, source)
