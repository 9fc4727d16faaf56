"""L0 regularisation by gates that can close for good (Louizos, Welling and Kingma 2018; lecture 001).

The number of weights that are not zero has no gradient.  So every weight is multiplied by a gate z, a random number that
is exactly 0 with some probability, exactly 1 with another, and smooth in its parameter a = log alpha in between:

    u uniform in (0, 1),  s = sigmoid((log u - log(1 - u) + a) / beta),  z = clip(s (zeta - gamma) + gamma, 0, 1)

the "hard concrete" distribution, with beta = 2/3, gamma = -0.1, zeta = 1.1 as in the paper.  A gate is open with
probability P(z > 0) = sigmoid(a - beta log(-gamma / zeta)), whose sum over all gates, the expected L0 norm, is smooth:
times a strength it is the penalty.  For prediction z = clip(sigmoid(a) (zeta - gamma) + gamma, 0, 1), no noise, and
gates that training closed are exact zeros.

Compared with magnitude pruning (`exercise_code.regularization`): pruning cuts a trained net and needs a share to be told;
gates decide while training which weights pay for themselves, and cost a second parameter per gate and noise.
"""

import copy
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.networks.layer import Sigmoid
from exercise_code.networks.network import NetworkAround
from exercise_code.regularization import chosen_names

BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1


def sample_gates(log_alpha: NDArray, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Draw a gate for each entry of log_alpha, and its derivative.

    Args:
        log_alpha: float32 or float64 of any shape.
        rng: source of the noise; it advances by log_alpha.size draws.

    Returns:
        `(z, dz)` in the shape and dtype of log_alpha: z in [0, 1] and `dz / dlog_alpha` with the noise held fixed,
        `(zeta - gamma) s (1 - s) / beta` where z lies strictly between 0 and 1 and 0 elsewhere.

    >>> z, dz = sample_gates(np.array([-20.0, 0.0, 20.0]), np.random.default_rng(0))
    >>> z[[0, 2]].tolist(), bool(0 < z[1] < 1 and dz[1] > 0)
    ([0.0, 1.0], True)
    """
    edge = np.finfo(log_alpha.dtype).eps
    u = np.clip(rng.random(log_alpha.shape, dtype=log_alpha.dtype.type), edge, 1 - edge)  # 0 has no logarithm
    s, _ = Sigmoid().forward((np.log(u) - np.log1p(-u) + log_alpha) / log_alpha.dtype.type(BETA))
    stretched = s * (ZETA - GAMMA) + GAMMA
    inside = (stretched > 0) & (stretched < 1)
    return np.clip(stretched, 0, 1), np.where(inside, (ZETA - GAMMA) / BETA * s * (1 - s), 0).astype(
        s.dtype, copy=False
    )


def fixed_gates(log_alpha: NDArray) -> NDArray:
    """The gates that prediction uses, in [0, 1], without noise; 0 below log_alpha = -2.4, 1 above 2.4.

    >>> fixed_gates(np.array([-3.0, 0.0, 3.0])).round(6).tolist()
    [0.0, 0.5, 1.0]
    """
    return np.clip(Sigmoid().forward(log_alpha)[0] * (ZETA - GAMMA) + GAMMA, 0, 1)


def open_probability(log_alpha: NDArray) -> NDArray:
    """P(z > 0) of each gate, in (0, 1).

    >>> open_probability(np.array([0.0])).round(3).tolist()
    [0.832]
    """
    return Sigmoid().forward(log_alpha - log_alpha.dtype.type(BETA * math.log(-GAMMA / ZETA)))[0]


class L0Gated(NetworkAround):
    """A network whose weights have gates; train it with the Solver like any other.

    The loss gets `strength * expected number of non-zero weights` (the entry "L0" of `reg`), and `params` one array
    `gate W1`, ... of log_alpha per gated matrix; both are trained together.  The gates move in units of log_alpha, so give
    them time: thousands of steps at Adam's 1e-3, or a higher learning rate.  The Solver gives back the epoch with the best
    validation loss, and the longer a run goes on from there the more gates close: for few weights choose a larger strength.

    Args:
        model: the network around whose weights the gates stand.  It computes with gated weights from the first pass on;
            the weights themselves live in `params` here.
        strength: lambda >= 0 per weight.  The loss is a mean over samples, so the paper's lambda / N: some 1e-6 to 1e-4.
        units: one gate per row of a matrix, that is per input unit of the layer, instead of one per weight: whole units
            are switched off, and the layers really get smaller.
        start: initial P(z > 0), in (0, 1).
        names: parameters to put gates on; None means the weight matrices.
        rng: source of the noise; None uses seed 0.

    Raises:
        ValueError: a setting out of its range, or a name that is not a parameter.

    >>> from exercise_code.networks import ClassificationNet
    >>> net = L0Gated(ClassificationNet(input_size=4, num_classes=3, hidden_size=5), strength=1e-3, start=0.9)
    >>> sorted(net.params), round(net.expected_l0(), 1)      # 0.9 of 4 * 5 + 5 * 3 weights
    (['W1', 'W2', 'b1', 'b2', 'gate W1', 'gate W2'], 31.5)
    """

    def __init__(
        self,
        model: Any,
        strength: float = 1e-5,
        *,
        units: bool = False,
        start: float = 0.9,
        names: Iterable[str] | None = None,
        rng: np.random.Generator | None = None,
    ):
        super().__init__(model)
        if not (np.isfinite(strength) and strength >= 0):
            raise ValueError(f"strength must be a finite number >= 0, got {strength!r}")
        if not 0 < start < 1:
            raise ValueError(f"start is a probability and must lie in (0, 1), got {start!r}")
        self.strength = float(strength)
        self.rng = np.random.default_rng(0) if rng is None else rng
        self.names = chosen_names(model.params, names)
        log_alpha = math.log(start / (1 - start)) + BETA * math.log(-GAMMA / ZETA)
        self.params = dict(model.params)
        for name in self.names:
            w = model.params[name]
            shape = (len(w), *[1] * (w.ndim - 1)) if units else w.shape
            self.params[f"gate {name}"] = np.full(shape, log_alpha, w.dtype)
        self._draws: dict[str, tuple[NDArray, NDArray]] = {}

    def forward(self, X: NDArray) -> NDArray:
        """Output of the inner network with gated weights: noisy gates in training mode, fixed ones otherwise."""
        self.model.training = self.training
        if self.training:
            self._draws = {name: sample_gates(self.params[f"gate {name}"], self.rng) for name in self.names}
            self._use({name: z for name, (z, _) in self._draws.items()})
        else:
            self._use({name: fixed_gates(self.params[f"gate {name}"]) for name in self.names})
        out = self.model.forward(X)
        if self.training:
            self.reg = self.model.reg | {"L0": self.strength * self.expected_l0()}
        return out

    def backward(self, dy: NDArray) -> dict[str, NDArray]:
        """Gradients for weights and gates; dy is the gradient of the loss at the output.

        With the gated weight w' = w z: `dL/dw = dL/dw' z` and `dL/da = dL/dw' w dz/da + strength dP(z > 0)/da`.
        """
        self.grads = dict(self.model.backward(dy))
        for name in self.names:
            (z, dz), gate, outer = self._draws[name], self.params[f"gate {name}"], self.grads[name]
            p, weights_per_gate = open_probability(gate), self.params[name].size // gate.size
            shared = tuple(axis for axis in range(gate.ndim) if gate.shape[axis] != outer.shape[axis])
            through = (outer * self.params[name]).sum(axis=shared, keepdims=True)
            self.grads[f"gate {name}"] = through * dz + gate.dtype.type(self.strength * weights_per_gate) * p * (1 - p)
            self.grads[name] = outer * z
        return self.grads

    def expected_l0(self) -> float:
        """Expected number of gated weights that are not zero when gates are drawn."""
        gates = ((self.params[name].size, self.params[f"gate {name}"]) for name in self.names)
        return float(sum(size * open_probability(gate).mean(dtype=np.float64) for size, gate in gates))

    def pruned(self) -> Any:
        """A copy of the inner network with the fixed gates multiplied into its weights: what evaluation computes.

        Weights behind closed gates are zero: `exercise_code.regularization.count_nonzeros(net.pruned().params)`.
        """
        self._use({name: fixed_gates(self.params[f"gate {name}"]) for name in self.names})
        twin = copy.deepcopy(self.model)
        twin.eval()
        return twin

    def save_model(self, path: str | Path = "models/model.npz") -> Path:
        """Write `pruned()`, which the inner network's class can load; a checkpoint keeps the gates to train on."""
        return self.pruned().save_model(path)

    def onnx(self, graph: Any, x: str) -> str:
        """The inner network's rule, with the fixed gates in its weights."""
        from exercise_code.onnx_graph import add_network

        return add_network(graph, self.pruned(), x)

    def _use(self, gates: dict[str, NDArray]) -> None:
        """Hand the weights to the inner network, each times its gate."""
        for name in self.model.params:
            w = self.params[name]
            self.model.params[name] = w * gates[name].astype(w.dtype, copy=False) if name in gates else w
