"""The tensors stored in an ONNX graph: where their data is, how many numbers they hold."""

import math
import struct
from collections.abc import Iterator

from autograder.grading.model_refusal import ModelRefused, quoted
from autograder.grading.model_wire import Message, Numbers

# an integer tensor up to this size is a shape, a list of axes or an index, not a parameter
_BOOKKEEPING_ELEMENTS = 64
_MAX_RANK = 16
_EXTERNAL = 1
# TensorProto.DataType -> bytes of an element, struct's letter (None: not read as a constant), field for its values
FLOAT, INT64, _FLOAT16, _DOUBLE, _BFLOAT16 = 1, 7, 10, 11, 16
_TYPES: dict[int, tuple[int, str | None, str]] = {
    **{FLOAT: (4, "f", "float_data"), _DOUBLE: (8, "d", "double_data")},
    **{_FLOAT16: (2, "e", "int32_data"), _BFLOAT16: (2, None, "int32_data")},
    **{2: (1, "B", "int32_data"), 3: (1, "b", "int32_data"), 4: (2, "H", "int32_data"), 5: (2, "h", "int32_data")},
    **{6: (4, "i", "int32_data"), INT64: (8, "q", "int64_data"), 9: (1, "?", "int32_data")},
    **{12: (4, "I", "uint64_data"), 13: (8, "Q", "uint64_data")},
}


def count_parameters(graph: Message) -> int:
    """Elements of all stored tensors and of all float attributes; small integer tensors are left out.

    Raises:
        ModelRefused: a tensor that lies outside the file, or is of another type or length than it says.
    """
    floats = sum(len(attribute.floats) for node in graph.node for attribute in node.attribute)
    return floats + sum(_count(tensor) for tensor in _tensors(graph))


def _tensors(graph: Message) -> Iterator[Message]:
    if graph.sparse_initializer:
        raise ModelRefused("tensor_type", "sparse tensors are not accepted")
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.t is not None:
                yield attribute.t
            yield from attribute.tensors


def _count(tensor: Message) -> int:
    """Elements that count as parameters; the data must be in this file and as long as the shape says."""
    if tensor.data_location == _EXTERNAL or tensor.external_data:
        raise ModelRefused(
            "external_data", f"tensor {quoted(tensor.name)} lies in another file; save the model as one file"
        )
    if tensor.data_type not in _TYPES:
        raise ModelRefused(
            "tensor_type", f"tensor {quoted(tensor.name)} has type {tensor.data_type}, which is not accepted"
        )
    width, _, field = _TYPES[tensor.data_type]
    values = getattr(tensor, field)
    shape = list(tensor.dims[: _MAX_RANK + 1])  # the product of a million huge numbers would take hours
    elements = math.prod(shape)
    stored = len(tensor.raw_data) / width if tensor.raw_data else len(values)
    if len(shape) > _MAX_RANK or min(shape, default=0) < 0 or stored != elements or (tensor.raw_data and len(values)):
        raise ModelRefused(
            "corrupt", f"tensor {quoted(tensor.name)} has shape {shape[:8]} and {stored:g} stored values"
        )
    is_float = tensor.data_type in (FLOAT, _DOUBLE, _FLOAT16, _BFLOAT16)
    return elements if is_float or elements > _BOOKKEEPING_ELEMENTS else 0


def small_constants(graph: Message) -> dict[str, list[int | float]]:
    """Name -> values of the small constants of the graph: shapes, repeats, flags."""
    small: dict[str, list[int | float]] = {}
    named = [(tensor.name, tensor) for tensor in graph.initializer]
    for node in graph.node:
        if node.op_type == "Constant" and node.output:
            for attribute in node.attribute:
                if attribute.t is not None:
                    named.append((node.output[0], attribute.t))
                elif attribute.ints:
                    small[node.output[0]] = list(attribute.ints[:_BOOKKEEPING_ELEMENTS])
                elif attribute.name == "value_int":
                    small[node.output[0]] = [attribute.i]
    for name, tensor in named:
        if math.prod(tensor.dims) <= _BOOKKEEPING_ELEMENTS:
            small[name] = _values(tensor)
    return small


def _values(tensor: Message) -> list[int | float]:
    """The numbers of a tensor that `count_parameters` has passed."""
    _, letter, field = _TYPES[tensor.data_type]
    if tensor.raw_data and letter is not None:
        return [value for (value,) in struct.iter_unpack(f"<{letter}", tensor.raw_data)]
    values = getattr(tensor, field)
    if isinstance(values, Numbers):
        return list(values.values())
    return [] if letter in ("e", None) else list(values)


def check_computed(node: Message, constants: dict[str, list[int | float]], max_elements: int) -> None:
    if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2] and any(constants.get(node.input[2], [1])):
        raise ModelRefused("training_mode", "dropout is in training mode; call model.eval() before exporting")
    position = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}.get(node.op_type)
    if position is None or len(node.input) <= position:
        return
    elements = math.prod(abs(int(value)) for value in constants.get(node.input[position], []) if math.isfinite(value))
    if elements > max_elements:
        raise ModelRefused("too_many_parameters", f"{node.op_type} makes a tensor of {elements:,} elements")
