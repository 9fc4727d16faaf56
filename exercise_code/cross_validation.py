"""k-fold cross-validation: a validation accuracy from every sample of a small data set (lecture 002)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exercise_code.data import DataLoader
from exercise_code.data.subset import SAME, Subset
from exercise_code.jobs import executor, usable_cores
from exercise_code.limited_child import in_limited_child
from exercise_code.solver import Solver
from exercise_code.split_guard import refuse_test_split


def kfold_indices(
    size: int, k: int = 5, *, labels: ArrayLike | None = None, rng: np.random.Generator | None = None
) -> list[tuple[NDArray, NDArray]]:
    """Split `size` samples into k folds, each of which is the validation part once.

    Args:
        size: number of samples N.
        k: number of folds, 2 to N; N folds of one sample each are leave-one-out.
        labels: (N,) classes; every class is then spread over the folds as evenly as it can be (stratified folds).
        rng: source of the shuffle; None uses seed 0.

    Returns:
        k pairs `(train, val)` of sorted int64 indices.  Every index is in exactly one val part; sizes differ by at most 1.

    Raises:
        ValueError: k out of range, or labels of another length.

    >>> [val.size for _, val in kfold_indices(10, 3)]
    [4, 3, 3]
    """
    if not 2 <= k <= size:
        raise ValueError(f"expected 2 to {size} folds (one sample each at least), got k={k!r}")
    rng = np.random.default_rng(0) if rng is None else rng
    if labels is not None and np.shape(labels) != (size,):
        raise ValueError(f"expected {size} labels, one per sample, got shape {np.shape(labels)}")
    ### BEGIN SOLUTION 05_model_search
    order = rng.permutation(size)
    if labels is not None:
        order = order[np.argsort(np.asarray(labels)[order], kind="stable")]
    fold = np.empty(size, dtype=np.int64)
    fold[order] = np.arange(size) % k  # dealt like cards, class after class
    return [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(k)]
    ### END SOLUTION


@dataclass(frozen=True)
class CrossValidation:
    """Outcome of `cross_validate`: accuracies (k,) on the held-out folds and on the parts trained on, epochs trained.

    >>> print(CrossValidation(np.array([0.5, 0.7]), np.array([0.9, 0.8]), np.array([20, 20])))
    60.0 % +- 14.1 over 2 folds (50.0, 70.0)
    """

    val_accuracy: NDArray
    train_accuracy: NDArray
    epochs: NDArray

    @property
    def mean(self) -> float:
        """Mean accuracy on the held-out folds."""
        return float(self.val_accuracy.mean())

    @property
    def std(self) -> float:
        """Standard deviation between folds, divisor k - 1.

        Divided by sqrt(k) it is often quoted as the error of the mean. It is too small for that: the folds share their
        training samples, and no unbiased estimate exists (Bengio and Grandvalet 2004).
        """
        return float(self.val_accuracy.std(ddof=1))

    def __str__(self) -> str:
        folds = ", ".join(f"{100 * accuracy:.1f}" for accuracy in self.val_accuracy)
        return f"{100 * self.mean:.1f} % +- {100 * self.std:.1f} over {len(self.val_accuracy)} folds ({folds})"


def cross_validate(
    make_model: Callable[[], Any],
    dataset: Any,
    k: int = 5,
    *,
    epochs: int = 20,
    batch_size: int = 64,
    watch_share: float = 0.1,
    patience: int | None = None,
    labels: ArrayLike | None = None,
    rng: np.random.Generator | None = None,
    val_transform: Any = SAME,
    solver_settings: Mapping[str, Any] | None = None,
    workers: int | None = None,
    engine: str = "local",
    address: str | None = None,
    threads: int | None = None,
) -> CrossValidation:
    """Train k networks, each on all folds but one, and score each on the fold it has not seen.

    The Solver chooses the best epoch by a validation loss. If it watched the held-out fold, that fold's accuracy would be
    flattered by the choice; instead it watches a share of the training folds, and the held-out fold is only scored.

    The numbers are the same for any number of workers and any engine (with the same number of BLAS threads, to the last bit).

    Args:
        make_model: called without arguments for a fresh network per fold.
        dataset: a data set; keep the test set out of it.
        k: number of folds.
        epochs, patience: see `Solver.train`.
        batch_size: of the training batches.
        watch_share: share of the training folds that chooses the epoch, in (0, 1); at least one sample.
        labels: (N,) classes for stratified folds.
        rng: source of folds and batch orders; None uses seed 0.
        val_transform: transform of the watched and the held-out part; give the one without augmentation when the data
            set augments. Left out, it is the data set's own.
        solver_settings: more for the Solver, such as `{"learning_rate": 1e-2}`.
        workers: folds at a time, each in a child process that shares the data set's memory; None, and engine "local", means one
            after the other in this process.
        engine, address: see `exercise_code.jobs.executor`.
        threads: BLAS threads of every child; None means cores / workers.

    Raises:
        ValueError: a setting out of range, too few samples to train on, or the test split.
        JobCrashed: the process of a fold ended without a result.

    >>> import numpy as np
    >>> from exercise_code.networks import ClassificationNet
    >>> data = [{"image": np.eye(2)[i % 2], "label": i % 2} for i in range(20)]
    >>> def linear():
    ...     return ClassificationNet(num_layer=1, input_size=2, num_classes=2)
    >>> cross_validate(linear, data, 4, epochs=5, solver_settings={"learning_rate": 0.1}).mean
    1.0
    """
    if not 0 < watch_share < 1:
        raise ValueError(f"watch_share must lie between 0 and 1, got {watch_share!r}")
    refuse_test_split(dataset, "cross-validation")
    rng = np.random.default_rng(0) if rng is None else rng
    folds = []
    for train, held_out in kfold_indices(len(dataset), k, labels=labels, rng=rng):
        shuffled = rng.permutation(train)
        watched = max(1, round(watch_share * len(train)))
        if watched >= len(train):
            raise ValueError(f"expected more samples: {len(train)} in the training folds leave none to train on")
        folds.append((shuffled[watched:], shuffled[:watched], held_out, rng.spawn(1)[0]))

    def score(
        train: NDArray, watched: NDArray, held_out: NDArray, batches: np.random.Generator
    ) -> tuple[float, float, int]:
        # forks: augmentation draws from copies of the data set's generators
        loader = DataLoader(Subset(dataset, train), batch_size, shuffle=True, rng=batches).fork()
        watch_loader, held_out_loader = (
            DataLoader(Subset(dataset, part, transform=val_transform), batch_size).fork()
            for part in (watched, held_out)
        )
        solver = Solver(make_model(), loader, watch_loader, **{"verbose": False, **(solver_settings or {})})
        solver.train(epochs=epochs, patience=patience)
        accuracy = solver.get_dataset_accuracy
        return accuracy(held_out_loader), accuracy(loader), len(solver.val_loss_history)

    if workers is None and engine == "local":
        rows = [score(*fold) for fold in folds]
    else:
        with executor(engine, workers, address) as pool:
            threads = max(1, usable_cores() // pool.workers_per_host) if threads is None else threads
            shared = pool.share(score)
            rows = [
                future.result() for future in [pool.submit(in_limited_child, threads, shared, *fold) for fold in folds]
            ]
    val, trained, counts = zip(*rows, strict=True)
    return CrossValidation(np.array(val), np.array(trained), np.array(counts))
