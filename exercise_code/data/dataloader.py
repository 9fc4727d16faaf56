"""Batches of a data set, in order or shuffled."""

import copy
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


class BatchReader:
    """What a loader can do besides handing out its own batches: read in the data set's order, and make a twin.

    >>> reader = BatchReader()
    >>> reader.dataset, reader.batch_size = [{"label": 10 * i} for i in range(5)], 2
    >>> [batch["label"].tolist() for batch in reader.in_order(3)]
    [[0, 10, 20], [30, 40]]
    """

    dataset: Any
    batch_size: int
    rng: np.random.Generator

    def _gather(self, indices: NDArray) -> dict[str, NDArray]:
        """Read the samples at these indices (B,) and stack them: a dict of arrays whose first axis is the batch."""
        if hasattr(self.dataset, "batch"):
            return self.dataset.batch(indices)
        samples = [self.dataset[int(i)] for i in indices]
        return {key: np.stack([np.asarray(sample[key]) for sample in samples]) for key in samples[0]}

    def in_order(self, batch_size: int | None = None) -> Iterator[dict[str, NDArray]]:
        """Yield every sample once in the data set's own order: never shuffled, nothing dropped, no draw from rng."""
        size = batch_size or max(self.batch_size, 1024)
        n = len(self.dataset)
        for start in range(0, n, size):
            yield self._gather(np.arange(start, min(start + size, n)))

    def fork(self) -> Self:
        """Return a loader of the same samples that will draw what this one would draw next, without moving this one on.

        Runs that each train on a fork of one loader see the same batches and the same augmentation, so they can be
        compared and do not depend on the order in which they ran.  The pixels are shared, not copied.
        """
        twin = copy.copy(self)
        transform = getattr(self.dataset, "transform", None)
        # One deepcopy of both: a generator that the order and the augmentation share stays shared in the twin.
        twin.rng, transform = copy.deepcopy((self.rng, transform))
        if transform is not None:
            twin.dataset = copy.copy(self.dataset)
            twin.dataset.transform = transform
        return twin


class DataLoader(BatchReader):
    """Iterate over a data set in batches (lecture 004).

    Every batch consists of new arrays: keep them, change them, collect an epoch in a list.  (Filling the same buffers again
    and again would save a twentieth of a training step and make `list(loader)` wrong.)

    Args:
        dataset: anything with `__len__` and `__getitem__(i) -> dict` of arrays or numbers; one that also has
            `batch(indices) -> dict of arrays` is read a whole batch at a time, which is many times faster.
        batch_size: samples per batch, >= 1.
        shuffle: draw a new order for every epoch.
        drop_last: leave out a last batch that is not full.  Meant for training: validation and test should see
            every image, and `in_order` always does.
        rng: source of the orders, one permutation per epoch, drawn when the epoch starts; None uses seed 0, so equal
            loaders give equal epochs.  Augmentation has generators of its own, or shares this one if it is given it.

    Raises:
        ValueError: a batch size below 1, or a data set without samples.

    >>> loader = DataLoader([{"image": float(i), "label": i % 2} for i in range(5)], batch_size=2)
    >>> [batch["label"].tolist() for batch in loader]
    [[0, 1], [0, 1], [0]]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        *,
        rng: np.random.Generator | None = None,
    ):
        if int(batch_size) != batch_size or batch_size < 1:
            raise ValueError(f"batch_size must be a whole number of at least 1, got {batch_size!r}")
        if len(dataset) == 0:
            raise ValueError("expected a data set with at least one sample, got an empty one")
        self.dataset = dataset
        self.batch_size = int(batch_size)
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.rng = np.random.default_rng(0) if rng is None else rng

    def __len__(self) -> int:
        """Number of batches per epoch."""
        ### BEGIN SOLUTION 02_solver
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + bool(rest and not self.drop_last)
        ### END SOLUTION

    def __iter__(self) -> Iterator[dict[str, NDArray]]:
        """Yield `len(self)` batches, each a dict of arrays whose first axis is the batch."""
        ### BEGIN SOLUTION 02_solver
        n = len(self.dataset)
        order = self.rng.permutation(n) if self.shuffle else np.arange(n)
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield self._gather(order[start : start + self.batch_size])
        ### END SOLUTION
