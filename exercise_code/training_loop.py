"""The parts of a training loop: one step, the loss of a whole data set, the best weights so far, and when to stop.

The Solver puts them together and adds schedules, callbacks and checkpoints.  It reads them from this module when it runs, so
that a student's version of exercise 02 takes their place.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from numpy.typing import NDArray


def train_step(model: Any, loss_func: Any, optimizer: Any, X: NDArray, y: NDArray) -> float:
    """Take one step on one batch and return the loss that the batch had before it.

    Args:
        model: `model.forward(X)` gives the predictions and refreshes `model.reg`, a dict of regularisation terms (floats)
            that belong to the training loss.
        loss_func: `loss_func(y_pred, y)` gives the mean loss of a batch.
        optimizer: `optimizer.backward(y_pred, y)` fills the gradients, `optimizer.step()` changes the weights in place.
        X: (B, ...) inputs.
        y: (B,) targets.

    Returns:
        The loss of the batch plus the regularisation terms.

    >>> from exercise_code.networks import ClassificationNet
    >>> from exercise_code.networks.loss import CrossEntropyFromLogits
    >>> from exercise_code.networks.optimizer import SGD
    >>> import numpy as np
    >>> net, loss = ClassificationNet(num_layer=1, input_size=2, num_classes=2, std=0.0), CrossEntropyFromLogits()
    >>> optimizer = SGD(net, loss, learning_rate=1.0)
    >>> [round(train_step(net, loss, optimizer, np.eye(2), np.array([0, 1])), 3) for _ in range(3)]
    [0.693, 0.474, 0.348]
    """
    ### BEGIN SOLUTION 02_solver
    out = model.forward(X)
    loss = loss_func(out, y) + sum(model.reg.values())
    optimizer.backward(out, y)
    optimizer.step()
    return loss
    ### END SOLUTION


def dataset_loss(model: Any, loss_func: Any, batches: Iterable[Mapping[str, NDArray]]) -> float:
    """Return the mean loss over all samples, each of them counted once, without regularisation and without learning.

    The model is switched to evaluation for it (`model.eval()`) and back to training afterwards (`model.train()`).

    Args:
        model: `model.forward(X)` gives the predictions.
        loss_func: `loss_func(y_pred, y)` gives the mean loss of one batch.
        batches: dicts with "image" (B, ...) and "label" (B,); the last may be smaller than the others.

    Raises:
        ValueError: there is no batch.

    >>> from exercise_code.networks import ClassificationNet
    >>> from exercise_code.networks.loss import CrossEntropyFromLogits
    >>> import numpy as np
    >>> batches = [{"image": np.zeros((size, 4)), "label": np.zeros(size, dtype=int)} for size in (3, 3, 1)]
    >>> round(dataset_loss(ClassificationNet(input_size=4, std=0.0), CrossEntropyFromLogits(), batches), 4)
    2.3026
    """
    ### BEGIN SOLUTION 02_solver
    total, count = 0.0, 0
    model.eval()
    for batch in batches:
        size = len(batch["label"])
        total += loss_func(model.forward(batch["image"]), batch["label"]) * size
        count += size
    model.train()
    if not count:
        raise ValueError("expected at least one batch, got none")
    return total / count
    ### END SOLUTION


class BestWeights:
    """Keep the weights that had the lowest validation loss, and count the epochs since.

    Attributes:
        loss: the lowest finite loss so far, inf before there is one.
        params: the weights as they were at that loss (name -> array), None before there is one.
        waited: epochs in a row that were no better.

    >>> import numpy as np
    >>> best, params = BestWeights(), {"W1": np.array([1.0])}
    >>> for loss in (0.7, 0.5, 0.9):
    ...     best.update(loss, params)
    ...     params["W1"] *= 2
    >>> best.restore(params)
    >>> best.loss, best.waited, params["W1"].tolist()
    (0.5, 1, [2.0])
    """

    def __init__(self) -> None:
        self.loss: float = math.inf
        self.params: dict[str, NDArray] | None = None
        self.waited = 0

    def update(self, loss: float, params: Mapping[str, NDArray]) -> None:
        """Take note of an epoch that ended with this validation loss and these weights.

        Only a loss that is lower than all before counts as better; an equal one does not, and nan never does.
        """
        ### BEGIN SOLUTION 02_solver
        if math.isfinite(loss) and loss < self.loss:
            self.loss = loss
            self.params = {name: w.copy() for name, w in params.items()}
            self.waited = 0
        else:
            self.waited += 1
        ### END SOLUTION

    def restore(self, params: dict[str, NDArray]) -> None:
        """Put the best weights back into params; without any, leave params alone. Training may go on afterwards."""
        ### BEGIN SOLUTION 02_solver
        for name, w in (self.params or {}).items():
            params[name] = w.copy()
        ### END SOLUTION


def run_epochs(one_epoch: Callable[[], float], best: BestWeights, epochs: int, patience: int | None = None) -> str:
    """Run up to `epochs` epochs and return why it ended.

    Args:
        one_epoch: trains once through the data, tells `best` about the validation loss, and returns that loss.
        best: its attribute `waited` is the number of epochs in a row that were no better, up to date after each epoch.
        epochs: how many at most, >= 0.
        patience: stop as soon as this many epochs in a row were no better; None never does.

    Returns:
        "diverged" right after an epoch whose loss was nan or inf, "patience" when that ran out, otherwise "epochs".

    >>> best, losses = BestWeights(), iter([0.7, 0.5, 0.9, 0.6, 0.4])
    >>> def one_epoch():
    ...     loss = next(losses)
    ...     best.update(loss, {})
    ...     return loss
    >>> run_epochs(one_epoch, best, epochs=5, patience=2), best.loss
    ('patience', 0.5)
    """
    ### BEGIN SOLUTION 02_solver
    for _ in range(epochs):
        if not math.isfinite(one_epoch()):
            return "diverged"
        if patience is not None and best.waited >= patience:
            return "patience"
    return "epochs"
    ### END SOLUTION
