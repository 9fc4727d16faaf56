"""Search spaces: which hyper-parameters there are, how to draw them, and the way to the unit cube and back.

What `Space.read` understands, also mixed:

- `{"lr": Float(1e-4, 1e-1, log=True), "act": Choice(["relu", "tanh"])}`
- lecture 004: `{"lr": [1e-2, 1e-3]}` and `{"lr": ([1e-4, 1e-1], "log")}` with "log", "float", "int" or "item"
- hyperopt: `{"lr": hp.loguniform("lr", -9, -2)}`, `hp.choice("net", [{...}, {...}])`; see `hyperopt_spaces`

Configurations hold values, never indices.
"""

import difflib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exercise_code.hyperparameter_tuning.notations import Named, is_hyperopt, lecture_parameter
from exercise_code.hyperparameter_tuning.parameters import Choice, Float, Int, Normal, Parameter
from exercise_code.hyperparameter_tuning.plain import plain


@dataclass(frozen=True)
class Dimension:
    """One coordinate: its parameter, and `(index of a choice, index of the option)` it depends on, or None."""

    name: str
    parameter: Parameter
    parent: tuple[int, int] | None = None


@dataclass(frozen=True)
class _Ref:
    """Place in a template that takes the value of a dimension."""

    index: int


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
        self.dimensions: tuple[Dimension, ...] = ()
        self._options: dict[int, list[Any]] = {}  # of each choice: a template per option
        self._brought: dict[tuple[int, int], dict[str, Any]] = {}  # (choice, option) -> template of what it brings
        self._template: dict[str, Any] = self._fields(parameters, None)

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

    def _add(self, name: str, parameter: Parameter, parent: tuple[int, int] | None) -> _Ref:
        for other in self.dimensions:
            if other.name == name and not self._exclude(other.parent, parent):
                raise ValueError(f"two hyper-parameters of the same configuration are called {name!r}: rename one")
        index = len(self.dimensions)
        self.dimensions += (Dimension(name, parameter, parent),)
        if isinstance(parameter, Choice):
            self._options[index] = []
            for k, option in enumerate(parameter.listed()):
                nested = type(option) in (dict, list, tuple) or is_hyperopt(option) or isinstance(option, Named)
                self._options[index].append(self._node(name, option, (index, k)) if nested else option)
                self._brought[index, k] = self._fields(parameter.brings(k), (index, k))
        return _Ref(index)

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

        return [self._build(self._template, raw) for raw in complete([])]

    def from_unit(self, unit: ArrayLike) -> dict[str, Any]:
        """Configuration at a point (D,) of the unit cube; coordinates of inactive dimensions do not matter.

        Raises:
            ValueError: another shape, or a number outside [0, 1].
        """
        u = np.asarray(unit, dtype=np.float64)
        if u.shape != (len(self.dimensions),) or not ((u >= 0) & (u <= 1)).all():
            raise ValueError(f"expected {len(self.dimensions)} numbers in [0, 1], got {u.tolist()}")
        raw = [d.parameter.from_unit(float(x)) for d, x in zip(self.dimensions, u, strict=True)]
        return self._build(self._template, raw)

    def to_unit(self, config: Mapping[str, Any]) -> NDArray:
        """Point (D,) float64 of a configuration; 0.5 for inactive dimensions.

        Raises:
            ValueError: see `check`.
        """
        raw = self._read(config)
        return np.array(
            [0.5 if v is None else d.parameter.to_unit(v) for d, v in zip(self.dimensions, raw, strict=True)]
        )

    def active(self, config: Mapping[str, Any]) -> NDArray:
        """Which dimensions the configuration has: (D,) bool."""
        return np.array([value is not None for value in self._read(config)])

    def flat(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Active dimensions by name, the options of a choice by value or, where they are nested, by position."""
        flat = {}
        for i, (dimension, value) in enumerate(zip(self.dimensions, self._read(config), strict=True)):
            if value is not None:
                nested = i in self._options and type(self._options[i][value]) in (dict, list, tuple, _Ref)
                flat[dimension.name] = self._options[i][value] if i in self._options and not nested else value
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
        self._read(config)

    # ---- templates

    def _is_active(self, dimension: Dimension, raw: Sequence[Any]) -> bool:
        return dimension.parent is None or raw[dimension.parent[0]] == dimension.parent[1]

    def _build(self, node: Any, raw: Sequence[Any]) -> Any:
        if isinstance(node, _Ref):
            value = raw[node.index]
            return self._build(self._options[node.index][value], raw) if node.index in self._options else value
        if isinstance(node, dict):
            built = {}
            for key, child in node.items():
                built[key] = self._build(child, raw)
                if isinstance(child, _Ref) and child.index in self._options:
                    built |= self._build(self._brought[child.index, raw[child.index]], raw)
            return built
        if type(node) in (list, tuple):
            return type(node)(self._build(child, raw) for child in node)
        return node

    def _read(self, config: Any) -> list[Any]:
        """Value of every dimension, None where it is inactive; of a choice the index of its option."""
        raw: list[Any] = [None] * len(self.dimensions)
        self._match("the configuration", self._template, config, raw)
        return raw

    def _match(self, name: str, node: Any, value: Any, raw: list[Any]) -> None:
        if isinstance(node, _Ref):
            self._match_dimension(node.index, value, raw)
        elif isinstance(node, dict):
            if not isinstance(value, Mapping):
                raise ValueError(f"expected a dict for {name}, got {value!r}")
            known = self._match_fields(node, value, raw)
            for key in value:
                if key not in known:
                    near = difflib.get_close_matches(str(key), [str(k) for k in known], n=1)
                    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(map(str, known))}"
                    raise ValueError(f"unknown hyper-parameter {key!r}: {hint}")
            missing = [key for key in known if key not in value]
            if missing:
                raise ValueError(f"expected a value for {missing[0]!r}, got a configuration without it")
        elif type(node) in (list, tuple):
            if not isinstance(value, list | tuple) or len(value) != len(node):
                raise ValueError(f"expected {len(node)} values for {name}, got {value!r}")
            for i, (child, part) in enumerate(zip(node, value, strict=True)):
                self._match(f"{name}[{i}]", child, part, raw)
        elif not _same(node, value):
            raise ValueError(f"expected {node!r} for {name}, got {value!r}")

    def _match_fields(self, node: Mapping[str, Any], value: Mapping[str, Any], raw: list[Any]) -> list[str]:
        """Match the fields that value has; return all names it may have, in order."""
        known = []
        for key, child in node.items():
            known.append(key)
            if key not in value:
                continue
            self._match(key, child, value[key], raw)
            if isinstance(child, _Ref) and child.index in self._options:
                known += self._match_fields(self._brought[child.index, raw[child.index]], value, raw)
        return known

    def _match_dimension(self, index: int, value: Any, raw: list[Any]) -> None:
        dimension = self.dimensions[index]
        if not isinstance(dimension.parameter, Choice):
            if not dimension.parameter.contains(value):
                raise ValueError(f"expected a value of {dimension.parameter} for {dimension.name!r}, got {value!r}")
            raw[index] = value
            return
        for k, option in enumerate(self._options[index]):
            attempt = list(raw)
            try:
                self._match(dimension.name, option, value, attempt)
            except ValueError:
                continue
            raw[:] = attempt
            raw[index] = k
            return
        options = ", ".join(repr(option) for option in dimension.parameter.listed())
        raise ValueError(f"expected one of {options} for {dimension.name!r}, got {value!r}")


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    try:
        return type(a) is type(b) and bool(a == b) or (_number(a) and _number(b) and a == b)
    except (TypeError, ValueError):  # arrays and the like do not compare to one truth
        return False


def _number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
