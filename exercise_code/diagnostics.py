"""Quick questions to ask a classifier: is its first loss right, which units are dead, what does it confuse?"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def expected_initial_loss(num_classes: int) -> float:
    """Cross entropy (in nats) of a network that knows nothing: every class gets the same probability.

    A freshly initialised classifier that starts far from this number has a bug or a bad initialisation.

    >>> round(expected_initial_loss(2), 4)
    0.6931
    """
    ### BEGIN SOLUTION 04_grid_search
    return math.log(num_classes)
    ### END SOLUTION


def update_ratio(before: NDArray, after: NDArray) -> float:
    """Size of an update relative to the weights, `||after - before|| / ||before||`; nan for weights that were all 0.

    About 1e-3 per step is healthy (lecture 001).  Measured from the weights themselves it holds for every optimizer;
    learning rate times gradient is the update of plain SGD alone.

    Args:
        before: weights of one layer before the step, any shape.
        after: the same weights after it.

    >>> import numpy as np
    >>> update_ratio(np.array([[3.0, 4.0]]), np.array([[3.0, 4.005]]))      # doctest: +ELLIPSIS
    0.00099...
    """
    ### BEGIN SOLUTION 02_solver
    size = float(np.linalg.norm(before))
    change = float(np.linalg.norm(after - before))
    return change / size if size else float("nan")
    ### END SOLUTION


def dead_units(out: NDArray) -> NDArray:
    """Tell which ReLU units are dead on a set of samples: silent for every one of them, so that nothing moves their weights.

    Args:
        out: (N, M) outputs of M ReLU units for N >= 1 samples, all >= 0.

    Returns:
        (M,) bool, True for a unit whose output is 0 for all N samples.

    >>> import numpy as np
    >>> dead_units(np.array([[0.0, 0.0, 2.0], [0.0, 0.3, 1.0]])).tolist()
    [True, False, False]
    """
    ### BEGIN SOLUTION 01_sigmoid
    return np.max(out, axis=0) <= 0
    ### END SOLUTION


def confusion_matrix(labels: ArrayLike, predictions: ArrayLike, num_classes: int) -> NDArray:
    """Count how often each true class was predicted as each class.

    Args:
        labels: (N,) true classes, integers from 0 to num_classes - 1.
        predictions: (N,) predicted classes, likewise.
        num_classes: C.

    Returns:
        (C, C) int64: row = true class, column = predicted class; the entries add up to N.

    >>> confusion_matrix([0, 0, 1], [0, 1, 1], 2).tolist()
    [[1, 1], [0, 1]]
    """
    ### BEGIN SOLUTION 04_grid_search
    counts = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(counts, (np.asarray(labels), np.asarray(predictions)), 1)
    return counts
    ### END SOLUTION


def worst_mistakes(logits: NDArray, labels: ArrayLike, count: int = 10) -> NDArray:
    """Indices of the wrong predictions that the network was surest of, surest first.

    Args:
        logits: (N, C) scores.
        labels: (N,) true classes.
        count: at most so many.

    Returns:
        (K,) int64 indices, K <= count; sureness is the softmax probability of the predicted class.

    >>> import numpy as np
    >>> worst_mistakes(np.array([[3.0, 0.0], [0.0, 9.0], [5.0, 0.0]]), np.array([1, 0, 0]), 2).tolist()
    [1, 0]
    """
    labels = np.asarray(labels)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    sureness = shifted.max(axis=1) / shifted.sum(axis=1)
    wrong = np.flatnonzero(logits.argmax(axis=1) != labels)
    return wrong[np.argsort(-sureness[wrong], kind="stable")[:count]]
