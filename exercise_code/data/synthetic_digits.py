"""Stand-in for MNIST: digits drawn as bent pen strokes, 28x28 grey, white on black.

Each digit has one or more ways of writing it, a set of polylines; each image bends them by a smooth random field and
slants, stretches, turns and shifts them, and varies the pen's width and pressure.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from exercise_code.data.synthetic_fields import blend, cosine_basis, distance_table, look_up

CLASS_NAMES = tuple(str(digit) for digit in range(10))
SHAPE = (28, 28, 1)
SIZE = SHAPE[0]
PIXEL = np.arange(SIZE, dtype=np.float32) - np.float32((SIZE - 1) / 2)

# The knobs of the difficulty; benchmarks/calibrate_stand_ins.py measures what they do.
HALF_HEIGHT = (8.4, 10.2)  # pixels
SQUEEZE = (0.8, 1.15)  # width over height, relative to the drawn one
SLANT = 0.20  # standard deviation of the shift in x per shift in y
TURN = 0.09  # standard deviation, radians
SHIFT = 0.6  # standard deviation, pixels
BEND = 0.11  # standard deviation of the smooth displacement, in half heights
PEN = (1.1, 1.9)  # half width of the stroke, pixels
NOISE = 0.04  # standard deviation of the pixel noise, full range 1
BEND_MODES = 4


def _arc(cx: float, cy: float, rx: float, ry: float, start: float, stop: float) -> list[tuple[float, float]]:
    """Points on an ellipse; angles in degrees, 0 to the right, growing clockwise on the page."""
    angle = np.radians(np.linspace(start, stop, max(3, int(abs(stop - start) / 15))))
    return list(zip(cx + rx * np.cos(angle), cy + ry * np.sin(angle), strict=True))


def _ways() -> list[tuple[int, list[list[tuple[float, float]]]]]:
    """(digit, polylines in (x, y)); y downwards, -1 the top, 1 the foot."""
    eight = [_arc(0, -0.5, 0.44, 0.48, 0, 360), _arc(0, 0.48, 0.54, 0.52, 0, 360)]
    return [
        (0, [_arc(0, 0, 0.62, 1, 0, 360)]),
        (0, [_arc(0, 0, 0.48, 0.95, -70, 300)]),
        (1, [[(0, -1), (0, 1)]]),
        (1, [[(-0.35, -0.6), (0.05, -1), (0.05, 1)]]),
        (1, [[(-0.35, -0.6), (0.05, -1), (0.05, 1)], [(-0.4, 1), (0.45, 1)]]),
        (2, [_arc(0, -0.45, 0.55, 0.55, -170, 35) + [(-0.6, 1), (0.65, 1)]]),
        (2, [_arc(0, -0.45, 0.55, 0.55, -150, 40) + _arc(-0.3, 0.75, 0.25, 0.2, 60, 290) + [(0.7, 0.95)]]),
        (3, [_arc(-0.05, -0.5, 0.52, 0.5, -150, 85) + _arc(-0.05, 0.48, 0.6, 0.52, -85, 150)]),
        (3, [[(-0.55, -1), (0.45, -1), (-0.05, -0.2)] + _arc(-0.05, 0.4, 0.6, 0.6, -85, 150)]),
        (4, [[(-0.5, -0.95), (-0.6, 0.15), (0.65, 0.15)], [(0.4, -0.6), (0.35, 1)]]),
        (4, [[(0.3, 1), (0.3, -1), (-0.65, 0.35), (0.7, 0.35)]]),
        (5, [[(0.55, -1), (-0.4, -1), (-0.48, -0.15)] + _arc(-0.05, 0.38, 0.6, 0.62, -130, 150)]),
        (5, [[(0.6, -0.9), (-0.35, -0.95), (-0.4, -0.2)] + _arc(-0.15, 0.4, 0.55, 0.58, -110, 120)]),
        (6, [[(0.4, -1), (-0.1, -0.6), (-0.5, 0.1)] + _arc(0, 0.45, 0.55, 0.53, 180, -180)]),
        (6, [[(0.05, -1), (-0.35, -0.4), (-0.5, 0.35)] + _arc(-0.02, 0.52, 0.48, 0.46, 180, -170)]),
        (7, [[(-0.6, -0.95), (0.6, -0.95), (-0.1, 1)]]),
        (7, [[(-0.6, -0.95), (0.6, -0.95), (-0.1, 1)], [(-0.25, 0.05), (0.5, 0.05)]]),
        (7, [[(-0.6, -0.65), (-0.55, -0.95), (0.55, -0.9), (0.15, 0.1), (0.05, 1)]]),
        (8, eight),
        (
            8,
            [
                [(0.45, -0.75)]
                + _arc(0, -0.5, 0.42, 0.45, -40, -260)
                + _arc(0, 0.48, 0.5, 0.5, -80, 250)
                + [(0.5, -0.8)]
            ],
        ),
        (9, [_arc(0, -0.45, 0.5, 0.53, 0, 360) + [(0.48, 0.1), (0.4, 1)]]),
        (9, [_arc(-0.02, -0.48, 0.5, 0.48, -10, 350) + [(0.42, 0.35)] + _arc(-0.1, 0.45, 0.5, 0.5, 0, 130)]),
    ]


@cache
def _tables() -> tuple[NDArray, NDArray, NDArray]:
    """Distances to the strokes of each way (ways, CELLS, CELLS), the first way of a digit and their number (10,)."""
    ways = _ways()
    tables = np.stack([distance_table([np.array(line) for line in lines], closed=False) for _, lines in ways])
    number = np.bincount([digit for digit, _ in ways], minlength=10)
    return tables, np.cumsum(number) - number, number


def draw(rng: np.random.Generator, labels: NDArray) -> NDArray:
    """Draw one image per label.

    Args:
        rng: consumed.
        labels: (N,) int64 in 0..9.

    Returns:
        (N, 28, 28, 1) uint8; the same generator and labels give the same bytes on every machine.

    >>> draw(np.random.default_rng(0), np.array([2, 0])).shape
    (2, 28, 28, 1)
    """
    count = len(labels)
    tables, first, number = _tables()
    way = first[labels] + rng.integers(0, number[labels])

    # where each pixel lies on the undistorted drawing, in half heights
    x = PIXEL[None, None, :] - _column(SHIFT * rng.standard_normal(count))
    y = PIXEL[None, :, None] - _column(SHIFT * rng.standard_normal(count))
    turn = TURN * rng.standard_normal(count)
    height = rng.uniform(*HALF_HEIGHT, count)
    width = height * rng.uniform(*SQUEEZE, count)
    slant = SLANT * rng.standard_normal(count)
    cos, sin = np.cos(turn), np.sin(turn)
    # inverse of: stretch, then slant, then turn
    down = _column(cos / height) * y - _column(sin / height) * x
    right = _column((cos + slant * sin) / width) * x + _column((sin - slant * cos) / width) * y
    modes = rng.standard_normal((2, count, BEND_MODES, BEND_MODES), dtype=np.float32)
    modes *= np.float32(BEND) / (1 + np.add.outer(np.arange(BEND_MODES), np.arange(BEND_MODES))).astype(np.float32)
    bend = blend(modes, cosine_basis(SIZE, BEND_MODES))
    distance = look_up(tables, way, right + bend[0], down + bend[1]) * _column(np.sqrt(height * width))

    pen = rng.uniform(*PEN, count) * np.minimum(1, np.sqrt(width / 8))
    soft = _column(rng.uniform(0.5, 1.2, count))  # width of the stroke's edge, pixels
    ink = np.clip(0.5 + (_column(pen) - distance) / (2 * soft), 0, 1) * _column(rng.uniform(0.75, 1, count))
    ink += np.float32(NOISE) * rng.standard_normal(ink.shape, dtype=np.float32)
    return np.clip(np.rint(ink * 255), 0, 255).astype(np.uint8)[..., None]


def _column(values: NDArray) -> NDArray:
    """One number per image, (N,) -> (N, 1, 1) float32."""
    return values.astype(np.float32)[:, None, None]
