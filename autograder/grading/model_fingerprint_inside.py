"""Runs INSIDE the sandbox, alone: `python -I model_fingerprint_inside.py model.onnx`; prints one line of JSON.

`exact` is a hash over the stored numbers as float32, whatever tensors are called, in whatever order and floating-point
type they are stored. `axes` has a signature per axis of each weight matrix that survives what leaves a network's
function as it is: permuted hidden units, a positive factor moved from one layer to the next (ReLU), another float type.
For that a matrix M is scaled from both sides until all rows and columns have the mean square 1 (Sinkhorn and Knopp,
Pacific J. Math. 21, 1967, on the squares: the limit is the same for D1 M D2 with any positive diagonal D1, D2); then
the fourth moment of each row does not depend on the order of columns, and their sorted list not on the order of rows.
"""

import hashlib
import json
import math
import os
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from autograder.grading.model_wire import Message, Numbers, read_model  # noqa: E402

QUANTILES = 32
MAX_TENSORS = 64  # the largest ones
_ITERATIONS = 40
_FLOAT, _FLOAT16, _DOUBLE, _BFLOAT16 = 1, 10, 11, 16
_TYPES = {_FLOAT: "<f4", _FLOAT16: "<f2", _DOUBLE: "<f8", _BFLOAT16: "<u2"}


def array(tensor: Message) -> "np.ndarray | None":
    """The tensor as float32 of its shape, None for another type or a shape that does not fit."""
    if tensor.data_type not in _TYPES:
        return None
    kind = _TYPES[tensor.data_type]
    stored = tensor.raw_data
    if not stored and tensor.data_type in (_FLOAT, _DOUBLE):
        numbers: Numbers = tensor.float_data if tensor.data_type == _FLOAT else tensor.double_data
        stored = b"".join(bytes(part) for part in numbers.parts)
    values = np.frombuffer(stored, kind) if stored else np.array(tensor.int32_data, "<i8").astype("<u2").view(kind)
    if tensor.data_type == _BFLOAT16:
        values = (values.astype("<u4") << 16).view("<f4")
    if len(tensor.dims) > 16 or math.prod(tensor.dims) != values.size:
        return None
    with np.errstate(all="ignore"):
        return values.astype("<f4").reshape(tensor.dims)


def balanced(matrix: "np.ndarray") -> "np.ndarray":
    """Squares of the elements, float64, rows and columns scaled to the mean 1; those of zeros only stay so."""
    squares = np.square(matrix.astype(np.float64))
    columns = np.ones(squares.shape[1])
    for _ in range(_ITERATIONS):
        rows = _inverse(squares @ columns / columns.size)
        before, columns = columns, _inverse(rows @ squares / rows.size)
        if np.allclose(before, columns, rtol=1e-6, atol=0):
            break
    return squares * rows[:, None] * columns


def _inverse(values: "np.ndarray") -> "np.ndarray":
    return np.divide(1, values, out=np.zeros_like(values), where=values > 0)


def signatures(matrix: "np.ndarray") -> list[list[float]]:
    """[units, fourth moments' quantiles] of both axes."""
    fourth = np.square(balanced(matrix))
    grid = np.linspace(0, 1, QUANTILES)
    return [
        [float(each) for each in (fourth.shape[1 - axis], *np.quantile(fourth.mean(axis), grid))] for axis in (1, 0)
    ]


def main() -> None:
    with open(sys.argv[1], "rb") as file:
        graph = read_model(file.read()).graph
    found = list(graph.initializer)
    found += [each.t for node in graph.node for each in node.attribute if each.t is not None]
    tensors = [values for values in map(array, found) if values is not None and values.size]
    digests = sorted(f"{values.shape}".encode() + hashlib.sha256(values.tobytes()).digest() for values in tensors)
    matrices = [values.reshape(len(values), -1) for values in tensors if values.ndim > 1 and np.isfinite(values).all()]
    matrices = sorted((m for m in matrices if min(m.shape) > 1), key=np.size, reverse=True)[:MAX_TENSORS]
    with np.errstate(all="ignore"):
        axes = [axis for matrix in matrices for axis in signatures(matrix)]
    axes = sorted(axis for axis in axes if np.isfinite(axis).all())
    print(json.dumps({"exact": hashlib.sha256(b"".join(digests)).hexdigest(), "axes": axes}))


if __name__ == "__main__":
    main()
