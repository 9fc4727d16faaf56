"""Stand-in for CIFAR-10: a textured shape somewhere in a blurred scene, 32x32 RGB, ten invented classes.

What tells the classes apart, and who can see it:

- the scene: each class has a faint low-frequency colour layout            -> any model, also a linear one
- the shape: disc, ring, square, ... near the middle, lighter or darker
  than what is behind it (so its mean over images nearly vanishes)         -> needs a hidden layer
- the weave: stripes of a class-specific direction and width on the shape,
  their phase random                                                       -> needs local filters (a CNN)

A second, class-free shape, 1/f scene noise, jitter of place, size, turn, brightness and contrast, and pixel noise
get in the way. Every image is mirrored with probability 1/2, so a horizontal flip never changes the class.
"""

from functools import cache

import numpy as np

CLASS_NAMES = ("disc", "ring", "square", "triangle", "cross", "star", "crescent", "bar", "chevron", "hourglass")
SIZE = 32
CHUNK = 250

CONCEPT_SEED = 20_261  # fixes what the classes are; drawing samples never touches it
MODES = 14  # cosine modes per axis of the scene
TABLE = 128  # cells per axis of a shape's distance table
EXTENT = 1.6  # a table covers [-EXTENT, EXTENT]^2, the shape itself about [-1, 1]^2

# The knobs of the difficulty; benchmarks/calibrate_stand_ins.py measures what they do.
SCENE_SIGNAL = 0.35  # a class's mean scene, in standard deviations of the scene noise
SCENE_NOISE = 0.19  # std of the scene noise, same units
GREY, COLOUR = 0.93, 0.37  # shares of the noise that the three channels have in common, and of their own
MEAN_SHARE = 0.6
ROWS, COLUMNS = 3, 3
SCENE_DECAY = 1.5  # amplitude falls as 1 / (1 + frequency)^decay
PLACE_JITTER = 2.2  # std of the shape's centre, pixels
TURN_JITTER = 0.22  # std of its turn, radians
HALF_SIZE = (6.5, 11.0)  # pixels
SHAPE_CONTRAST = (0.16, 0.42)  # distance of the shape's grey from the scene's mean
LIGHT_SHARE = 0.5  # probability that the shape is lighter than the scene
WEAVE_CONTRAST = 0.08
WEAVE_SHARE = 0.5  # probability that the weave is the class's own and not a random one
PIXEL_NOISE = 0.045


def _regular(count: int, radius: float = 1.0, turn: float = 0.0) -> np.ndarray:
    angle = turn + 2 * np.pi * np.arange(count) / count
    return radius * np.stack([np.sin(angle), -np.cos(angle)], axis=1)


def _outlines() -> list[list[np.ndarray]]:
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


def _signed_distance(polygons: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distance of each point to the nearest edge, negative inside (even-odd rule). x, y: any equal shape."""
    nearest = np.full(x.shape, np.inf)
    inside = np.zeros(x.shape, dtype=bool)
    for points in polygons:
        for (ax, ay), (bx, by) in zip(points, np.roll(points, -1, axis=0), strict=True):
            ex, ey = bx - ax, by - ay
            along = np.clip(((x - ax) * ex + (y - ay) * ey) / (ex * ex + ey * ey), 0, 1)
            nearest = np.minimum(nearest, (x - ax - along * ex) ** 2 + (y - ay - along * ey) ** 2)
            if ay != by:
                inside ^= ((ay > y) != (by > y)) & (x < ax + (y - ay) * ex / ey)
    return np.where(inside, -1, 1) * np.sqrt(nearest)


@cache
def _distance_tables() -> np.ndarray:
    """Signed distances of all outlines, (shapes, TABLE, TABLE) float32, in units of the shape's half size."""
    axis = (np.arange(TABLE) + 0.5) / TABLE * 2 * EXTENT - EXTENT
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return np.stack([_signed_distance(polygons, x, y) for polygons in _outlines()]).astype(np.float32)


@cache
def _modes() -> tuple[np.ndarray, np.ndarray]:
    """Cosine basis (SIZE, MODES) and the 1/f amplitude of each mode (MODES, MODES), unit total power."""
    pixel = (np.arange(SIZE) + 0.5) / SIZE
    basis = np.cos(np.pi * np.outer(pixel, np.arange(MODES)))
    basis[:, 1:] *= np.sqrt(2)
    frequency = np.hypot(*np.meshgrid(np.arange(MODES), np.arange(MODES)))
    amplitude = (1 + frequency) ** -SCENE_DECAY
    amplitude[0, 0] *= MEAN_SHARE
    return basis.astype(np.float32), (amplitude / np.sqrt((amplitude**2).sum())).astype(np.float32)


@cache
def _concepts() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Per class: colour layout (10, 3, MODES, MODES), tint (10, 3), stripe direction and stripes per pixel (10,)."""
    rng = np.random.default_rng(CONCEPT_SEED)
    layout = GREY * rng.standard_normal((10, 1, MODES, MODES)) + COLOUR * rng.standard_normal((10, 3, MODES, MODES))
    layout *= _modes()[1] * SCENE_NOISE
    layout[:, :, ROWS:] = layout[:, :, :, COLUMNS:] = 0
    layout[..., 1::2] = 0  # odd horizontal modes vanish from the mean anyway, as images are mirrored
    layout -= layout.mean(axis=0)
    tint = rng.standard_normal((10, 3))
    tint /= np.linalg.norm(tint, axis=1, keepdims=True)
    turn = (np.arange(10) % 5) * np.pi / 8  # 0..90 degrees; the mirror image has the same class
    stripes = np.where(np.arange(10) < 5, 0.30, 0.17)
    order = rng.permutation(10)
    return layout.astype(np.float32), tint, turn[order], stripes[order]


def _mask(shape: np.ndarray, cx: np.ndarray, cy: np.ndarray, turn: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Coverage in [0, 1] of shape number shape[i] drawn in image i, (N, SIZE, SIZE) float32."""
    pixel = np.arange(SIZE, dtype=np.float32)
    dx = pixel[None, None, :] - cx[:, None, None].astype(np.float32)
    dy = pixel[None, :, None] - cy[:, None, None].astype(np.float32)
    to_cell = (TABLE / (2 * EXTENT)) / half  # cells per pixel
    cos = (np.cos(turn) * to_cell).astype(np.float32)[:, None, None]
    sin = (np.sin(turn) * to_cell).astype(np.float32)[:, None, None]
    column = np.clip(cos * dx + sin * dy + TABLE / 2, 0, TABLE - 1).astype(np.int32)
    row = np.clip(cos * dy - sin * dx + TABLE / 2, 0, TABLE - 1).astype(np.int32)
    cell = (shape.astype(np.int32) * TABLE**2)[:, None, None] + row * TABLE + column
    distance = _distance_tables().ravel()[cell]
    return np.clip(0.5 - distance * half.astype(np.float32)[:, None, None], 0, 1)


def _stripes(rng: np.random.Generator, turn: np.ndarray, per_pixel: np.ndarray) -> np.ndarray:
    """Triangle waves in [-1, 1] with a random phase, (N, SIZE, SIZE) float32."""
    pixel = np.arange(SIZE, dtype=np.float32)
    fx = (np.cos(turn) * per_pixel).astype(np.float32)[:, None, None]
    fy = (np.sin(turn) * per_pixel).astype(np.float32)[:, None, None]
    wave = fx * pixel[None, None, :] + fy * pixel[None, :, None]
    wave += rng.random((len(turn), 1, 1), dtype=np.float32)
    wave -= np.floor(wave)
    return 4 * np.abs(wave - 0.5) - 1


def draw(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """Draw one image per label.

    Args:
        rng: consumed.
        labels: (N,) int64 in 0..9.

    Returns:
        (N, 32, 32, 3) uint8.
    """
    count = len(labels)
    layout, tint, class_turn, class_stripes = _concepts()
    basis, amplitude = _modes()

    grey = rng.standard_normal((count, 1, MODES, MODES), dtype=np.float32)
    colour = rng.standard_normal((count, 3, MODES, MODES), dtype=np.float32)
    modes = (SCENE_NOISE * amplitude) * (GREY * grey + COLOUR * colour)
    modes += (SCENE_SIGNAL * rng.uniform(0.3, 1.7, (count, 1, 1, 1)).astype(np.float32)) * layout[labels]
    image = basis @ modes @ basis.T + np.float32(0.47)  # (N, 3, SIZE, SIZE)

    decoy = rng.integers(len(CLASS_NAMES), len(_distance_tables()), count)
    place = rng.uniform(2, SIZE - 3, (2, count))
    mask = _mask(decoy, *place, rng.uniform(0, 2 * np.pi, count), rng.uniform(3, 7, count))[:, None]
    shade = rng.uniform(0.1, 0.9, (count, 3, 1, 1)).astype(np.float32)
    image += mask * (shade - image) * np.float32(0.7)

    place = SIZE / 2 - 0.5 + PLACE_JITTER * rng.standard_normal((2, count))
    turn = TURN_JITTER * rng.standard_normal(count)
    mask = _mask(labels, *place, turn, rng.uniform(*HALF_SIZE, count))[:, None]
    lighter = np.where(rng.random(count) < LIGHT_SHARE, 1, -1)
    contrast = lighter * rng.uniform(*SHAPE_CONTRAST, count)
    shade = contrast[:, None] + 0.10 * rng.standard_normal((count, 3)) + 0.05 * tint[labels]
    shade = 0.6 * shade[:, :, None, None] + image.mean(axis=(1, 2, 3), keepdims=True)
    own = rng.random(count) < WEAVE_SHARE
    weave = np.where(own, labels, rng.integers(0, 10, count))
    weave_turn = class_turn[weave] + 0.1 * rng.standard_normal(count) + turn
    stripes = _stripes(rng, weave_turn, class_stripes[weave] * rng.uniform(0.9, 1.1, count))[:, None]
    shape = shade.astype(np.float32) + np.float32(WEAVE_CONTRAST) * stripes + np.float32(0.35) * (image - np.float32(0.47))
    image += mask * (shape - image)

    contrast = rng.uniform(0.7, 1.25, (count, 1, 1, 1)).astype(np.float32)
    brightness = rng.normal(0.47, 0.07, (count, 1, 1, 1)).astype(np.float32)
    image = (image - np.float32(0.47)) * contrast + brightness
    image += np.float32(PIXEL_NOISE) * rng.standard_normal(image.shape, dtype=np.float32)
    mirrored = rng.random(count) < 0.5
    image[mirrored] = image[mirrored][..., ::-1]
    pixels = np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
