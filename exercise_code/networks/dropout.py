"""Inverted dropout: training switches units off at random and scales up the rest, so that evaluation does nothing.

The setting is the probability to DROP a unit, as in torch and in lecture 000 (`nn.Dropout(p=0.5)`); Srivastava et al.
(2014) and CS231n call the probability to KEEP it p.  drop = 0.2 here is their p = 0.8.
"""

import numpy as np
from numpy.typing import NDArray


def dropout_forward(
    x: NDArray, drop: float, *, training: bool, rng: np.random.Generator
) -> tuple[NDArray, NDArray | None]:
    """Set each element to 0 with probability `drop` and divide the others by `1 - drop` (Srivastava et al. 2014).

    `out = x * mask` with `mask = (u >= drop) / (1 - drop)`, u uniform in [0, 1): the expected output is x.

    Args:
        x: floats of any shape.
        drop: probability to drop an element, 0 <= drop < 1.
        training: False returns x itself and draws nothing.
        rng: source of the mask; it advances by x.size float32 draws in training, by none when drop is 0.

    Returns:
        `(out, cache)`: out of x's shape and dtype, cache the mask (values 0 and 1 / (1 - drop)), or None where the
        layer is the identity (evaluation, or drop = 0).

    Raises:
        ValueError: drop lies outside [0, 1).
        TypeError: rng is not a numpy Generator, or x does not hold floats.

    >>> import numpy as np
    >>> out, mask = dropout_forward(np.ones(8), 0.5, training=True, rng=np.random.default_rng(0))
    >>> sorted(set(out.tolist()))
    [0.0, 2.0]
    >>> dropout_forward(np.ones(3), 0.5, training=False, rng=np.random.default_rng(0))[0].tolist()
    [1.0, 1.0, 1.0]
    """
    _check_settings(drop, rng)
    if not training or drop == 0:
        return x, None
    if x.dtype.kind != "f":
        raise TypeError(f"dropout scales its input and expected floats, got dtype {x.dtype}")
    kept = rng.random(x.shape, dtype=np.float32) >= drop
    mask = kept * x.dtype.type(1 / (1 - drop))
    return x * mask, mask


def dropout_backward(dout: NDArray, cache: NDArray | None) -> NDArray:
    """Return dx = `dout * mask`: a dropped unit gets no gradient; without a mask dout itself comes back.

    >>> import numpy as np
    >>> dropout_backward(np.array([3.0, 3.0]), np.array([0.0, 2.0])).tolist()
    [0.0, 6.0]
    """
    return dout if cache is None else dout * cache


class Dropout:
    """Dropout layer with its own generator and a switch between training and evaluation; it starts in training mode.

    Args:
        drop: probability to drop a unit (not to keep it), 0 <= drop < 1.
        rng: source of the masks; two layers that share one generator draw in turn.

    Raises:
        ValueError: drop lies outside [0, 1); drop = 1 would leave nothing and divide by 0.
        TypeError: rng is not a numpy Generator.

    >>> import numpy as np
    >>> layer = Dropout(0.5, rng=np.random.default_rng(0))
    >>> out, mask = layer.forward(np.ones((2, 4)))
    >>> bool((layer.backward(np.ones((2, 4)), mask) == mask).all())      # the very mask of the forward pass
    True
    >>> layer.eval()
    >>> layer.forward(np.ones((1, 2)))[0].tolist()
    [[1.0, 1.0]]
    """

    def __init__(self, drop: float = 0.5, *, rng: np.random.Generator):
        _check_settings(drop, rng)
        self.drop, self.rng, self.training = float(drop), rng, True

    def train(self) -> None:
        """Drop units from now on."""
        self.training = True

    def eval(self) -> None:
        """Pass everything through from now on, and draw nothing."""
        self.training = False

    def forward(self, x: NDArray) -> tuple[NDArray, NDArray | None]:
        """Return `(out, cache)`, see `dropout_forward`; each call in training draws a new mask."""
        return dropout_forward(x, self.drop, training=self.training, rng=self.rng)

    def backward(self, dout: NDArray, cache: NDArray | None) -> NDArray:
        """Return dx of dout's shape from the mask of the same forward pass."""
        return dropout_backward(dout, cache)


def _check_settings(drop: float, rng: np.random.Generator) -> None:
    if not 0 <= drop < 1:
        raise ValueError(f"drop is the probability to drop a unit and must lie in [0, 1), got {drop!r}")
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy Generator, for example np.random.default_rng(0), got {rng!r}")
