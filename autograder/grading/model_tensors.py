"""The tensors stored in an ONNX graph: where their data is, how many numbers they hold."""

import math
from collections.abc import Iterator
from typing import Any

from autograder.grading.model_refusal import ModelRefused, quoted

# an integer tensor up to this size is a shape, a list of axes or an index, not a parameter
_BOOKKEEPING_ELEMENTS = 64
_MAX_RANK = 16


def count_parameters(graph: Any) -> int:
    """Elements of all stored tensors and of all float attributes; small integer tensors are left out.

    Raises:
        ModelRefused: a tensor that lies outside the file, or is of another type or length than it says.
    """
    floats = sum(len(attribute.floats) for node in graph.node for attribute in node.attribute)
    return floats + sum(_count(tensor) for tensor in _tensors(graph))


def _tensors(graph: Any) -> Iterator[Any]:
    if graph.sparse_initializer:
        raise ModelRefused("tensor_type", "sparse tensors are not accepted")
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _count(tensor: Any) -> int:
    """Elements that count as parameters; the data must be in this file and as long as the shape says."""
    import onnx

    kind = onnx.TensorProto
    if tensor.data_location == kind.EXTERNAL or tensor.external_data:
        raise ModelRefused(
            "external_data", f"tensor {quoted(tensor.name)} lies in another file; save the model as one file"
        )
    fields = {
        kind.FLOAT: (4, tensor.float_data),
        kind.DOUBLE: (8, tensor.double_data),
        kind.FLOAT16: (2, tensor.int32_data),
        kind.BFLOAT16: (2, tensor.int32_data),
        kind.INT8: (1, tensor.int32_data),
        kind.UINT8: (1, tensor.int32_data),
        kind.INT16: (2, tensor.int32_data),
        kind.UINT16: (2, tensor.int32_data),
        kind.INT32: (4, tensor.int32_data),
        kind.BOOL: (1, tensor.int32_data),
        kind.INT64: (8, tensor.int64_data),
        kind.UINT32: (4, tensor.uint64_data),
        kind.UINT64: (8, tensor.uint64_data),
    }
    if tensor.data_type not in fields:
        raise ModelRefused(
            "tensor_type", f"tensor {quoted(tensor.name)} has type {tensor.data_type}, which is not accepted"
        )
    width, values = fields[tensor.data_type]
    shape = list(tensor.dims[: _MAX_RANK + 1])  # the product of a million huge numbers would take hours
    elements = math.prod(shape)
    stored = len(tensor.raw_data) / width if tensor.raw_data else len(values)
    if len(shape) > _MAX_RANK or min(shape, default=0) < 0 or stored != elements or (tensor.raw_data and len(values)):
        raise ModelRefused(
            "corrupt", f"tensor {quoted(tensor.name)} has shape {shape[:8]} and {stored:g} stored values"
        )
    is_float = tensor.data_type in (kind.FLOAT, kind.DOUBLE, kind.FLOAT16, kind.BFLOAT16)
    return elements if is_float or elements > _BOOKKEEPING_ELEMENTS else 0


def small_constants(graph: Any) -> dict[str, list[int | float]]:
    """Name -> values of the small constants of the graph: shapes, repeats, flags."""
    from onnx import numpy_helper

    small: dict[str, list[int | float]] = {}
    named = [(tensor.name, tensor) for tensor in graph.initializer]
    for node in graph.node:
        if node.op_type == "Constant" and node.output:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    named.append((node.output[0], attribute.t))
                elif attribute.ints:
                    small[node.output[0]] = list(attribute.ints[:_BOOKKEEPING_ELEMENTS])
                elif attribute.name == "value_int":
                    small[node.output[0]] = [attribute.i]
    for name, tensor in named:
        if math.prod(tensor.dims) <= _BOOKKEEPING_ELEMENTS:
            small[name] = numpy_helper.to_array(tensor).ravel().tolist()
    return small


def check_computed(node: Any, constants: dict[str, list[int | float]], max_elements: int) -> None:
    if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2] and any(constants.get(node.input[2], [1])):
        raise ModelRefused("training_mode", "dropout is in training mode; call model.eval() before exporting")
    position = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}.get(node.op_type)
    if position is None or len(node.input) <= position:
        return
    elements = math.prod(abs(int(value)) for value in constants.get(node.input[position], []) if math.isfinite(value))
    if elements > max_elements:
        raise ModelRefused("too_many_parameters", f"{node.op_type} makes a tensor of {elements:,} elements")
