"""A classifier whose weights have one bit each: the sign of a real number that only training sees (lecture 001)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.networks.classification_net import ClassificationNet
from exercise_code.networks.optimizer_base import decays


def binarize(w: NDArray, scale: bool = True) -> NDArray:
    """The sign of w, +1 at zero, times the mean size of its column if scale is set.

    `B = sign(w) * a` with `a_m = mean_d(|clip(w_dm, -1, 1)|)`, which is the a that minimises `sum((w - a * sign(w))**2)`
    for w in [-1, 1] (XNOR-Net, Rastegari et al. 2016).  Without scale a is 1 (BinaryConnect, Courbariaux et al. 2015).
    Binarising twice changes nothing.

    Args:
        w: (D, M) real weights.
        scale: one positive number per output feature, so that outputs keep the size they had.

    Returns:
        (D, M) in w's dtype, a new array.

    >>> binarize(np.array([[0.5, -0.1], [-0.3, 0.0]])).round(3).tolist()
    [[0.4, -0.05], [-0.4, 0.05]]
    >>> binarize(np.array([[0.5], [-0.3]]), scale=False).tolist()
    [[1.0], [-1.0]]
    """
    signs = np.where(w >= 0, w.dtype.type(1), w.dtype.type(-1))
    return signs * _column_sizes(w) if scale else signs


def _column_sizes(w: NDArray) -> NDArray:
    # float64, so that the mean of equal float32 numbers is exactly that number
    return np.minimum(np.abs(w), 1).mean(axis=0, dtype=np.float64).astype(w.dtype)


class BinaryNet(ClassificationNet):
    """`ClassificationNet` that computes with the signs of its weight matrices; biases stay real.

    Training needs real weights behind the signs: single steps are far too small to flip a sign, and they add up there.
    The derivative of the sign is 0 wherever it exists, so the gradient at the sign is handed straight through to the real
    weight (straight-through estimator, Bengio et al. 2013).  It is not the gradient of the loss, and a finite difference of
    the real weights shows 0.  Real weights are clipped to [-1, 1] before every training pass: further out they would
    only take longer to turn round.

    With scale the column's size a is differentiated too:
    `dL/dw = a * dL/dB + sign(w) * mean_over_the_column(sign(w) * dL/dB)`.  The formula in the XNOR-Net paper,
    `(1/D + a) * dL/dB`, leaves out that a is shared by the whole column.

    `params` holds the real weights, which an optimizer changes and a checkpoint needs; `effective_params` and, with batch
    norm folded in, `inference_layers` hold what the network computes with, and `export_onnx` writes those.

    Args:
        activation, num_layer, input_size, hidden_size, num_classes, batch_norm, dropout, rng, dtype: see
            `ClassificationNet`.
        std: size of the initial real weights; small ones flip more easily at one learning rate.
        scale: see `binarize`.  Without it outputs grow with the square root of the layer's width, and saturating
            activations die unless batch norm comes before them.
        reg: must be 0; the squares of signs do not depend on the weights.

    Raises:
        ValueError: as `ClassificationNet`, or a reg other than 0.

    >>> net = BinaryNet(input_size=6, hidden_size=5, num_classes=3, scale=False)
    >>> sorted({float(w) for w in net.effective_params()["W1"].ravel()})
    [-1.0, 1.0]
    """

    def __init__(
        self,
        activation: Any = None,
        num_layer: int = 2,
        input_size: int = 3 * 32 * 32,
        hidden_size: int = 100,
        std: float | str = "xavier",
        num_classes: int = 10,
        reg: float = 0.0,
        *,
        scale: bool = True,
        batch_norm: bool = False,
        dropout: float = 0.0,
        rng: np.random.Generator | None = None,
        dtype: Any = np.float32,
    ):
        if reg != 0:
            raise ValueError(f"reg must be 0 for a BinaryNet, got {reg!r}: sum(W**2) of signs is a constant")
        super().__init__(
            activation,
            num_layer,
            input_size,
            hidden_size,
            std,
            num_classes,
            batch_norm=batch_norm,
            dropout=dropout,
            rng=rng,
            dtype=dtype,
        )
        self.scale = bool(scale)
        self._used: dict[str, NDArray] = {}  # weights of the last training pass

    def effective_params(self) -> dict[str, NDArray]:
        """What the network computes with: name -> binarised matrix (a new array), or the bias or other array itself."""
        return {name: binarize(w, self.scale) if decays(name) else w for name, w in self.params.items()}

    def forward(self, X: NDArray) -> NDArray:
        """Return logits (N, C) for X (N, D) or (N, ...); in training mode first clip the real weights, in place."""
        if self.training:
            for name, w in self.params.items():
                if decays(name):
                    np.clip(w, -1, 1, out=w)
        weights = self.effective_params()
        if self.training:
            self._used = weights
        return self._with_params(weights, super().forward, X)

    def backward(self, dy: NDArray) -> dict[str, NDArray]:
        """Fill and return `grads` from dy (N, C); those of the matrices are straight-through, see the class.

        Raises:
            RuntimeError: no forward pass in training mode went before.
        """
        grads = self._with_params(self._used, super().backward, dy)
        for name, binary in self._used.items():
            if decays(name) and self.scale:
                signs = np.where(binary >= 0, binary.dtype.type(1), binary.dtype.type(-1))
                through_size = signs * (grads[name] * signs).mean(axis=0)
                grads[name] *= _column_sizes(binary)
                grads[name] += through_size
        return grads

    def inference_layers(self) -> list[tuple[NDArray, NDArray]]:
        """The affine layers W (D, M), b (M,) that compute what evaluation computes: signs, with batch norm folded in."""
        return self._with_params(self.effective_params(), super().inference_layers)

    def _with_params(self, weights: dict[str, NDArray], work: Callable[..., Any], *arguments: NDArray) -> Any:
        own = self.params
        self.params = weights
        try:
            return work(*arguments)
        finally:
            self.params = own

    def settings(self) -> dict[str, Any]:
        """Those of `ClassificationNet`, and scale; `save_model` keeps the real weights, so training can go on."""
        return super().settings() | {"scale": self.scale}
