"""Reads an ONNX file's protobuf message in plain Python, so that no C++ parses hostile bytes outside a sandbox.

Stricter than protobuf: a field that ONNX does not define, one that may stand once and stands twice, and a number
in more than ten bytes are refused, as two readers may understand such a file differently. Tensor contents are
views into the file, never copies. Field numbers are those of onnx.proto (ONNX 1.18, IR version 11).
"""

from __future__ import annotations

import struct
from typing import Any

MAX_FIELDS = 2_000_000  # read in some seconds; an honest model has some thousands
MAX_DEPTH = 12
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDTH = {"float": 4, "double": 8}

# message -> field number -> (name, kind); "*" marks a repeated field, a capital a message
_SCHEMA: dict[str, dict[int, tuple[str, str]]] = {
    "Model": {
        **{1: ("ir_version", "int"), 8: ("opset_import", "Opset*"), 2: ("producer_name", "text")},
        **{3: ("producer_version", "text"), 4: ("domain", "text"), 5: ("model_version", "int")},
        **{6: ("doc_string", "bytes"), 7: ("graph", "Graph"), 14: ("metadata_props", "Pair*")},
        **{20: ("training_info", "Opaque*"), 25: ("functions", "Function*"), 26: ("configuration", "Opaque*")},
    },
    "Opset": {1: ("domain", "text"), 2: ("version", "int")},
    "Pair": {1: ("key", "bytes"), 2: ("value", "bytes")},
    "Opaque": {},
    "Function": {1: ("name", "text")},
    "Graph": {
        **{1: ("node", "Node*"), 2: ("name", "text"), 5: ("initializer", "Tensor*"), 10: ("doc_string", "bytes")},
        **{11: ("input", "Value*"), 12: ("output", "Value*"), 13: ("value_info", "Value*")},
        **{14: ("quantization_annotation", "Opaque*"), 15: ("sparse_initializer", "Opaque*")},
        **{16: ("metadata_props", "Pair*")},
    },
    "Node": {
        **{1: ("input", "text*"), 2: ("output", "text*"), 3: ("name", "text"), 4: ("op_type", "text")},
        **{5: ("attribute", "Attribute*"), 6: ("doc_string", "bytes"), 7: ("domain", "text")},
        **{8: ("overload", "text"), 9: ("metadata_props", "Pair*"), 10: ("device_configurations", "Opaque*")},
    },
    "Attribute": {
        **{1: ("name", "text"), 2: ("f", "float"), 3: ("i", "int"), 4: ("s", "bytes"), 5: ("t", "Tensor")},
        **{6: ("g", "Opaque"), 7: ("floats", "float*"), 8: ("ints", "int*"), 9: ("strings", "bytes*")},
        **{10: ("tensors", "Tensor*"), 11: ("graphs", "Opaque*"), 13: ("doc_string", "bytes")},
        **{14: ("tp", "Opaque"), 15: ("type_protos", "Opaque*"), 20: ("type", "int")},
        **{21: ("ref_attr_name", "text"), 22: ("sparse_tensor", "Opaque"), 23: ("sparse_tensors", "Opaque*")},
    },
    "Tensor": {
        **{1: ("dims", "int*"), 2: ("data_type", "int"), 3: ("segment", "Opaque"), 4: ("float_data", "float*")},
        **{5: ("int32_data", "int*"), 6: ("string_data", "bytes*"), 7: ("int64_data", "int*"), 8: ("name", "text")},
        **{9: ("raw_data", "bytes"), 10: ("double_data", "double*"), 11: ("uint64_data", "int*")},
        **{12: ("doc_string", "bytes"), 13: ("external_data", "Pair*"), 14: ("data_location", "int")},
        16: ("metadata_props", "Pair*"),
    },
    "Value": {
        **{1: ("name", "text"), 2: ("type", "Type"), 3: ("doc_string", "bytes"), 4: ("metadata_props", "Pair*")},
    },
    "Type": {
        **{1: ("tensor_type", "TensorType"), 4: ("sequence_type", "Opaque"), 5: ("map_type", "Opaque")},
        **{6: ("denotation", "text"), 8: ("sparse_tensor_type", "Opaque"), 9: ("optional_type", "Opaque")},
    },
    "TensorType": {1: ("elem_type", "int"), 2: ("shape", "Shape")},
    "Shape": {1: ("dim", "Dimension*")},
    "Dimension": {1: ("dim_value", "int"), 2: ("dim_param", "bytes"), 3: ("denotation", "bytes")},
}
_EMPTY: dict[str, Any] = {"int": 0, "float": 0.0, "double": 0.0, "text": "", "bytes": b""}
_ONE_OF = {"Type": {"tensor_type", "sequence_type", "map_type", "sparse_tensor_type", "optional_type"}}
_ONE_OF["Dimension"] = {"dim_value", "dim_param"}


class WireError(ValueError):
    """Not a message of this schema; the text says why and where, in bytes from the start."""


class Message:
    """One message: its fields as attributes, repeated ones as lists, absent ones empty (a message: None)."""

    def __init__(self, kind: str) -> None:
        self._present: set[str] = set()
        for name, what in _SCHEMA[kind].values():
            value: Any = [] if what.endswith("*") else _EMPTY.get(what)
            if what in ("float*", "double*"):
                value = Numbers(_WIDTH[what[:-1]])
            setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:  # what the constructor sets; for the type checker
        raise AttributeError(name)

    def has(self, name: str) -> bool:
        """Whether the field stands in the file."""
        return name in self._present


class Numbers:
    """Packed floating-point numbers, kept as they lie in the file."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.parts: list[memoryview] = []

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts) // self.width

    def values(self) -> list[float]:
        letter = "f" if self.width == 4 else "d"
        return [value for part in self.parts for (value,) in struct.iter_unpack(f"<{letter}", part)]


def read_model(data: bytes) -> Message:
    """The whole file as a ModelProto.

    Raises:
        WireError: with the first thing that is wrong.
    """
    return _Reader(memoryview(data)).message("Model", 0, len(data), 0)


class _Reader:
    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.fields = 0

    def message(self, kind: str, start: int, end: int, depth: int) -> Message:
        if depth > MAX_DEPTH:
            raise WireError(f"messages nested more than {MAX_DEPTH} deep")
        schema, found, at = _SCHEMA[kind], Message(kind), start
        while at < end:
            self.fields += 1
            if self.fields > MAX_FIELDS:
                raise WireError(f"more than {MAX_FIELDS:,} fields")
            tag, at = self.varint(at, end)
            number, wire = tag >> 3, tag & 7
            start_of_value, at = self.skip(wire, at, end)
            if kind == "Opaque" or (kind == "Function" and number not in schema):
                continue  # refused as a whole by whoever finds it
            if number not in schema:
                raise WireError(f"field {number} of {kind} at byte {start_of_value} is not defined by ONNX")
            name, what = schema[number]
            if name in found._present and not what.endswith("*"):
                raise WireError(f"{name} of {kind} stands there twice")
            found._present.add(name)
            self.field(found, name, what, wire, start_of_value, at, depth)
        if len(found._present & _ONE_OF.get(kind, set())) > 1:
            raise WireError(f"{kind} says two different things")
        return found

    def field(self, found: Message, name: str, what: str, wire: int, start: int, end: int, depth: int) -> None:
        many, single = what.endswith("*"), what.removesuffix("*")
        if single in ("int", "float", "double"):
            own = _VARINT if single == "int" else _FIXED32 if single == "float" else _FIXED64
            if wire not in ((own, _BYTES) if many else (own,)):
                raise WireError(f"{name} at byte {start} has wire type {wire}")
            if single != "int":
                values = getattr(found, name)
                if not many:
                    (value,) = struct.unpack("<f", self.data[start:end])
                    setattr(found, name, value)
                elif (end - start) % values.width:
                    raise WireError(f"{name} at byte {start} is cut")
                else:
                    values.parts.append(self.data[start:end])
            elif many:
                values = getattr(found, name)
                while start < end:
                    self.fields += 1
                    if self.fields > MAX_FIELDS:
                        raise WireError(f"more than {MAX_FIELDS:,} fields")
                    value, start = self.varint(start, end)
                    values.append(_signed(value))
            else:
                setattr(found, name, _signed(self.varint(start, end)[0]))
            return
        if wire != _BYTES:
            raise WireError(f"{name} at byte {start} has wire type {wire}")
        value = self.data[start:end]
        if single == "text":
            value = bytes(value).decode("utf-8")  # UnicodeDecodeError is a ValueError
        elif single != "bytes":
            value = self.message(single, start, end, depth + 1)
        if many:
            getattr(found, name).append(value)
        else:
            setattr(found, name, value)

    def skip(self, wire: int, at: int, end: int) -> tuple[int, int]:
        """(first byte, byte after the last) of a value whose tag ends before `at`."""
        if wire == _VARINT:
            stop = self.varint(at, end)[1]
        elif wire in (_FIXED32, _FIXED64):
            stop = at + (4 if wire == _FIXED32 else 8)
        elif wire == _BYTES:
            length, at = self.varint(at, end)
            stop = at + length
        else:
            raise WireError(f"wire type {wire} at byte {at}")
        if stop > end:
            raise WireError(f"cut off at byte {at}")
        return at, stop

    def varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        data = self.data
        while at < end:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, at
            shift += 7
            if shift > 63:
                raise WireError(f"a number of more than ten bytes at byte {at}")
        raise WireError(f"cut off at byte {at}")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
