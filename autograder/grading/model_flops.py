"""Floating-point operations of one image, from shapes that are followed through the graph.

A multiplication with its addition counts two, every other element-wise result one. Followed are the operators
of ordinary classifiers; where a product's shapes cannot be told (its operands come out of another operator) the
count is None rather than too low.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from autograder.grading.model_operators import names
from autograder.grading.model_wire import Message

Shape = list[int]
_PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "Attention"})
_FREE = names(  # they move numbers and compute none
    "Constant ConstantOfShape Identity Flatten Reshape Transpose Squeeze Unsqueeze Shape Size Dropout Cast CastLike "
    "Concat Split Slice Pad Expand Tile Gather GatherElements GatherND DepthToSpace SpaceToDepth Range EyeLike OneHot "
    "Trilu"
)
_LIKE_FIRST = names(
    "Relu LeakyRelu PRelu ThresholdedRelu Elu Selu Celu Sigmoid HardSigmoid HardSwish Swish Mish Tanh Softplus "
    "Softsign Erf Gelu Shrink Softmax LogSoftmax Hardmax Clip Neg Abs Sign Sqrt Reciprocal Exp Log Floor Ceil "
    "Round Sin Cos Tan Sinh Cosh Asin Acos Atan Asinh Acosh Atanh BatchNormalization InstanceNormalization "
    "LayerNormalization LRN GroupNormalization RMSNormalization LpNormalization MeanVarianceNormalization "
    "CumSum Not IsNaN IsInf Trilu Identity Dropout Cast CastLike "
)
_BROADCAST = names(
    "Add Sub Mul Div Mod Pow Min Max Sum Mean Where Greater GreaterOrEqual Less LessOrEqual Equal And Or Xor "
)
_POOLS = frozenset({"MaxPool", "AveragePool", "LpPool"})
_MAX_SIZE = 1 << 62
_MAX_RANK = 64


def count_flops(graph: Message, image: Sequence[int], constants: Mapping[str, list[int | float]]) -> int | None:
    """The operations for a batch of one, or None.

    Args:
        image: (C, H, W).
        constants: values of the small constants, see `model_tensors.small_constants`.
    """
    shapes: dict[str, Shape] = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in graph.input:
        shapes.setdefault(value.name, [1, *image])
    known = dict(constants)
    total = 0
    for node in graph.node:
        given = [shapes.get(name) for name in node.input]
        try:
            out = _shapes_out(node, given, known)
            _follow_values(node, shapes, known)
        except (ArithmeticError, LookupError, ValueError, TypeError, StopIteration):  # onnxruntime will refuse it
            out = None
        if out is not None and not all(map(_is_sane, out)):
            out = None
        shapes.update(zip(node.output, out or (), strict=False))
        operations = _operations(node, given, out)
        if operations is None:
            return None
        total += operations
    return total


def _is_sane(shape: Shape) -> bool:
    return len(shape) <= _MAX_RANK and min(shape, default=0) >= 0 and math.prod(shape) < _MAX_SIZE


def _operations(node: Message, given: list[Shape | None], out: list[Shape] | None) -> int | None:
    if node.op_type in _FREE:
        return 0
    if node.op_type not in _PRODUCTS:
        elements = math.prod(out[0]) if out else max((math.prod(shape) for shape in given if shape), default=0)
        return elements * (math.prod(_kernel(node)) if node.op_type in _POOLS else 1)
    if out is None or given[0] is None or given[1] is None:
        return None
    if node.op_type == "Conv":
        return 2 * math.prod(out[0]) * math.prod(given[1][1:])  # (M, C/group, *kernel)
    if node.op_type == "ConvTranspose":
        return 2 * math.prod(given[0]) * math.prod(given[1][1:])  # (C, M/group, *kernel)
    inner = given[0][0] if node.op_type == "Gemm" and _number(node, "transA", 0) else given[0][-1]
    return 2 * math.prod(out[0]) * inner


def _shapes_out(node: Message, given: list[Shape | None], known: Mapping[str, list[int | float]]) -> list[Shape] | None:
    """Shapes of the node's outputs, None where they cannot be told."""
    kind = node.op_type
    if kind == "Constant":
        values = known.get(node.output[0])
        tensor = next((a.t for a in node.attribute if a.t is not None), None)
        if tensor is not None:
            return [list(tensor.dims)]
        return None if values is None else [[len(values)]]
    first = given[0] if given else None
    if first is None:
        return None
    if kind in _LIKE_FIRST:
        return [first] * len(node.output)
    if kind in _BROADCAST:
        return None if any(shape is None for shape in given) else [_broadcast([s for s in given if s is not None])]
    if kind in ("Conv", "ConvTranspose", *_POOLS):
        return _sliding(node, first, given)
    if kind.startswith("Global"):
        return [[*first[:2], *[1] * (len(first) - 2)]]
    if kind == "Gemm" and given[1] is not None:
        rows = first[1] if _number(node, "transA", 0) else first[0]
        return [[rows, given[1][0] if _number(node, "transB", 0) else given[1][1]]]
    if kind == "MatMul" and given[1] is not None and len(first) >= 2 and len(given[1]) >= 2:
        return [[*_broadcast([first[:-2], given[1][:-2]]), first[-2], given[1][-1]]]
    return _moved(node, first, given, known)


def _moved(
    node: Message, first: Shape, given: list[Shape | None], known: Mapping[str, list[int | float]]
) -> list[Shape] | None:
    """Operators that rearrange, cut or gather."""
    kind, rank = node.op_type, len(first)
    asked = [int(value) for value in known[node.input[1]]] if len(node.input) > 1 and node.input[1] in known else None
    if kind == "Flatten":
        axis = _number(node, "axis", 1) % (rank + 1)
        return [[math.prod(first[:axis]), math.prod(first[axis:])]]
    if kind == "Reshape" and asked is not None:
        shape = [first[index] if side == 0 else side for index, side in enumerate(asked)]
        if -1 in shape:
            shape[shape.index(-1)] = math.prod(first) // math.prod(side for side in shape if side != -1)
        return [shape]
    if kind == "Transpose":
        order = _numbers(node, "perm") or list(range(rank))[::-1]
        return [[first[axis] for axis in order]]
    if kind in ("Squeeze", "Unsqueeze") and asked is not None:
        if kind == "Squeeze":
            gone = {axis % rank for axis in asked}
            return [[side for axis, side in enumerate(first) if axis not in gone]]
        new, rest = {axis % (rank + len(asked)) for axis in asked}, iter(first)
        return [[1 if axis in new else next(rest) for axis in range(rank + len(asked))]]
    if kind == "Shape":
        return [[rank]]
    if kind == "Concat" and all(shape is not None for shape in given):
        axis = _number(node, "axis", 0) % rank
        return [[*first[:axis], sum(shape[axis] for shape in given if shape), *first[axis + 1 :]]]
    if kind == "Gather" and given[1] is not None:
        axis = _number(node, "axis", 0) % rank
        return [[*first[:axis], *given[1], *first[axis + 1 :]]]
    if kind == "Pad" and asked is not None and len(asked) == 2 * rank and len(node.input) < 4:
        return [[side + asked[axis] + asked[axis + rank] for axis, side in enumerate(first)]]
    if kind.startswith("Reduce"):
        axes = asked if asked is not None else _numbers(node, "axes")
        gone = {axis % rank for axis in axes} if axes else set(range(rank))
        keep = _number(node, "keepdims", 1)
        return [[1 if axis in gone else side for axis, side in enumerate(first) if keep or axis not in gone]]
    return None


def _sliding(node: Message, first: Shape, given: list[Shape | None]) -> list[Shape] | None:
    weights = given[1] if node.op_type.startswith("Conv") else None
    if node.op_type.startswith("Conv") and weights is None:
        return None
    kernel = weights[2:] if weights is not None else _kernel(node)
    count = len(kernel)
    strides = _numbers(node, "strides") or [1] * count
    dilations = _numbers(node, "dilations") or [1] * count
    pads = _numbers(node, "pads") or [0] * (2 * count)
    automatic = next((bytes(a.s) for a in node.attribute if a.name == "auto_pad"), b"NOTSET")
    if node.op_type == "ConvTranspose":
        more = _numbers(node, "output_padding") or [0] * count
        if automatic != b"NOTSET" or _numbers(node, "output_shape") or weights is None:
            return None
        sides = [
            strides[d] * (first[2 + d] - 1) + more[d] + (kernel[d] - 1) * dilations[d] + 1 - pads[d] - pads[d + count]
            for d in range(count)
        ]
        return [[first[0], weights[1] * _number(node, "group", 1), *sides]]
    sides = []
    for d in range(count):
        extent = (kernel[d] - 1) * dilations[d] + 1
        if automatic.startswith(b"SAME"):
            sides.append(-(-first[2 + d] // strides[d]))
            continue
        room = first[2 + d] + (0 if automatic == b"VALID" else pads[d] + pads[d + count]) - extent
        sides.append((-(-room // strides[d]) if _number(node, "ceil_mode", 0) else room // strides[d]) + 1)
    channels = weights[0] if weights is not None else first[1]
    return [[first[0], channels, *sides]] * len(node.output)


def _follow_values(node: Message, shapes: Mapping[str, Shape], known: dict[str, list[int | float]]) -> None:
    """Values of the few operators with which exporters compute a shape for Reshape."""
    source = node.input[0] if node.input else ""
    values: list[int | float] | None = None
    if node.op_type == "Shape" and source in shapes:
        values = list(shapes[source])
    elif node.op_type in ("Unsqueeze", "Squeeze", "Cast", "Identity") and source in known:
        values = known[source]
    elif node.op_type == "Gather" and source in known and node.input[1] in known:
        values = [known[source][int(index)] for index in known[node.input[1]]]
    elif node.op_type == "Concat" and all(name in known for name in node.input):
        values = [value for name in node.input for value in known[name]]
    if values is not None and len(values) <= 64:
        known[node.output[0]] = values


def _broadcast(shapes: list[Shape]) -> Shape:
    rank = max(map(len, shapes))
    padded = [[1] * (rank - len(shape)) + shape for shape in shapes]
    return [max(sides) if 0 not in sides else 0 for sides in zip(*padded, strict=True)]


def _kernel(node: Message) -> list[int]:
    return _numbers(node, "kernel_shape")


def _number(node: Message, name: str, default: int) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == name), default)


def _numbers(node: Message, name: str) -> list[int]:
    return next((list(attribute.ints) for attribute in node.attribute if attribute.name == name), [])
