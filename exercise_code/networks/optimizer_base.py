"""What all first-order optimizers share: the walk over the parameters, and a state that can be saved and restored."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.networks.loss import Loss

PIECE = 1 << 16  # numbers that an update works on at a time, so that what a rule remembers of them stays in the cache


class Optimizer:
    """Holds model, loss and learning rate, and calls `_update(name, w, dw)` for every parameter of the model.

    A rule of your own needs `_update`, which changes w in place and leaves dw alone, and, if it remembers something,
    the names of what it remembers: `_arrays` for dicts {parameter name: array of the parameter's shape}, `_counters`
    for numbers.  Saving and restoring then works without further code.

    Args:
        model: has `params` and, after `backward`, `grads`: dicts of arrays with the same names and shapes.
        loss_func: a loss of `exercise_code.networks.loss`; `backward` uses its gradient.
        learning_rate: per step, > 0.  Kept as the attribute `lr`, which a schedule may change between steps.

    Raises:
        ValueError: a learning rate that is not a positive number.

    >>> import numpy as np
    >>> class SignDescent(Optimizer):
    ...     def _update(self, name, w, dw):
    ...         w -= self.lr * np.sign(dw)
    >>> class Model:
    ...     params, grads = {"W1": np.array([1.0, 2.0])}, {"W1": np.array([30.0, -4.0])}
    >>> SignDescent(Model, None, learning_rate=0.5).step()
    >>> Model.params["W1"].tolist()
    [0.5, 2.5]
    """

    _arrays: tuple[str, ...] = ()
    _counters: tuple[str, ...] = ()

    def __init__(self, model: Any, loss_func: Loss, learning_rate: float = 1e-4):
        if not (np.isfinite(learning_rate) and learning_rate > 0):
            raise ValueError(f"learning_rate must be a positive number, got {learning_rate!r}")
        self.model = model
        self.loss_func = loss_func
        self.lr = float(learning_rate)

    def backward(self, y_pred: NDArray, y_true: NDArray) -> None:
        """Fill `model.grads` with the gradient of the loss at predictions y_pred (N, C) and targets y_true."""
        self.model.backward(self.loss_func.backward(y_pred, y_true))

    def step(self) -> None:
        """Update every parameter in place from `model.grads`."""
        for name, w in self.model.params.items():
            self._update(name, w, self.model.grads[name])

    def state_dict(self) -> dict[str, Any]:
        """Copy of all that the next step depends on besides the model and the settings of the constructor.

        Returns:
            `lr`, counters such as `t`, and one array per remembered quantity and parameter under "quantity/parameter",
            for example "m/W1".  Only numbers and arrays, so `np.savez` stores it without pickle.
        """
        state: dict[str, Any] = {"lr": self.lr, **{name: getattr(self, name) for name in self._counters}}
        for name, array in self._state_arrays().items():
            state[name] = array.copy()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned, also after a trip through `np.savez`; the mapping is copied from.

        Raises:
            ValueError: names or shapes are not those of this optimizer and model; nothing was changed then.
        """
        arrays = self._state_arrays()
        expected = {"lr", *self._counters, *arrays}
        if set(state) != expected:
            raise ValueError(
                f"this is not the state of {type(self).__name__} for this model: missing "
                f"{sorted(expected - set(state))}, unknown {sorted(set(state) - expected)}"
            )
        for name in expected:
            shape = arrays[name].shape if name in arrays else ()
            if np.shape(state[name]) != shape:
                raise ValueError(f"expected shape {shape} for {name!r}, got {np.shape(state[name])}")
        self.lr = float(state["lr"])
        for name in self._counters:
            setattr(self, name, int(state[name]))
        for name, array in arrays.items():
            array[...] = state[name]

    def _update(self, name: str, w: NDArray, dw: NDArray) -> None:
        raise NotImplementedError

    def _pieces(self, name: str, w: NDArray, dw: NDArray) -> Iterator[tuple[NDArray, ...]]:
        """Cut a parameter into runs of rows of about PIECE numbers, for rules that work on each number by itself.

        A rule makes a dozen passes over arrays that together are larger than a cache; piece by piece they come from memory
        once, which takes a fifth off the time of Adam on a weight matrix of 3072 x 512.

        Yields:
            `(w, dw, *remembered, scratch)`: views of w, dw and of the arrays named in `_arrays`, in that order, and an array
            of the same shape to overwrite, so that a step needs no new memory of the parameter's size.
        """
        arrays = [w, dw, *(getattr(self, kind)[name] for kind in self._arrays)]
        rows = max(1, PIECE * len(w) // max(1, w.size))
        scratch = np.empty_like(w[:rows])
        for start in range(0, len(w), rows):
            piece = [array[start : start + rows] for array in arrays]
            yield *piece, scratch[: len(piece[0])]

    def _zeros(self) -> dict[str, NDArray]:
        return {name: np.zeros_like(w) for name, w in self.model.params.items()}

    def _state_arrays(self) -> dict[str, NDArray]:
        return {f"{kind}/{name}": array for kind in self._arrays for name, array in getattr(self, kind).items()}


def check_fraction(**settings: float) -> None:
    """Raise ValueError unless every setting lies in [0, 1), as decay rates of moving averages must.

    >>> check_fraction(momentum=1.5)
    Traceback (most recent call last):
    ...
    ValueError: momentum must lie in [0, 1), got 1.5
    """
    for name, value in settings.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name} must lie in [0, 1), got {value!r}")


def check_decay(weight_decay: float) -> None:
    """Raise ValueError unless weight_decay is a finite number >= 0.

    >>> check_decay(0.01)
    """
    if not (np.isfinite(weight_decay) and weight_decay >= 0):
        raise ValueError(f"weight_decay must be a number >= 0, got {weight_decay!r}")


def decays(name: str) -> bool:
    """Whether weight decay acts on a parameter: only on weight matrices, which are named W1, W2, ...

    Biases and the scale and shift of batch norm stay out: they do not make the function steeper, and decaying them only
    biases it.  torch decays every parameter it is given unless biases are put into a parameter group of their own.

    >>> [decays(name) for name in ("W1", "b1", "gamma1")]
    [True, False, False]
    """
    return name.startswith("W")
