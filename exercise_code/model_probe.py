"""Ask a network for losses and gradients at any weights without leaving a trace in it.

Diagnostics move weights about, run forward passes in training mode and read gradients. Here all of that happens in
copies, so the network keeps its weights, gradients, running statistics and random numbers. Every question starts from
the same state: a dropout layer draws the same mask each time, and batch norm updates running statistics nobody keeps.
"""

import copy
import types
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Params = dict[str, NDArray]

# A deep copy shares these with the original, so nothing in them may be changed.
_CODE = (type, types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.ModuleType)


class Probe:
    """A network, a loss and one batch, seen as a function of the weights.

    Args:
        model: a network with `params`, `grads`, `reg`, `forward`, `backward`, `train` and `eval`.
        loss_func: a loss as an instance or a class.
        x: (N, ...) inputs.  y: (N,) labels, or targets as the loss wants them.
        dtype: floating-point type in which everything is computed, for example np.float64; None keeps the model's.

    Attributes: params, a copy of the model's weights to start from.

    >>> import numpy as np
    >>> from exercise_code.networks import ClassificationNet
    >>> from exercise_code.networks.loss import CrossEntropyFromLogits
    >>> net = ClassificationNet(num_layer=1, input_size=4, num_classes=2, std=0.0)
    >>> probe = Probe(net, CrossEntropyFromLogits, np.ones((3, 4)), np.array([0, 1, 1]))
    >>> round(probe.loss(probe.params), 4)
    0.6931
    """

    def __init__(self, model: Any, loss_func: Any, x: NDArray, y: Any, *, dtype: Any = None):
        self._base = copy.deepcopy(model)
        self.loss_func = loss_func() if isinstance(loss_func, type) else loss_func
        self.x, self.y = np.asarray(x), y
        if dtype is not None:
            cast(self._base, np.dtype(dtype))
            self.x = self.x.astype(dtype)
        self.params: Params = {name: w.copy() for name, w in self._base.params.items()}

    def model_at(self, params: Mapping[str, NDArray], *, training: bool = True) -> Any:
        """Return a copy of the network that uses these very arrays as its weights, in training or evaluation mode."""
        # deepcopy looks up every object in the memo first: the new weights stand in for the old wherever they occur
        memo = {id(w): params[name] for name, w in self._base.params.items()}
        model = copy.deepcopy(self._base, memo)
        if training:
            model.train()
        else:
            model.eval()
        return model

    def loss(self, params: Mapping[str, NDArray], *, training: bool = True) -> float:
        """Loss of the batch: in training mode with the regularisation term, as the Solver minimises it, else without."""
        model = self.model_at(params, training=training)
        value = self.loss_func(model.forward(self.x), self.y)
        return float(value + sum(model.reg.values())) if training else float(value)

    def loss_and_grads(self, params: Mapping[str, NDArray]) -> tuple[float, Params]:
        """Training loss with the regularisation term, and its gradient by `model.backward`."""
        model = self.model_at(params)
        out = model.forward(self.x)
        value = float(self.loss_func(out, self.y) + sum(model.reg.values()))
        model.backward(self.loss_func.backward(out, self.y))
        return value, dict(model.grads)


def draw_samples(dataset: Any, count: int, rng: np.random.Generator | None = None) -> tuple[NDArray, NDArray]:
    """Draw min(count, N) different samples once, as two arrays; the data set's own random numbers stay where they are.

    Augmentation is applied once at most: the arrays do not change from one step to the next.

    Args:
        dataset: a data set, or a DataLoader, of which only the data set is used.
        count: at least 1.
        rng: source of the choice; None uses seed 0.

    Returns:
        `(images, labels)`: (K, ...) and (K,).

    >>> images, labels = draw_samples([{"image": 0.5 * i, "label": i} for i in range(3)], 10)
    >>> sorted(labels.tolist())
    [0, 1, 2]
    """
    from exercise_code.data import DataLoader

    loader = DataLoader(getattr(dataset, "dataset", dataset), count, shuffle=True, rng=rng)
    batch = next(iter(loader.fork()))
    return batch["image"], batch["label"]


def cast(model: Any, dtype: np.dtype) -> None:
    """Turn every floating-point array and dtype that hangs on a model into another type, in place.

    An array that is held in two places is one array afterwards too.

    >>> class Model:
    ...     pass
    >>> model = Model()
    >>> model.params = {"W1": np.ones(2, np.float32), "labels": np.ones(2, np.int64)}
    >>> cast(model, np.dtype(np.float64))
    >>> [array.dtype.name for array in model.params.values()]
    ['float64', 'int64']
    """
    done: dict[int, Any] = {}
    alive: list[Any] = []  # ids are only unique among living objects

    def change(value: Any) -> Any:
        changed: Any
        if id(value) in done:
            return done[id(value)]
        if isinstance(value, np.ndarray):
            changed = value.astype(dtype) if value.dtype.kind == "f" else value
        elif isinstance(value, np.dtype):
            return dtype if value.kind == "f" else value
        elif isinstance(value, type):
            return dtype.type if issubclass(value, np.floating) else value
        elif isinstance(value, tuple) and type(value) is tuple:
            changed = tuple(change(item) for item in value)
        else:
            done[id(value)] = changed = value  # before its contents: they may point back to it
            if isinstance(value, dict):
                value.update({key: change(item) for key, item in value.items()})
            elif isinstance(value, list):
                value[:] = [change(item) for item in value]
            elif hasattr(value, "__dict__") and not isinstance(value, _CODE):
                vars(value).update({key: change(item) for key, item in vars(value).items()})
        alive.append(value)
        done[id(value)] = changed
        return changed

    change(model)
