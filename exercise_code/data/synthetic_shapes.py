"""Stand-in for CIFAR-10: a striped shape in a blurred scene, 32x32 RGB, ten invented classes.

What tells the classes apart, and which model can see it:

- the scene: each class has a faint, low-frequency mean layout                   any model, also a linear one
- the shape: near the middle, lighter or darker than the scene behind it with
  equal probability, so its mean over many images vanishes                       needs a hidden layer
- the same shape, wherever it lies, however large or turned                      needs local filters

Scene noise with a spectrum like that of photographs, a second shape that means nothing, stripes, brightness,
contrast and pixel noise get in the way.  Every image is mirrored with probability 1/2: a horizontal flip never
changes the class, and flipped copies are new images of it.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from exercise_code.data.synthetic_fields import blend, cosine_basis, distance_table, look_up

CLASS_NAMES = (
    "disc",
    "ring",
    "square",
    "triangle",
    "cross",
    "star",
    "crescent",
    "bar",
    "chevron",
    "hourglass",
)
SHAPE = (32, 32, 3)
SIZE = SHAPE[0]

CONCEPT_SEED = 20_261  # fixes what the classes are; drawing samples never touches it

# The knobs of the difficulty (pixel values in [0, 1]); benchmarks/calibrate_stand_ins.py measures them.
SCENE_SIGNAL = 0.31  # a class's mean scene, in standard deviations of the scene noise
SCENE_NOISE = 0.19  # standard deviation of the scene noise
SCENE_DECAY = 1.5  # its amplitude falls as 1 / (1 + frequency)^decay ...
MEAN_SHARE = 0.6  # ... but its mean varies less than that law says, as in photographs
GREY, COLOUR = 0.93, 0.37  # amplitude that the channels have in common, and of their own
PLACE_JITTER = 1.6  # standard deviation of the shape's centre, pixels
TURN_JITTER = 0.22  # standard deviation of its turn, radians
HALF_SIZE = (6.5, 11.0)  # pixels
CONTRAST = (0.09, 0.24)  # between the shape's grey and the scene's mean
STRIPE_CONTRAST = 0.08
PIXEL_NOISE = 0.045

MODES = 14  # cosine modes per axis of the scene
PIXEL = np.arange(SIZE, dtype=np.float32)
MIDDLE = np.float32(0.47)  # mean pixel value


def _regular(count: int, radius: float = 1.0, turn: float = 0.0) -> NDArray:
    angle = turn + 2 * np.pi * np.arange(count) / count
    return radius * np.stack([np.sin(angle), -np.cos(angle)], axis=1)


def _outlines() -> list[list[NDArray]]:
    """Polygons (K, 2) in (x, y), y downwards; a point is inside where it is inside an odd number of them."""
    star = _regular(10)
    star[1::2] *= 0.45
    cross = [(-0.3, -1), (0.3, -1), (0.3, -0.3), (1, -0.3), (1, 0.3), (0.3, 0.3)]
    cross += [(-x, -y) for x, y in cross]
    angle = np.linspace(0.75, 2 * np.pi - 0.75, 40)
    outer = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    inner_angle = np.linspace(2 * np.pi - 1.15, 1.15, 40)
    inner = np.stack([0.28 + 0.75 * np.cos(inner_angle), 0.75 * np.sin(inner_angle)], axis=1)
    corners = {
        "square": [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)],
        "triangle": [(0, -1), (1, 0.8), (-1, 0.8)],
        "bar": [(-1.3, -0.4), (1.3, -0.4), (1.3, 0.4), (-1.3, 0.4)],
        "chevron": [(-1, -0.75), (0, -0.05), (1, -0.75), (1, 0.05), (0, 0.8), (-1, 0.05)],
        "hourglass": [(-0.85, -1), (0.85, -1), (0.15, 0), (0.85, 1), (-0.85, 1), (-0.15, 0)],
    }
    drawn = {name: [np.array(points, dtype=float)] for name, points in corners.items()}
    drawn |= {"disc": [_regular(40, 0.9)], "ring": [_regular(40), _regular(40, 0.55)], "star": [star]}
    drawn |= {"cross": [np.array(cross)], "crescent": [np.concatenate([outer, inner])]}
    decoys = [[np.array([(-1.5, -0.16), (1.5, -0.16), (1.5, 0.16), (-1.5, 0.16)])], [_regular(5, 0.7)]]
    decoys += [[np.array([(-0.8, -0.8), (-0.3, -0.8), (-0.3, 0.4), (0.8, 0.4), (0.8, 0.8), (-0.8, 0.8)])]]
    return [drawn[name] for name in CLASS_NAMES] + decoys


@cache
def _distance_tables() -> NDArray:
    """Signed distances of all outlines, (shapes, CELLS, CELLS) float32, negative inside."""
    return np.stack([distance_table(polygons, closed=True) for polygons in _outlines()])


@cache
def _modes() -> tuple[NDArray, NDArray]:
    """Cosine basis (SIZE, MODES) and the amplitude of each mode (MODES, MODES), total power 1."""
    frequency = np.hypot(*np.meshgrid(np.arange(MODES), np.arange(MODES)))
    amplitude = (1 + frequency) ** -SCENE_DECAY
    amplitude[0, 0] *= MEAN_SHARE
    amplitude /= np.sqrt((amplitude**2).sum())
    return cosine_basis(SIZE, MODES), amplitude.astype(np.float32)


@cache
def _layouts() -> NDArray:
    """Mean scene of each class as cosine modes, (10, 3, MODES, MODES) float32."""
    rng = np.random.default_rng(CONCEPT_SEED)
    grey = rng.standard_normal((10, 1, MODES, MODES))
    colour = rng.standard_normal((10, 3, MODES, MODES))
    layouts = SCENE_SIGNAL * SCENE_NOISE * _modes()[1] * (GREY * grey + COLOUR * colour)
    layouts[:, :, 3:] = layouts[:, :, :, 3:] = 0
    layouts[..., 1::2] = 0  # odd horizontal modes would vanish from the mean anyway: images are mirrored
    return (layouts - layouts.mean(axis=0)).astype(np.float32)


def _mask(shape: NDArray, place: NDArray, turn: NDArray, half: NDArray) -> NDArray:
    """Coverage in [0, 1] of shape number shape[i] drawn in image i, (N, SIZE, SIZE) float32.

    Args:
        place: (2, N) x and y of the centre, pixels.
        turn: (N,) radians.
        half: (N,) half size, pixels.
    """
    dx = PIXEL[None, None, :] - place[0].astype(np.float32)[:, None, None]
    dy = PIXEL[None, :, None] - place[1].astype(np.float32)[:, None, None]
    cos = (np.cos(turn) / half).astype(np.float32)[:, None, None]
    sin = (np.sin(turn) / half).astype(np.float32)[:, None, None]
    distance = look_up(_distance_tables(), shape, cos * dx + sin * dy, cos * dy - sin * dx)
    return np.clip(0.5 - distance * half.astype(np.float32)[:, None, None], 0, 1)


def _stripes(rng: np.random.Generator, turn: NDArray, per_pixel: NDArray) -> NDArray:
    """Triangle waves in [-1, 1] with a random phase, (N, SIZE, SIZE) float32."""
    fx = (np.cos(turn) * per_pixel).astype(np.float32)[:, None, None]
    fy = (np.sin(turn) * per_pixel).astype(np.float32)[:, None, None]
    wave = fx * PIXEL[None, None, :] + fy * PIXEL[None, :, None]
    wave += rng.random((len(turn), 1, 1), dtype=np.float32)
    wave -= np.floor(wave)
    return 4 * np.abs(wave - 0.5) - 1


def draw(rng: np.random.Generator, labels: NDArray) -> NDArray:
    """Draw one image per label.

    Args:
        rng: consumed.
        labels: (N,) int64 in 0..9.

    Returns:
        (N, 32, 32, 3) uint8; the same generator and labels give the same bytes on every machine.

    >>> draw(np.random.default_rng(0), np.array([2, 0])).shape
    (2, 32, 32, 3)
    """
    count = len(labels)
    grey = rng.standard_normal((count, 1, MODES, MODES), dtype=np.float32)
    colour = rng.standard_normal((count, 3, MODES, MODES), dtype=np.float32)
    basis, amplitude = _modes()
    modes = (np.float32(SCENE_NOISE) * amplitude) * (np.float32(GREY) * grey + np.float32(COLOUR) * colour)
    modes += rng.uniform(0.3, 1.7, (count, 1, 1, 1)).astype(np.float32) * _layouts()[labels]
    image = blend(modes, basis)  # (N, 3, SIZE, SIZE), 0 is the middle grey

    decoy = rng.integers(len(CLASS_NAMES), len(_distance_tables()), count)
    place = rng.uniform(2, SIZE - 3, (2, count))
    mask = _mask(decoy, place, rng.uniform(0, 2 * np.pi, count), rng.uniform(3, 7, count))[:, None]
    shade = rng.uniform(-0.37, 0.43, (count, 3, 1, 1)).astype(np.float32)
    image += np.float32(0.7) * mask * (shade - image)

    place = (SIZE - 1) / 2 + PLACE_JITTER * rng.standard_normal((2, count))
    turn = TURN_JITTER * rng.standard_normal(count)
    mask = _mask(labels, place, turn, rng.uniform(*HALF_SIZE, count))[:, None]
    contrast = rng.choice((-1, 1), count) * rng.uniform(*CONTRAST, count)
    shade = modes[:, :, 0, 0].mean(axis=1) + contrast  # modes 0, 0: the scene's mean
    shade = shade[:, None] + 0.06 * rng.standard_normal((count, 3))
    stripes = _stripes(rng, rng.uniform(0, np.pi, count), rng.uniform(0.15, 0.33, count))[:, None]
    shape = shade.astype(np.float32)[:, :, None, None] + np.float32(STRIPE_CONTRAST) * stripes
    shape = shape + np.float32(0.35) * image  # the scene shines through
    image += mask * (shape - image)

    image *= rng.uniform(0.7, 1.25, (count, 1, 1, 1)).astype(np.float32)
    image += MIDDLE + np.float32(0.07) * rng.standard_normal((count, 1, 1, 1), dtype=np.float32)
    image += np.float32(PIXEL_NOISE) * rng.standard_normal(image.shape, dtype=np.float32)
    mirrored = rng.random(count) < 0.5
    image[mirrored] = image[mirrored][..., ::-1]
    pixels = np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
