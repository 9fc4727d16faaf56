"""Search spaces: which hyper-parameters there are, how to draw them, and the way to the unit cube and back.

What `Space.read` understands, also mixed:

- `{"lr": Float(1e-4, 1e-1, log=True), "act": Choice(["relu", "tanh"])}`
- lecture 004: `{"lr": [1e-2, 1e-3]}` and `{"lr": ([1e-4, 1e-1], "log")}` with "log", "float", "int" or "item"
- hyperopt: `{"lr": hp.loguniform("lr", -9, -2)}`, `hp.choice("net", [{...}, {...}])`; see `hyperopt_spaces`

Configurations hold values, never indices.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exercise_code.hyperparameter_tuning.notations import Named, is_hyperopt, lecture_parameter
from exercise_code.hyperparameter_tuning.parameters import Choice, Float, Int, Normal, Parameter
from exercise_code.hyperparameter_tuning.plain import plain
from exercise_code.hyperparameter_tuning.template import Dimension, Ref, Template


class Space:
    """A search space of D dimensions; dimensions of options that are not chosen are inactive.

    Args:
        parameters: name -> parameter; see the module's text for everything that is accepted.

    Attributes: dimensions, a tuple of D `Dimension`; names, their D names (options may bring parameters of one name).

    Raises:
        ValueError: an empty space, or a parameter that cannot be one; the message names it.

    >>> space = Space({"lr": Float(1e-4, 1.0, log=True), "width": Int(10, 19)})
    >>> space.to_unit({"lr": 0.01, "width": 12}).round(2).tolist()
    [0.5, 0.25]
    >>> space.check({"lr": 0.01, "widht": 12})
    Traceback (most recent call last):
    ValueError: unknown hyper-parameter 'widht': did you mean 'width'?
    """

    def __init__(self, parameters: Mapping[str, Any]):
        if not isinstance(parameters, Mapping) or not parameters:
            raise ValueError(f"expected at least one hyper-parameter in the search space, got {parameters!r}")
        self._template = Template()
        self._template.root = self._fields(parameters, None)

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """What is drawn for a configuration, in order; of conditional parts, all of them."""
        return self._template.dimensions

    @classmethod
    def read(cls, space: Any) -> "Space":
        """Return space itself if it is one, else make it from a dictionary or a hyperopt expression."""
        if isinstance(space, Space):
            return space
        if is_hyperopt(space):
            from exercise_code.hyperparameter_tuning.hyperopt_spaces import top_level

            space = top_level(space)
        return cls(space)

    @property
    def names(self) -> list[str]:
        """Name of every dimension."""
        return [dimension.name for dimension in self.dimensions]

    def __len__(self) -> int:
        """Number of dimensions D."""
        return len(self.dimensions)

    def __repr__(self) -> str:
        return "Space(" + ", ".join(f"{d.name}={d.parameter!r}" for d in self.dimensions) + ")"

    def describe(self) -> list[Any]:
        """The space as plain lists and strings, equal for equal spaces in any process; the trial log keeps it."""
        return [
            [d.name, type(d.parameter).__name__, plain(vars(d.parameter)), plain(d.parent)] for d in self.dimensions
        ]

    # ---- building

    def _fields(self, fields: Mapping[str, Any], parent: tuple[int, int] | None) -> dict[str, Any]:
        template = {}
        for name, value in fields.items():
            if not isinstance(name, str) or not name:
                raise ValueError(f"expected a non-empty string as name of a hyper-parameter, got {name!r}")
            template[name] = self._node(name, value, parent, field=True)
        return template

    def _node(self, name: str, value: Any, parent: tuple[int, int] | None, *, field: bool = False) -> Any:
        if is_hyperopt(value):
            from exercise_code.hyperparameter_tuning.hyperopt_spaces import read_node

            return self._node(name, read_node(value), parent)
        if isinstance(value, Named):
            return self._add(value.label, value.parameter, parent)
        if isinstance(value, Float | Int | Normal | Choice):
            return self._add(name, value, parent)
        if field:
            return self._add(name, lecture_parameter(name, value), parent)
        if type(value) is dict:
            return {key: self._node(str(key), child, parent) for key, child in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self._node(f"{name}[{i}]", child, parent) for i, child in enumerate(value))
        return value

    def _add(self, name: str, parameter: Parameter, parent: tuple[int, int] | None) -> Ref:
        for other in self.dimensions:
            if other.name == name and not self._exclude(other.parent, parent):
                raise ValueError(f"two hyper-parameters of the same configuration are called {name!r}: rename one")
        index = len(self.dimensions)
        self._template.dimensions += (Dimension(name, parameter, parent),)
        if isinstance(parameter, Choice):
            options = self._template.options[index] = []
            for k, option in enumerate(parameter.listed()):
                nested = type(option) in (dict, list, tuple) or is_hyperopt(option) or isinstance(option, Named)
                options.append(self._node(name, option, (index, k)) if nested else option)
                self._template.brought[index, k] = self._fields(parameter.brings(k), (index, k))
        return Ref(index)

    def _exclude(self, a: tuple[int, int] | None, b: tuple[int, int] | None) -> bool:
        """Whether two dimensions with these parents are never active together."""
        chains = []
        for parent in (a, b):
            chain = {}
            while parent is not None:
                chain[parent[0]] = parent[1]
                parent = self.dimensions[parent[0]].parent
            chains.append(chain)
        return any(chains[0][choice] != chains[1][choice] for choice in set(chains[0]) & set(chains[1]))

    # ---- configurations

    def sample(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw a configuration; always D numbers from rng."""
        return self.from_unit(rng.random(len(self.dimensions)))

    def grid(self) -> list[dict[str, Any]]:
        """Every configuration of a space of choices and whole numbers; the last name varies fastest.

        Raises:
            ValueError: a parameter with uncountable values.
        """
        for dimension in self.dimensions:
            if dimension.parameter.size is None:
                raise ValueError(f"{dimension.name!r} has no grid: list the values to try, or search at random")

        def complete(raw: list[Any]) -> Iterator[list[Any]]:
            if len(raw) == len(self.dimensions):
                yield raw
                return
            dimension = self.dimensions[len(raw)]
            parameter = dimension.parameter
            values: Sequence[Any] = [None]
            if self._is_active(dimension, raw):
                values = parameter.values() if isinstance(parameter, Int) else range(parameter.size or 0)
            yield from itertools.chain.from_iterable(complete([*raw, value]) for value in values)

        return [self._template.build(raw) for raw in complete([])]

    def from_unit(self, unit: ArrayLike) -> dict[str, Any]:
        """Configuration at a point (D,) of the unit cube; coordinates of inactive dimensions do not matter.

        Raises:
            ValueError: another shape, or a number outside [0, 1].
        """
        u = np.asarray(unit, dtype=np.float64)
        if u.shape != (len(self.dimensions),) or not ((u >= 0) & (u <= 1)).all():
            raise ValueError(f"expected {len(self.dimensions)} numbers in [0, 1], got {u.tolist()}")
        raw = [d.parameter.from_unit(float(x)) for d, x in zip(self.dimensions, u, strict=True)]
        return self._template.build(raw)

    def to_unit(self, config: Mapping[str, Any]) -> NDArray:
        """Point (D,) float64 of a configuration; 0.5 for inactive dimensions.

        Raises:
            ValueError: see `check`.
        """
        raw = self._template.read(config)
        return np.array(
            [0.5 if v is None else d.parameter.to_unit(v) for d, v in zip(self.dimensions, raw, strict=True)]
        )

    def active(self, config: Mapping[str, Any]) -> NDArray:
        """Which dimensions the configuration has: (D,) bool."""
        return np.array([value is not None for value in self._template.read(config)])

    def flat(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Active dimensions by name, the options of a choice by value or, where they are nested, by position."""
        flat, options = {}, self._template.options
        for i, (dimension, value) in enumerate(zip(self.dimensions, self._template.read(config), strict=True)):
            if value is not None:
                nested = i in options and type(options[i][value]) in (dict, list, tuple, Ref)
                flat[dimension.name] = options[i][value] if i in options and not nested else value
        return flat

    def contains(self, config: Mapping[str, Any]) -> bool:
        """Whether the configuration is one of this space."""
        try:
            self.check(config)
        except ValueError:
            return False
        return True

    def check(self, config: Mapping[str, Any]) -> None:
        """Raise ValueError for an unknown name (with the nearest known one), a missing one, or a value outside."""
        self._template.read(config)

    def _is_active(self, dimension: Dimension, raw: Sequence[Any]) -> bool:
        return dimension.parent is None or raw[dimension.parent[0]] == dimension.parent[1]
