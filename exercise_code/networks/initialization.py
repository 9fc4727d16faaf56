"""How large the first weights are: a fixed standard deviation, He or Xavier.

Weights too small make every layer's output smaller than its input until the last layers see only zeros (why the
five-layer net of exercise 6 with std 1e-3 stays at chance); weights too large make it explode or saturate the sigmoid.
He and Xavier choose the scale that keeps the variance from layer to layer.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def he_scale(fan_in: int, slope: float = 0.0) -> float:
    """Standard deviation `sqrt(2 / ((1 + slope**2) * fan_in))` for ReLU networks (He et al. 2015, equations 10 and 15).

    ReLU sets half of a symmetric input to 0 and so halves its mean square; the 2 makes up for it.

    Args:
        fan_in: number of inputs of a unit, >= 1.
        slope: of the negative side, 0 for ReLU, `LeakyRelu.slope` for leaky ReLU; 1 gives `sqrt(1 / fan_in)`.

    Raises:
        ValueError: fan_in is below 1.

    >>> he_scale(50)
    0.2
    """
    _check_fans(fan_in=fan_in)
    return float(np.sqrt(2 / ((1 + slope**2) * fan_in)))


def xavier_scale(fan_in: int, fan_out: int) -> float:
    """Standard deviation `sqrt(2 / (fan_in + fan_out))` for tanh and near-linear units .

    Source: Glorot and Bengio 2010, equation 12.  A compromise between the variance 1 / fan_in, which keeps the scale of
    the activations, and 1 / fan_out, which keeps the scale of the gradients.

    Args:
        fan_in: number of inputs of a unit, >= 1.
        fan_out: number of units, >= 1.

    Raises:
        ValueError: a fan is below 1.

    >>> xavier_scale(30, 20)
    0.2
    """
    _check_fans(fan_in=fan_in, fan_out=fan_out)
    return float(np.sqrt(2 / (fan_in + fan_out)))


def initial_scale(std: float | str, fan_in: int, fan_out: int) -> float:
    """Standard deviation that the setting `std` means for one weight matrix.

    Args:
        std: the standard deviation itself, a finite number >= 0, or "he" or "xavier".
        fan_in: number of inputs of a unit, >= 1.
        fan_out: number of units, >= 1.

    Raises:
        ValueError: a negative or non-finite number, an unknown word, a fan below 1.

    >>> initial_scale(0.01, 50, 10), initial_scale("he", 50, 10), initial_scale("xavier", 30, 20)
    (0.01, 0.2, 0.2)
    """
    _check_fans(fan_in=fan_in, fan_out=fan_out)
    if std == "he":
        return he_scale(fan_in)
    if std == "xavier":
        return xavier_scale(fan_in, fan_out)
    if isinstance(std, str) or not 0 <= std < np.inf:
        raise ValueError(f'std must be a number >= 0, "he" or "xavier", got {std!r}')
    return float(std)


def initial_weights(
    std: float | str, fan_in: int, fan_out: int, *, rng: np.random.Generator, dtype: Any = np.float32
) -> NDArray:
    """Draw a weight matrix from a normal distribution with mean 0 and standard deviation `initial_scale(std, ...)`.

    The numbers are drawn in float64 and then rounded, so every dtype starts from the same weights.  Biases start at 0.

    Args:
        std: a number >= 0, "he" or "xavier".
        fan_in: D, >= 1.
        fan_out: M, >= 1.
        rng: source of the numbers; it advances by D * M draws.
        dtype: of the result.

    Returns:
        (D, M) array, the layout of `affine_forward` (torch's Linear stores the transpose).

    Raises:
        ValueError: as `initial_scale`.

    >>> import numpy as np
    >>> w = initial_weights("he", 200, 300, rng=np.random.default_rng(0))
    >>> w.shape, w.dtype.name, round(float(w.std()), 2)
    ((200, 300), 'float32', 0.1)
    """
    scale = initial_scale(std, fan_in, fan_out)
    return (scale * rng.standard_normal((fan_in, fan_out))).astype(dtype)


def _check_fans(**fans: int) -> None:
    for name, fan in fans.items():
        if fan < 1:
            raise ValueError(f"{name} must be at least 1, got {fan!r}")
