"""Fully connected classifier with a configurable depth, width, activation and L2 regularisation."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.networks import layer
from exercise_code.networks.layer import Sigmoid, affine_backward, affine_forward


class Network:
    """A model with `params`, `grads` and `reg` (name -> regularisation loss), and a switch for evaluation.

    In evaluation mode `forward` keeps no caches; `backward` then raises RuntimeError.
    """

    def __init__(self) -> None:
        self.params: dict[str, NDArray] = {}
        self.grads: dict[str, NDArray] = {}
        self.reg: dict[str, float] = {}
        self.training = True

    def __call__(self, X: NDArray) -> NDArray:
        return self.forward(X)

    def forward(self, X: NDArray) -> NDArray:
        raise NotImplementedError

    def backward(self, dy: NDArray) -> dict[str, NDArray]:
        raise NotImplementedError

    def train(self) -> None:
        """Keep what `backward` needs."""
        self.training = True

    def eval(self) -> None:
        """Only predict: forward keeps nothing."""
        self.training = False

    def get_dataset_prediction(self, loader: Any) -> tuple[NDArray, NDArray, float]:
        """Predict every image of a loader once, in the data set's order, whatever the loader shuffles or drops.

        Returns:
            `(labels, preds, acc)`: two int64 arrays (N,) and the fraction of equal entries (0 to 1).

        Raises:
            ValueError: the loader yields nothing.
        """
        was_training, labels, preds = self.training, [], []
        self.eval()
        try:
            for batch in loader.in_order() if hasattr(loader, "in_order") else loader:
                preds.append(self.forward(batch["image"]).argmax(axis=1))
                labels.append(np.asarray(batch["label"], dtype=np.int64))
        finally:
            self.training = was_training
        if not labels:
            raise ValueError("expected a loader with at least one image, got an empty one")
        truth, guess = np.concatenate(labels), np.concatenate(preds)
        return truth, guess, float(np.mean(truth == guess))


class ClassificationNet(Network):
    """`affine -> activation`, num_layer - 1 times, then a last affine layer that returns logits (lecture 004).

    Args:
        activation: an activation of `exercise_code.networks.layer`, as an instance or a class; None means Sigmoid.
        num_layer: number of affine layers, >= 1; 1 is the linear (softmax) classifier.
        input_size: number of input features D.
        hidden_size: width of every hidden layer.
        std: standard deviation of the initial weights (biases start at 0), or "he" for sqrt(2 / fan_in) (He et al. 2015),
            or "xavier" for sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio 2010).  1e-3 for every depth is the exercise's
            default and the reason why its five-layer net stays at chance.
        num_classes: number of logits C.
        reg: L2 strength; the Solver adds `reg * sum(W**2)` per weight matrix to the training loss.
        rng: source of the initial weights; None uses seed 0, so equal arguments give equal networks.
        dtype: of all parameters and of the computation.

    Parameters are `W1` (D, H), `b1` (H,), ... `Wn`, `bn`; `grads` has the same keys after `backward`.

    Raises:
        ValueError: a size below 1, a negative std or reg, an unknown word for std.

    >>> import numpy as np
    >>> net = ClassificationNet(input_size=12, hidden_size=5, num_classes=3)
    >>> net.forward(np.zeros((2, 12))).shape
    (2, 3)
    """

    def __init__(
        self,
        activation: Any = None,
        num_layer: int = 2,
        input_size: int = 3 * 32 * 32,
        hidden_size: int = 100,
        std: float | str = 1e-3,
        num_classes: int = 10,
        reg: float = 0.0,
        *,
        rng: np.random.Generator | None = None,
        dtype: Any = np.float32,
    ):
        super().__init__()
        sizes = {
            "num_layer": num_layer,
            "input_size": input_size,
            "hidden_size": hidden_size,
            "num_classes": num_classes,
        }
        for name, value in sizes.items():
            if int(value) != value or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        if reg < 0:
            raise ValueError(f"reg must not be negative, got {reg!r}")
        activation = Sigmoid() if activation is None else activation
        self.activation = activation() if isinstance(activation, type) else activation
        self.num_layer, self.input_size = int(num_layer), int(input_size)
        self.hidden_size, self.num_classes = int(hidden_size), int(num_classes)
        self.std, self.reg_strength, self.dtype = std, float(reg), np.dtype(dtype)
        rng = np.random.default_rng(0) if rng is None else rng
        widths = [self.input_size, *[self.hidden_size] * (self.num_layer - 1), self.num_classes]
        for i, (fan_in, fan_out) in enumerate(zip(widths, widths[1:], strict=False), start=1):
            scale = _initial_scale(std, fan_in, fan_out)
            self.params[f"W{i}"] = (scale * rng.standard_normal((fan_in, fan_out))).astype(self.dtype)
            self.params[f"b{i}"] = np.zeros(fan_out, dtype=self.dtype)
        self._caches: list[Any] = []

    def forward(self, X: NDArray) -> NDArray:
        """Return logits (N, C) for inputs X (N, D) or (N, ...) with D values per row.

        Raises:
            ValueError: a row does not hold input_size values.
        """
        x = np.asarray(X).reshape(len(X), -1).astype(self.dtype, copy=False)
        if x.shape[1] != self.input_size:
            raise ValueError(
                f"expected {self.input_size} values per sample (input_size), got {x.shape[1]} from an input of shape "
                f"{np.shape(X)}: a FlattenTransform or another input_size is missing"
            )
        caches: list[Any] = []
        for i in range(1, self.num_layer + 1):
            x, affine_cache = affine_forward(x, self.params[f"W{i}"], self.params[f"b{i}"])
            activation_cache = None
            if i < self.num_layer:
                x, activation_cache = self.activation.forward(x)
            caches.append((affine_cache, activation_cache))
        if self.training:
            self._caches = caches
            self.reg = {
                f"W{i}": self.reg_strength * float(np.vdot(self.params[f"W{i}"], self.params[f"W{i}"]))
                for i in range(1, self.num_layer + 1)
            }
        return x

    def backward(self, dy: NDArray) -> dict[str, NDArray]:
        """Fill and return `grads` from dy (N, C), the gradient with respect to the logits; includes `2 reg W`.

        Raises:
            RuntimeError: no forward pass in training mode went before.
        """
        if not self._caches:
            raise RuntimeError("backward needs a forward pass in training mode first: call model.train(), then forward")
        grad: Any = np.asarray(dy, dtype=self.dtype)
        for i in range(self.num_layer, 0, -1):
            affine_cache, activation_cache = self._caches[i - 1]
            if i < self.num_layer:
                grad = self.activation.backward(grad, activation_cache)
            grad, dw, db = affine_backward(grad, affine_cache, need_dx=i > 1)
            if self.reg_strength:
                dw += 2 * self.reg_strength * self.params[f"W{i}"]
            self.grads[f"W{i}"], self.grads[f"b{i}"] = dw, db
        return self.grads

    def save_model(self, path: str | Path = "models/classification_net.npz") -> Path:
        """Write parameters and settings to one `.npz` (no pickle inside) and return its path."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        settings = {
            "activation": type(self.activation).__name__,
            "activation_settings": vars(self.activation),
            "num_layer": self.num_layer,
            "input_size": self.input_size,
            "hidden_size": self.hidden_size,
            "num_classes": self.num_classes,
            "std": self.std,
            "reg": self.reg_strength,
            "dtype": self.dtype.name,
        }
        with path.open("wb") as file:
            arrays: dict[str, Any] = {"settings": np.array(json.dumps(settings, sort_keys=True)), **self.params}
            np.savez(file, **arrays)
        return path

    @classmethod
    def load_model(cls, path: str | Path, *, activation: Any = None) -> "ClassificationNet":
        """Read what `save_model` wrote; give `activation` for one that is not in `exercise_code.networks.layer`.

        Raises:
            ValueError: not a file of `save_model`, or an activation that is not known here.
        """
        with np.load(path, allow_pickle=False) as stored:
            if "settings" not in stored:
                raise ValueError(f"expected a file written by save_model, got {path} without settings")
            settings = json.loads(str(stored["settings"]))
            params = {name: stored[name] for name in stored.files if name != "settings"}
        name, kwargs = settings.pop("activation"), settings.pop("activation_settings")
        if activation is None:
            if not hasattr(layer, name):
                raise ValueError(f"{path} uses the activation {name}: pass it as activation={name}()")
            activation = getattr(layer, name)(**kwargs)
        net = cls(activation=activation, **settings)
        net.params = params
        return net


def _initial_scale(std: float | str, fan_in: int, fan_out: int) -> float:
    if std == "he":
        return float(np.sqrt(2 / fan_in))
    if std == "xavier":
        return float(np.sqrt(2 / (fan_in + fan_out)))
    if isinstance(std, str) or std < 0:
        raise ValueError(f'std must be a number >= 0, "he" or "xavier", got {std!r}')
    return float(std)
