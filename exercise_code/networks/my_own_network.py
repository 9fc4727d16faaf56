"""A network from a list of layers: ours, or classes of your own.

A layer is an object with

- `forward(x) -> (out, cache)` and `backward(dout, cache) -> dx`, as the activations of `exercise_code.networks.layer`;
- `parameters`, a tuple of the names of its arrays, if it has any; backward then returns dx and one gradient for each;
- `statistics`, likewise, for arrays that no gradient changes but prediction needs;
- `training`, a flag that the network sets, if it behaves differently in training;
- `onnx(graph, x)`, if it is to be handed in and `exercise_code.onnx_graph` has no rule for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.networks.initialization import initial_weights
from exercise_code.networks.layer import Maxout, affine_backward, affine_forward
from exercise_code.networks.network import Network
from exercise_code.networks.optimizer_base import decays


class Affine:
    """Affine layer that holds its weights, `out = x @ w + b`.

    Args:
        fan_in: D, >= 1.
        fan_out: M, >= 1.
        std: of the initial weights, see `initial_weights`; biases start at 0.
        rng: source of the weights; None uses seed 0, so give layers of one network a common generator.
        dtype: of the parameters.

    Raises:
        ValueError: a size below 1 or an unknown std.

    >>> layer = Affine(3, 2)
    >>> out, cache = layer.forward(np.zeros((4, 3), np.float32))
    >>> [gradient.shape for gradient in layer.backward(out, cache)]
    [(4, 3), (3, 2), (2,)]
    """

    parameters = ("w", "b")

    def __init__(
        self,
        fan_in: int,
        fan_out: int,
        std: float | str = "he",
        *,
        rng: np.random.Generator | None = None,
        dtype: Any = np.float32,
    ):
        rng = np.random.default_rng(0) if rng is None else rng
        self.w = initial_weights(std, fan_in, fan_out, rng=rng, dtype=dtype)
        self.b = np.zeros(fan_out, dtype)

    def forward(self, x: NDArray) -> tuple[NDArray, Any]:
        """Return `(out, cache)` for x (N, D) or (N, ...) with D values per row; out is (N, M)."""
        return affine_forward(x, self.w, self.b)

    def backward(self, dout: NDArray, cache: Any, *, need_dx: bool = True) -> tuple[NDArray | None, NDArray, NDArray]:
        """Return `(dx, dw, db)` for dout (N, M); see `affine_backward`."""
        return affine_backward(dout, cache, need_dx=need_dx)


def drawn_maxout(
    fan_in: int,
    fan_out: int,
    pieces: int = 2,
    std: float | str = "he",
    *,
    rng: np.random.Generator | None = None,
    dtype: Any = np.float32,
) -> Maxout:
    """A Maxout layer with random weights and biases of 0; it stands where an affine layer and its activation would.

    Args:
        fan_in, fan_out, std, rng, dtype: see `Affine`.
        pieces: k >= 1 affine maps per unit, each with weights of its own.

    Raises:
        ValueError: pieces or a size below 1, or an unknown std.

    >>> drawn_maxout(3, 5, pieces=4).w.shape
    (4, 3, 5)
    """
    if pieces < 1:
        raise ValueError(f"pieces must be at least 1, got {pieces!r}")
    rng = np.random.default_rng(0) if rng is None else rng
    w = np.stack([initial_weights(std, fan_in, fan_out, rng=rng, dtype=dtype) for _ in range(pieces)])
    return Maxout(w, np.zeros((pieces, fan_out), dtype))


class MyOwnNetwork(Network):
    """The place for a network of your own: any layers, one after another; Solver, search, diagnostics and submit take it.

    Subclass it with the settings that a search shall vary as arguments:

    >>> from exercise_code.networks.layer import Relu
    >>> class Wide(MyOwnNetwork):
    ...     def __init__(self, hidden_size=200, pieces=2, reg=0.0, seed=0):
    ...         rng = np.random.default_rng(seed)
    ...         super().__init__(
    ...             [drawn_maxout(12, hidden_size, pieces, rng=rng), Affine(hidden_size, 30, rng=rng), Relu(), Affine(30, 10, rng=rng)],
    ...             reg=reg,
    ...         )
    >>> net = Wide(hidden_size=20)
    >>> net.forward(np.zeros((5, 12))).shape, sorted(net.params)
    ((5, 10), ['W1', 'W2', 'W3', 'b1', 'b2', 'b3'])

    or override `forward` and `backward` altogether and keep your arrays in `params` and `grads`.

    Args:
        layers: objects as the module's text describes them; kept, not copied.
        reg: L2 strength; training minimises `reg * sum(W**2)` of every array whose name begins with W too.
        dtype: to which inputs are turned; give the layers the same.

    `params` names the arrays by layer, counting those that have any: `w` is W1, W2, ..., others keep their names (b1,
    gamma2).  The network's dict is what counts: layers get its arrays before every pass.

    Raises:
        ValueError: no layer, a negative reg, or an object without forward and backward.
    """

    def __init__(self, layers: Iterable[Any], *, reg: float = 0.0, dtype: Any = np.float32):
        super().__init__()
        self._layers = list(layers)
        if not self._layers or not all(
            hasattr(layer, "forward") and hasattr(layer, "backward") for layer in self._layers
        ):
            raise ValueError(
                f"expected layers with forward and backward, got {[type(x).__name__ for x in self._layers]}"
            )
        if not reg >= 0:
            raise ValueError(f"reg must not be negative, got {reg!r}")
        self.reg_strength, self.dtype = float(reg), np.dtype(dtype)
        self._names: list[dict[str, str]] = []  # per layer: attribute -> name in params
        number = 0
        for layer in self._layers:
            attributes = getattr(layer, "parameters", ())
            number += bool(attributes)
            self._names.append({a: f"{'W' if a == 'w' else a}{number}" for a in attributes})
            for attribute, name in self._names[-1].items():
                self.params[name] = getattr(layer, attribute)
        self._caches: list[Any] = []

    @property
    def layers(self) -> Sequence[Any]:
        """The layers with the network's present arrays in them, in the network's mode."""
        for layer, names in zip(self._layers, self._names, strict=True):
            for attribute, name in names.items():
                setattr(layer, attribute, self.params[name])
            if hasattr(layer, "training"):
                layer.training = self.training
        return self._layers

    def forward(self, X: NDArray) -> NDArray:
        """Return the last layer's output for X (N, ...); in training mode keep what `backward` needs."""
        x = np.asarray(X).astype(self.dtype, copy=False)
        caches = []
        for layer in self.layers:
            x, cache = layer.forward(x)
            caches.append(cache)
        if self.training:
            self._caches = caches
            strength = self.reg_strength
            self.reg = {
                name: strength * float(np.vdot(w, w)) if strength else 0.0
                for name, w in self.params.items()
                if decays(name)
            }
        return x

    def backward(self, dy: NDArray) -> dict[str, NDArray]:
        """Fill and return `grads` from dy, the gradient with respect to the output; includes `2 reg W`.

        Raises:
            RuntimeError: no forward pass in training mode went before.
            ValueError: a layer returned another number of gradients than it has parameters.
        """
        if not self._caches:
            raise RuntimeError("backward needs a forward pass in training mode first: call model.train(), then forward")
        grad: Any = np.asarray(dy, dtype=self.dtype)
        for i in range(len(self._layers) - 1, -1, -1):
            layer, names = self._layers[i], self._names[i]
            skip = {"need_dx": False} if i == 0 and isinstance(layer, Affine) else {}
            result = layer.backward(grad, self._caches[i], **skip)
            grad, *own = result if names else (result,)
            if len(own) != len(names):
                raise ValueError(
                    f"{type(layer).__name__}.backward: expected dx and gradients of {', '.join(names)}, got {len(own) + 1} arrays"
                )
            for name, gradient in zip(names.values(), own, strict=True):
                if self.reg_strength and decays(name):
                    gradient = gradient + 2 * self.reg_strength * self.params[name]
                self.grads[name] = gradient
        return self.grads

    def buffers(self) -> dict[str, NDArray]:
        """The statistics of all layers, such as `running_mean2`, numbered by the layer's place in the list."""
        return {
            f"{name}{number}": getattr(layer, name)
            for number, layer in enumerate(self._layers, start=1)
            for name in getattr(layer, "statistics", ())
        }

    def load_buffers(self, buffers: Mapping[str, NDArray]) -> None:
        """Take over (copies of) what `buffers` returned; KeyError when one is missing."""
        for number, layer in enumerate(self._layers, start=1):
            for name in getattr(layer, "statistics", ()):
                setattr(layer, name, buffers[f"{name}{number}"].copy())
