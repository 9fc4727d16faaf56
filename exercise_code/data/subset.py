"""A chosen part of a data set, as a data set."""

import copy
import enum
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exercise_code.data.dataset import Dataset


class _Same(enum.Enum):
    TRANSFORM = "the transform that the data set has"


SAME: Any = _Same.TRANSFORM  # an Enum: a copy that has travelled to another process is still the same


class Subset(Dataset):
    """The samples of a data set at the given indices, in that order; pixels are shared, never copied.

    Args:
        dataset: anything a `DataLoader` accepts.
        indices: (K,) integers into it; an index may come twice, as in bootstrap samples.
        transform: replaces the data set's transform in this part only, for example one without augmentation for the
            validation part; left out, the transform stays.

    Attributes: indices, an int64 array that cannot be written to.

    Raises:
        ValueError: no indices, or not whole numbers on one axis.
        IndexError: an index outside the data set.

    >>> part = Subset([{"image": 0.5 * i, "label": i} for i in range(4)], [3, 1])
    >>> len(part), part[0]
    (2, {'image': 1.5, 'label': 3})
    """

    def __init__(self, dataset: Any, indices: ArrayLike, *, transform: Any = SAME):
        chosen = np.asarray(indices)
        if chosen.ndim != 1 or not chosen.size or chosen.dtype.kind not in "iu":
            raise ValueError(
                f"expected a non-empty list of whole numbers as indices, got {chosen.dtype} of shape {chosen.shape}"
            )
        if chosen.min() < 0 or chosen.max() >= len(dataset):
            raise IndexError(f"indices must lie in 0..{len(dataset) - 1}, got {chosen.min()}..{chosen.max()}")
        self.indices = chosen.astype(np.int64)
        self.indices.flags.writeable = False
        self._dataset = dataset
        if transform is not SAME:
            self.transform = transform

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return the sample at position index; IndexError beyond the end."""
        return self._dataset[int(self.indices[index])]

    @property
    def batch(self) -> Callable[[NDArray], dict[str, NDArray]]:
        """Function from positions (B,) to a batch; AttributeError, as a DataLoader expects, when the data set has none.

        A property, since a method kept as an attribute would go on reading the original after a shallow copy.
        """
        read = self._dataset.batch
        return lambda indices: read(self.indices[indices])

    @property
    def images(self) -> NDArray:
        """The stored images of the whole data set, if it has them; the Solver sees by them whether two parts overlap."""
        return self._dataset.images

    @property
    def _indices(self) -> NDArray:
        return self._dataset._indices[self.indices]

    @property
    def transform(self) -> Any:
        """The transform of this part; AttributeError when the data set knows none. Setting it leaves the data set alone."""
        return self._dataset.transform

    @transform.setter
    def transform(self, value: Any) -> None:
        self._dataset = copy.copy(self._dataset)
        self._dataset.transform = value
