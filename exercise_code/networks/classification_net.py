"""Fully connected classifier with a configurable depth, width, activation, L2 regularisation, batch norm and dropout."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.networks import layer
from exercise_code.networks.dropout import dropout_backward, dropout_forward
from exercise_code.networks.initialization import initial_weights
from exercise_code.networks.layer import Sigmoid, affine_backward, affine_forward
from exercise_code.networks.network import Network as Network
from exercise_code.networks.network import read_model
from exercise_code.networks.normalization import BatchNorm


class ClassificationNet(Network):
    """`affine -> [batch norm] -> activation -> [dropout]`, num_layer - 1 times, then a last affine layer (lecture 004).

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
        batch_norm: normalise every hidden layer before its activation (lecture 003).  The layer then has gamma and beta, and
            no bias, which the normalisation would take away again.
        dropout: probability to drop a hidden unit in training, in [0, 1).
        rng: source of the initial weights; None uses seed 0, so equal arguments give equal networks.
        dtype: of all parameters and of the computation.

    Parameters are `W1` (D, H), `b1` (H,), ... `Wn`, `bn`, with batch norm `gamma1` and `beta1` (H,) in place of `b1`; `grads` has
    the same keys after `backward`.

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
        batch_norm: bool = False,
        dropout: float = 0.0,
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
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is the probability to drop a unit and must lie in [0, 1), got {dropout!r}")
        activation = Sigmoid() if activation is None else activation
        self.activation = activation() if isinstance(activation, type) else activation
        self.num_layer, self.input_size = int(num_layer), int(input_size)
        self.hidden_size, self.num_classes = int(hidden_size), int(num_classes)
        self.std, self.reg_strength, self.dtype = std, float(reg), np.dtype(dtype)
        rng = np.random.default_rng(0) if rng is None else rng
        self.batch_norm, self.dropout = bool(batch_norm), float(dropout)
        self.norms: dict[int, BatchNorm] = {}
        if self.dropout:
            (self.rng,) = rng.spawn(1)  # masks do not move the stream that draws the weights
        widths = [self.input_size, *[self.hidden_size] * (self.num_layer - 1), self.num_classes]
        for i, (fan_in, fan_out) in enumerate(zip(widths, widths[1:], strict=False), start=1):
            self.params[f"W{i}"] = initial_weights(std, fan_in, fan_out, rng=rng, dtype=self.dtype)
            if self.batch_norm and i < self.num_layer:
                norm = BatchNorm(fan_out, dtype=self.dtype.type)
                self.norms[i] = norm
                self.params[f"gamma{i}"], self.params[f"beta{i}"] = norm.gamma, norm.beta
            else:
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
            x, cache = affine_forward(x, self.params[f"W{i}"], self.params.get(f"b{i}", self.dtype.type(0)))
            caches.append(cache)
            if i < self.num_layer:
                x, hidden_cache = self._hidden_forward(x, i)
                caches.append(hidden_cache)
        if self.training:
            self._caches = caches
            self.reg = {f"W{i}": self._penalty(self.params[f"W{i}"]) for i in range(1, self.num_layer + 1)}
        return x

    def backward(self, dy: NDArray) -> dict[str, NDArray]:
        """Fill and return `grads` from dy (N, C), the gradient with respect to the logits; includes `2 reg W`.

        Raises:
            RuntimeError: no forward pass in training mode went before.
        """
        if not self._caches:
            raise RuntimeError("backward needs a forward pass in training mode first: call model.train(), then forward")
        grad: Any = np.asarray(dy, dtype=self.dtype)
        caches = list(self._caches)
        for i in range(self.num_layer, 0, -1):
            if i < self.num_layer:
                grad = self._hidden_backward(grad, caches.pop(), i)
            grad, dw, db = affine_backward(grad, caches.pop(), need_dx=i > 1)
            if self.reg_strength:
                dw += 2 * self.reg_strength * self.params[f"W{i}"]
            self.grads[f"W{i}"] = dw
            if f"b{i}" in self.params:
                self.grads[f"b{i}"] = db
        return self.grads

    def _penalty(self, w: NDArray) -> float:
        return self.reg_strength * float(np.vdot(w, w)) if self.reg_strength else 0.0

    def _hidden_forward(self, x: NDArray, i: int) -> tuple[NDArray, tuple[Any, Any, Any]]:
        """What follows the i-th affine layer: [batch norm,] activation[, dropout]."""
        norm_cache = mask = None
        if self.batch_norm:
            norm = self.norms[i]
            norm.gamma, norm.beta, norm.training = self.params[f"gamma{i}"], self.params[f"beta{i}"], self.training
            x, norm_cache = norm.forward(x)
        x, activation_cache = self.activation.forward(x)
        if self.dropout:
            x, mask = dropout_forward(x, self.dropout, training=self.training, rng=self.rng)
        return x, (norm_cache, activation_cache, mask)

    def _hidden_backward(self, grad: NDArray, cache: tuple[Any, Any, Any], i: int) -> NDArray:
        norm_cache, activation_cache, mask = cache
        grad = self.activation.backward(dropout_backward(grad, mask), activation_cache)
        if self.batch_norm:
            grad, self.grads[f"gamma{i}"], self.grads[f"beta{i}"] = self.norms[i].backward(grad, norm_cache)
        return grad

    def buffers(self) -> dict[str, NDArray]:
        """Running statistics of batch norm: `running_mean1`, `running_var1` (H,), ...; empty without it."""
        means = {f"running_mean{i}": norm.running_mean for i, norm in self.norms.items()}
        return means | {f"running_var{i}": norm.running_var for i, norm in self.norms.items()}

    def load_buffers(self, buffers: Mapping[str, NDArray]) -> None:
        """Take over (copies of) what `buffers` returned; KeyError when one is missing."""
        for i, norm in self.norms.items():
            norm.running_mean = buffers[f"running_mean{i}"].copy()
            norm.running_var = buffers[f"running_var{i}"].copy()

    def inference_layers(self) -> list[tuple[NDArray, NDArray]]:
        """The affine layers W (D, M), b (M,) that compute what evaluation computes, batch norm folded into them.

        With s = gamma / sqrt(running_var + eps): `W s` and `(b - running_mean) s + beta`.
        """
        layers = []
        for i in range(1, self.num_layer + 1):
            w = self.params[f"W{i}"]
            bias = self.params.get(f"b{i}", np.zeros(w.shape[1], dtype=w.dtype))
            if i in self.norms:
                norm = self.norms[i]
                scale = self.params[f"gamma{i}"] / np.sqrt(norm.running_var + norm.eps)
                w, bias = w * scale, (bias - norm.running_mean) * scale + self.params[f"beta{i}"]
            layers.append((w, bias))
        return layers

    def settings(self) -> dict[str, Any]:
        """What `load_model` needs besides the arrays."""
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
        if self.batch_norm:
            settings["batch_norm"] = True
        if self.dropout:
            settings["dropout"] = self.dropout
        return settings

    @classmethod
    def load_model(cls, path: str | Path, *, activation: Any = None) -> "ClassificationNet":
        """Read what `save_model` wrote; give `activation` for one that is not in `exercise_code.networks.layer`.

        Raises:
            ValueError: not a file of `save_model`, or an activation that is not known here.
        """
        settings, params = read_model(path)
        name, kwargs = settings.pop("activation"), settings.pop("activation_settings")
        if activation is None:
            if not hasattr(layer, name):
                raise ValueError(f"{path} uses the activation {name}: pass it as activation={name}()")
            activation = getattr(layer, name)(**kwargs)
        net = cls(activation=activation, **settings)
        net.load_buffers(params)
        net.params = {name: params[name] for name in net.params}
        return net
