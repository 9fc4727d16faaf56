"""What the stand-ins are drawn with: tables of distances to an outline, and smooth random fields.

Shapes: N images, H x W pixels, M modes.  Arrays are float32 unless it says otherwise.
"""

import numpy as np
from numpy.typing import NDArray

CELLS = 128  # cells per axis of a distance table
EXTENT = 1.6  # a table covers [-EXTENT, EXTENT]^2; outlines are drawn within about [-1, 1]^2


def distance_table(outlines: list[NDArray], *, closed: bool) -> NDArray:
    """Distance of each cell's centre to the nearest edge, (CELLS, CELLS), in the units of the outlines.

    Args:
        outlines: polylines (K, 2) of corners (x, y), y downwards.
        closed: they are polygons; cells inside an odd number of them get a negative distance.

    >>> square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    >>> table = distance_table([square], closed=True)
    >>> table.shape, round(float(table[CELLS // 2, CELLS // 2]), 1)      # the middle, 1 away from the nearest edge
    ((128, 128), -1.0)
    """
    axis = (np.arange(CELLS) + 0.5) / CELLS * 2 * EXTENT - EXTENT
    y, x = np.meshgrid(axis, axis, indexing="ij")
    nearest = np.full(x.shape, np.inf)
    inside = np.zeros(x.shape, dtype=bool)
    for points in outlines:
        ends = np.roll(points, -1, axis=0) if closed else points[1:]
        for (ax, ay), (bx, by) in zip(points, ends, strict=closed):
            ex, ey = bx - ax, by - ay
            along = np.clip(((x - ax) * ex + (y - ay) * ey) / (ex * ex + ey * ey), 0, 1)
            nearest = np.minimum(nearest, (x - ax - along * ex) ** 2 + (y - ay - along * ey) ** 2)
            if closed and ay != by:
                inside ^= ((ay > y) != (by > y)) & (x < ax + (y - ay) * ex / ey)
    return (np.where(inside, -1, 1) * np.sqrt(nearest)).astype(np.float32)


def look_up(tables: NDArray, which: NDArray, x: NDArray, y: NDArray) -> NDArray:
    """Read table which[i] at the points of image i; beyond the border the nearest cell counts.

    Args:
        tables: (tables, CELLS, CELLS).
        which: (N,) integer.
        x, y: (N, H, W), in the units of the outlines.

    Returns:
        (N, H, W).

    >>> tables = np.stack([np.zeros((CELLS, CELLS)), np.ones((CELLS, CELLS))])
    >>> look_up(tables, np.array([1, 0]), np.zeros((2, 1, 1)), np.zeros((2, 1, 1))).ravel().tolist()
    [1.0, 0.0]
    """
    scale = np.float32(CELLS / (2 * EXTENT))
    column = np.clip(x * scale + CELLS // 2, 0, CELLS - 1).astype(np.int32)
    row = np.clip(y * scale + CELLS // 2, 0, CELLS - 1).astype(np.int32)
    return tables.ravel()[which.astype(np.int32)[:, None, None] * CELLS**2 + row * CELLS + column]


def cosine_basis(size: int, modes: int) -> NDArray:
    """Cosines of 0, 1/2, 1, ... waves over `size` pixels, mean square about 1, in steps of 1/64: (size, modes).

    >>> cosine_basis(2, 2).tolist()
    [[1.0, 1.0], [1.0, -1.0]]
    """
    pixel = (np.arange(size) + 0.5) / size
    basis = np.cos(np.pi * np.outer(pixel, np.arange(modes)))
    basis[:, 1:] *= np.sqrt(2)
    return (np.rint(basis * 64) / 64).astype(np.float32)


def blend(modes: NDArray, basis: NDArray) -> NDArray:
    """Sum of products of cosines, (..., M, M) -> (..., H, H).

    Factors are rounded to small multiples of powers of two, so that the sums are exact: they do not depend on the
    order in which some linear algebra library adds.

    >>> modes = np.array([[0.5, 0.25], [0.0, 0.0]])      # a mean of 0.5 and half a wave to the right
    >>> blend(modes, cosine_basis(2, 2)).tolist()
    [[0.75, 0.25], [0.75, 0.25]]
    """
    rows = np.rint(basis @ (np.rint(modes * 4096) / 4096) * 4096) / 4096
    return rows @ basis.T
