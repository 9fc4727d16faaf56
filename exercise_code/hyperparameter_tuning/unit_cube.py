"""Many configurations at once as points of the unit cube: which coordinates they have, and the cells of discrete ones."""

import numpy as np
from numpy.typing import NDArray

from exercise_code.hyperparameter_tuning.parameters import Choice
from exercise_code.hyperparameter_tuning.space import Space

MOST_CELLS = 4096  # an integer range with more values is treated like a real number


class UnitCube:
    """Array versions of `Space.active` and of `to_unit(from_unit(u))`.

    Attributes: edges, for every dimension None (a real number) or the (n + 1,) borders of its n cells in [0, 1].

    >>> from exercise_code.hyperparameter_tuning.parameters import Float
    >>> cube = UnitCube(Space({"lr": Float(0, 1), "act": Choice(["relu", "tanh"])}))
    >>> cube.snap(np.array([[0.3, 0.1], [0.7, 0.9]])).tolist()
    [[0.3, 0.25], [0.7, 0.75]]
    """

    def __init__(self, space: Space):
        self.space = space
        self.is_choice = [isinstance(d.parameter, Choice) for d in space.dimensions]
        self.edges: list[NDArray | None] = [_edges(d.parameter) for d in space.dimensions]

    def cells(self, units: NDArray, d: int) -> NDArray[np.int64]:
        """Index of the cell in which each coordinate (C,) of the discrete dimension d lies."""
        edges = self.edges[d]
        assert edges is not None
        return np.clip(np.searchsorted(edges, units, side="right") - 1, 0, len(edges) - 2)

    def active(self, units: NDArray) -> NDArray[np.bool_]:
        """Which dimensions each configuration has, (C, D) for (C, D): those whose parent has the right option."""
        active = np.ones(units.shape, dtype=bool)
        for d, dimension in enumerate(self.space.dimensions):
            if dimension.parent is not None:
                parent, option = dimension.parent
                active[:, d] = active[:, parent] & (self.cells(units[:, parent], parent) == option)
        return active

    def snap(self, units: NDArray) -> NDArray[np.float64]:
        """Points (C, D) moved to the middle of their cells in discrete dimensions, and to 0.5 in inactive ones."""
        snapped = np.array(units, dtype=float)
        for d, edges in enumerate(self.edges):
            if edges is not None:
                middles = (edges[:-1] + edges[1:]) / 2
                snapped[:, d] = middles[self.cells(snapped[:, d], d)]
        return np.where(self.active(snapped), snapped, 0.5)


def _edges(parameter: object) -> NDArray | None:
    """Borders of a discrete parameter's cells, so that their middles are its `to_unit`."""
    size = getattr(parameter, "size", None)
    if size is None or (size > MOST_CELLS and not isinstance(parameter, Choice)):
        return None
    if isinstance(parameter, Choice):
        weights = np.ones(size) if parameter.weights is None else np.asarray(parameter.weights, dtype=float)
        return np.concatenate([[0.0], np.cumsum(weights) / weights.sum()])
    return parameter.edges  # type: ignore[attr-defined]
