"""Accuracy against the number of training samples: would more data help, or a larger network?

Curves that meet below the level of people mean bias: more data will not lift them.  Curves that stay apart mean variance,
and a dev curve that still rises at its right end says that more data will help (lecture 002, remedies).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.data import DataLoader
from exercise_code.data.subset import Subset
from exercise_code.solver import Solver


@dataclass(frozen=True)
class LearningCurve:
    """Outcome of `learning_curve`.

    sizes: (K,) numbers of training samples, rising.  train_accuracy, val_accuracy: (K, R) fractions for R repeats: on the
    samples trained on, and on the dev set.  steps: (K,) optimizer steps at most, about the same for each size.

    >>> curve = LearningCurve(np.array([10, 100]), np.array([[1.0], [0.75]]), np.array([[0.5], [0.625]]), np.array([50, 50]))
    >>> curve.gap.tolist()
    [0.5, 0.125]
    """

    sizes: NDArray
    train_accuracy: NDArray
    val_accuracy: NDArray
    steps: NDArray

    @property
    def gap(self) -> NDArray:
        """Mean training accuracy minus mean dev accuracy, (K,)."""
        return self.train_accuracy.mean(axis=1) - self.val_accuracy.mean(axis=1)

    def __str__(self) -> str:
        lines = ["samples  training %  dev %   gap"]
        for row in zip(self.sizes, self.train_accuracy.mean(axis=1), self.val_accuracy.mean(axis=1), strict=True):
            lines.append(f"{row[0]:>7}  {100 * row[1]:>10.1f}  {100 * row[2]:>5.1f}  {100 * (row[1] - row[2]):>4.1f}")
        return "\n".join(lines)


def curve_sizes(size: int, count: int = 6, smallest: int = 20) -> list[int]:
    """At most `count` different sizes from `smallest` to `size`, evenly spaced on a log scale.

    Raises:
        ValueError: count below 2, or smallest outside 1 to size.

    >>> curve_sizes(2000, 3)
    [20, 200, 2000]
    """
    if count < 2 or not 1 <= smallest <= size:
        raise ValueError(f"expected count >= 2 and 1 <= smallest <= {size}, got {count!r} and {smallest!r}")
    return sorted({int(n) for n in np.rint(np.geomspace(smallest, size, count))})


def learning_curve(
    make_model: Callable[[], Any],
    train_dataset: Any,
    val_dataset: Any,
    sizes: Sequence[int] | None = None,
    *,
    repeats: int = 1,
    steps: int = 500,
    epochs: int = 10,
    batch_size: int = 64,
    patience: int | None = None,
    rng: np.random.Generator | None = None,
    solver_settings: Mapping[str, Any] | None = None,
) -> LearningCurve:
    """Train a fresh network on the first n samples of a random order, for every n, and measure it.

    Every size gets about the same number of optimizer *steps*.  With the same number of epochs a hundredth of the data
    would get a hundredth of the steps, and the curve would show short training instead of little data.  To that end a
    pass over few samples repeats them; the dev loss is looked at `epochs` times, or once per pass over many samples, and
    the best weights are kept, as always in the Solver: the dev accuracy is that of a tuned network, not a test result.

    Args:
        make_model: called without arguments for a fresh network per point.
        train_dataset: data set to take samples from; smaller sets are parts of larger ones.
        val_dataset: dev set.  Never the test set.
        sizes: numbers of samples, each from 1 to the data set's size; None means `curve_sizes(len(train_dataset))`.
        repeats: curves with other random orders; their spread shows what a single curve is worth.
        steps: of the optimizer per point, rounded up to whole passes (one pass at least).
        epochs: looks at the dev loss per point, >= 1.
        batch_size: of the training batches.  patience: see `Solver.train`.
        rng: source of the orders; None uses seed 0.
        solver_settings: more for the Solver, such as `{"learning_rate": 1e-2}`.

    Raises:
        ValueError: a size out of range, or a setting below 1.

    >>> import numpy as np
    >>> from exercise_code.networks import ClassificationNet
    >>> data = [{"image": np.eye(2)[i % 2], "label": i % 2} for i in range(40)]
    >>> def linear():
    ...     return ClassificationNet(num_layer=1, input_size=2, num_classes=2)
    >>> curve = learning_curve(linear, data[:30], data[30:], [10, 30], steps=30, solver_settings={"learning_rate": 0.1})
    >>> curve.val_accuracy.ravel().tolist()
    [1.0, 1.0]
    """
    largest = len(train_dataset)
    sizes = curve_sizes(largest, smallest=min(20, largest)) if sizes is None else sorted(sizes)
    if not sizes or sizes[0] < 1 or sizes[-1] > largest:
        raise ValueError(f"expected sizes from 1 to {largest}, the number of training samples, got {sizes}")
    if min(repeats, steps, epochs, batch_size) < 1:
        raise ValueError(
            f"repeats, steps, epochs and batch_size must be at least 1, got {repeats}, {steps}, {epochs}, {batch_size}"
        )
    rng = np.random.default_rng(0) if rng is None else rng
    val_loader = DataLoader(val_dataset, batch_size).fork()
    train_accuracy, val_accuracy = np.empty((len(sizes), repeats)), np.empty((len(sizes), repeats))
    done = np.empty(len(sizes), dtype=np.int64)
    for repeat in range(repeats):
        order = rng.permutation(largest)
        for i, size in enumerate(sizes):
            times, passes = _schedule(size, steps, epochs, batch_size)
            part = np.tile(order[:size], times)
            loader = DataLoader(Subset(train_dataset, part), batch_size, shuffle=True, rng=rng.spawn(1)[0]).fork()
            solver = Solver(make_model(), loader, val_loader, **{"verbose": False, **(solver_settings or {})})
            solver.train(epochs=passes, patience=patience)
            once = DataLoader(Subset(train_dataset, order[:size]), batch_size).fork()
            train_accuracy[i, repeat] = solver.get_dataset_accuracy(once)
            val_accuracy[i, repeat] = solver.get_dataset_accuracy(val_loader)
            done[i] = passes * len(loader)
    return LearningCurve(np.array(sizes), train_accuracy, val_accuracy, done)


def _schedule(size: int, steps: int, epochs: int, batch_size: int) -> tuple[int, int]:
    """How often the samples are repeated in a pass, and how many passes make up the steps."""
    samples = steps * batch_size
    times = max(1, round(samples / epochs / size))
    return times, max(1, -(-samples // (times * size)))
