"""Stand-in for beans: a veined leaf, 128x128 RGB, with angular brown spots, round rust pustules, or neither.

All marks are drawn on a jittered grid of seeds.  Angular spots fill whole cells of the mosaic of nearest seeds, so
that straight edges bound them as veins do on a real leaf; pustules are discs around seeds, with a yellow halo.  Dirt, a
few marks of either form and of any shade, lies on leaves of every class.  Sick leaves turn a little yellow, which is
all that a linear model can see of it.  Hue, light, scale, turn and severity vary.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from exercise_code.data.synthetic_fields import blend, cosine_basis

CLASS_NAMES = ("angular_leaf_spot", "bean_rust", "healthy")
ANGULAR, RUST, HEALTHY = range(3)
SHAPE = (128, 128, 3)
SIZE = SHAPE[0]
PIXEL = np.arange(SIZE, dtype=np.float32) - np.float32((SIZE - 1) / 2)

# The knobs of the difficulty; benchmarks/calibrate_stand_ins.py measures what they do.
HALF_LENGTH = (58.0, 88.0)  # of the leaf, pixels
TURN = 0.5  # standard deviation of the midrib's direction from the vertical, radians
CELL = (6.5, 12.5)  # side of a grid cell, pixels
SEVERITY = (0.04, 0.25)  # share of the cells that are diseased
YELLOWING = (0.08, 0.34)  # of a sick leaf, opacity
DIRT = (0.0, 0.03)  # share of the cells that are dirty
PUSTULE = (0.22, 0.45)  # radius, cells
FADE = (0.4, 0.95)  # opacity of a lesion
HUE = 0.03  # standard deviation of each channel of the leaf's colour, full range 1
GRAIN = 0.035  # standard deviation of the pixel noise

GRID = 32  # seeds per axis; the grid repeats beyond
MODES = 8  # cosine modes per axis of backgrounds and shading
SOIL = (0.36, 0.30, 0.22)
LEAF = (0.30, 0.50, 0.18)
VEIN = (0.47, 0.60, 0.32)
LESION = np.array([(0.40, 0.28, 0.15), (0.52, 0.29, 0.10), (0.0, 0.0, 0.0)])  # healthy leaves have none
YELLOW = (0.62, 0.60, 0.18)


@cache
def _basis() -> NDArray:
    return cosine_basis(SIZE, MODES)


def draw(rng: np.random.Generator, labels: NDArray) -> NDArray:
    """Draw one image per label.

    Args:
        rng: consumed.
        labels: (N,) int64 in 0..2.

    Returns:
        (N, 128, 128, 3) uint8; the same generator and labels give the same bytes on every machine.

    >>> draw(np.random.default_rng(0), np.array([2, 0])).shape
    (2, 128, 128, 3)
    """
    count = len(labels)
    x, y, scale = _leaf_coordinates(rng, count)
    half_width = 0.68 * np.sqrt(np.clip(1 - x * x, 0, None)) * (1 - np.float32(0.3) * x)
    leaf = np.clip((half_width - np.abs(y)) * scale, 0, 1)[..., None]
    shading = _smooth(rng, (count,), 1.0)[..., None]

    ground = _smooth(rng, (count, 1), 0.7) + np.float32(0.3) * _smooth(rng, (count, 3), 0.7)
    image = np.array(SOIL, np.float32) + np.float32(0.10) * ground.transpose(0, 2, 3, 1)
    surface = _per_channel(LEAF + HUE * rng.standard_normal((count, 3)))
    surface = surface + np.float32(0.05) * shading * np.array((1.2, 1, 0.5), np.float32)
    sick = labels != HEALTHY
    surface = _mix(surface, np.array(YELLOW, np.float32), _column(sick * rng.uniform(*YELLOWING, count)))
    surface = _mix(surface, np.array(VEIN, np.float32), 0.55 * _veins(rng, x, y, scale))

    lesion, halo, dirt = _marks(rng, labels, x * scale, y * scale)
    pale = rng.uniform(-0.06, 0.10, (count, 3))  # lesions differ in colour from leaf to leaf
    surface = _mix(surface, np.array(YELLOW, np.float32), halo)
    surface = _mix(surface, _per_channel(LESION[labels] + pale), lesion * _column(rng.uniform(*FADE, count)))
    surface = _mix(surface, _per_channel(rng.uniform(0.15, 0.75, (count, 1)) + pale), 0.8 * dirt)

    image += leaf * (surface - image)
    image *= 1 + np.float32(0.16) * _smooth(rng, (count,), 1.5)[..., None]
    image = (image - np.float32(0.4)) * _column(rng.uniform(0.75, 1.25, count))[..., None]
    image += _column(rng.normal(0.42, 0.07, count))[..., None]
    image += np.float32(GRAIN) * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)


def _leaf_coordinates(rng: np.random.Generator, count: int) -> tuple[NDArray, NDArray, NDArray]:
    """Coordinates along and across the midrib in half lengths, both (N, H, W), and pixels per unit (N, 1, 1)."""
    scale = _column(rng.uniform(*HALF_LENGTH, count))
    turn = np.pi * (rng.integers(0, 2, count) + 0.5) + TURN * rng.standard_normal(count)
    dx = PIXEL[None, None, :] - _column(8 * rng.standard_normal(count))
    dy = PIXEL[None, :, None] - _column(8 * rng.standard_normal(count))
    cos, sin = _column(np.cos(turn)), _column(np.sin(turn))
    return (cos * dx + sin * dy) / scale, (cos * dy - sin * dx) / scale, scale


def _smooth(rng: np.random.Generator, leading: tuple[int, ...], decay: float) -> NDArray:
    """Smooth random fields of standard deviation about 1, (*leading, H, W)."""
    frequency = np.add.outer(np.arange(MODES), np.arange(MODES))
    amplitude = (1.0 + frequency) ** -decay
    amplitude /= np.sqrt((amplitude**2).sum())
    modes = rng.standard_normal((*leading, MODES, MODES), dtype=np.float32) * amplitude.astype(np.float32)
    return blend(modes, _basis())


def _veins(rng: np.random.Generator, x: NDArray, y: NDArray, scale: NDArray) -> NDArray:
    """How much of each pixel is vein, (N, H, W) in [0, 1]: the midrib and side veins that leave it at an angle."""
    midrib = np.clip(1.6 - np.abs(y) * scale, 0, 1)
    pitch = _column(rng.uniform(0.2, 0.3, len(x)))
    phase = (x + np.float32(0.6) * np.abs(y)) / pitch + _column(rng.random(len(x)))
    side = np.clip(1.1 - np.abs(phase - np.rint(phase)) * pitch * scale, 0, 1)
    return np.maximum(midrib, np.float32(0.6) * side)


def _seeds(rng: np.random.Generator, x: NDArray, y: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Nearest seed of a jittered grid at each pixel.

    Args:
        x, y: (N, H, W), cells.

    Returns:
        distance to the nearest seed and distance to the second, both in cells, and the number of the nearest seed
        among all N * GRID**2; each (N, H, W).
    """
    count = len(x)
    # where in its cell a seed lies, as one gather: x in the real part, y in the imaginary part
    jitter = rng.uniform(0.08, 0.92, (count * GRID**2, 2)).astype(np.float32).view(np.complex64)[:, 0]
    first_column, first_row = np.floor(x), np.floor(y)
    here = (x - first_column) + np.complex64(1j) * (y - first_row)
    columns = [(first_column.astype(np.int32) + step) % GRID for step in (-1, 0, 1)]
    own = np.arange(count, dtype=np.int32)[:, None, None] * GRID**2
    rows = [(first_row.astype(np.int32) + step) % GRID * GRID + own for step in (-1, 0, 1)]
    nearest = np.full(x.shape, 9, np.float32)
    second = nearest.copy()
    number = np.zeros(x.shape, np.int32)
    for down in range(3):
        for right in range(3):
            seed = rows[down] + columns[right]
            away = jitter[seed] - (here - np.complex64(complex(right - 1, down - 1)))
            distance = away.real**2 + away.imag**2
            closer = distance < nearest
            np.minimum(second, np.maximum(nearest, distance), out=second)
            np.minimum(nearest, distance, out=nearest)
            np.copyto(number, seed, where=closer)
    return np.sqrt(nearest), np.sqrt(second), number


def _marks(rng: np.random.Generator, labels: NDArray, x: NDArray, y: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """How much of each pixel is diseased, halo or dirt, (N, H, W) in [0, 1]; x, y: (N, H, W), pixels."""
    count = len(labels)
    side = _column(rng.uniform(*CELL, count))
    nearest, second, seed = _seeds(rng, x / side + GRID // 2, y / side + GRID // 2)
    severity = rng.uniform(*SEVERITY, (count, 1)) * (labels != HEALTHY)[:, None]
    chance = rng.random((count, GRID**2))
    sick = (chance < severity).ravel()[seed]
    dirty = (chance > 1 - rng.uniform(*DIRT, (count, 1))).ravel()[seed]
    radius = rng.uniform(*PUSTULE, count * GRID**2).astype(np.float32)[seed]

    angular = np.clip((second - nearest) * side / 2 - 0.3, 0, 1)
    disc = np.clip((radius - nearest) * side + 0.5, 0, 1)
    ring = np.float32(0.5) * np.clip((1.7 * radius - nearest) * side / 3, 0, 1)
    is_rust = (labels == RUST)[:, None, None]
    is_round = rng.random((count, 1, 1)) < 0.5
    lesion = sick * np.where(is_rust, disc, angular)
    halo = sick * np.where(is_rust, ring, np.float32(0.15))
    return lesion, halo, dirty * np.where(is_round, disc, angular)


def _mix(under: NDArray, over: NDArray, share: NDArray) -> NDArray:
    """Lay the colour `over` on `under` (N, H, W, 3) with opacity `share` (N, H, W)."""
    return under + share[..., None].astype(np.float32) * (over - under)


def _per_channel(colours: NDArray) -> NDArray:
    """(N, 3) -> (N, 1, 1, 3) float32."""
    return colours.astype(np.float32)[:, None, None, :]


def _column(values: NDArray) -> NDArray:
    """One number per image, (N,) -> (N, 1, 1) float32."""
    return values.astype(np.float32)[:, None, None]
