"""Quick questions to ask a classifier: is its first loss right, what does it confuse, which mistakes is it surest of?"""

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
    """
    labels = np.asarray(labels)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    sureness = shifted.max(axis=1) / shifted.sum(axis=1)
    wrong = np.flatnonzero(logits.argmax(axis=1) != labels)
    return wrong[np.argsort(-sureness[wrong], kind="stable")[:count]]
