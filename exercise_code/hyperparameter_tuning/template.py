"""The shape of a space's configurations: fills it with values, and reads the values out of a configuration."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exercise_code.hyperparameter_tuning.parameters import Choice, Parameter


@dataclass(frozen=True)
class Dimension:
    """One coordinate: its parameter, and `(index of a choice, index of the option)` it depends on, or None."""

    name: str
    parameter: Parameter
    parent: tuple[int, int] | None = None


@dataclass(frozen=True)
class Ref:
    """Place in a template that takes the value of a dimension."""

    index: int


class Template:
    """Nested dicts, lists and tuples with a `Ref` wherever a dimension's value belongs.

    Attributes: dimensions, in the order of their indices; root, the dict of a whole configuration; options, choice -> a template
    per option; brought, (choice, option) -> template of the fields that the option brings.  Values are listed by dimension
    ("raw"): the value itself, of a choice the index of its option, None where the dimension is inactive.

    >>> from exercise_code.hyperparameter_tuning.parameters import Float
    >>> template = Template()
    >>> template.dimensions, template.root = (Dimension("lr", Float(0, 1)),), {"solver": {"lr": Ref(0)}}
    >>> template.build([0.5]), template.read({"solver": {"lr": 0.1}})
    ({'solver': {'lr': 0.5}}, [0.1])
    """

    def __init__(self) -> None:
        self.dimensions: tuple[Dimension, ...] = ()
        self.root: dict[str, Any] = {}
        self.options: dict[int, list[Any]] = {}
        self.brought: dict[tuple[int, int], dict[str, Any]] = {}

    def build(self, raw: Sequence[Any]) -> dict[str, Any]:
        """The configuration with these values."""
        return self._build(self.root, raw)

    def read(self, config: Any) -> list[Any]:
        """Values of a configuration; ValueError for an unknown name (with the nearest), a missing one, a value outside."""
        raw: list[Any] = [None] * len(self.dimensions)
        self._match("the configuration", self.root, config, raw)
        return raw

    def _build(self, node: Any, raw: Sequence[Any]) -> Any:
        if isinstance(node, Ref):
            value = raw[node.index]
            return self._build(self.options[node.index][value], raw) if node.index in self.options else value
        if isinstance(node, dict):
            built = {}
            for key, child in node.items():
                built[key] = self._build(child, raw)
                if isinstance(child, Ref) and child.index in self.options:
                    built |= self._build(self.brought[child.index, raw[child.index]], raw)
            return built
        if type(node) in (list, tuple):
            return type(node)(self._build(child, raw) for child in node)
        return node

    def _match(self, name: str, node: Any, value: Any, raw: list[Any]) -> None:
        if isinstance(node, Ref):
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
            if isinstance(child, Ref) and child.index in self.options:
                known += self._match_fields(self.brought[child.index, raw[child.index]], value, raw)
        return known

    def _match_dimension(self, index: int, value: Any, raw: list[Any]) -> None:
        dimension = self.dimensions[index]
        if not isinstance(dimension.parameter, Choice):
            if not dimension.parameter.contains(value):
                raise ValueError(f"expected a value of {dimension.parameter} for {dimension.name!r}, got {value!r}")
            raw[index] = value
            return
        for k, option in enumerate(self.options[index]):
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
