"""The ONNX rules of NumPy networks: which nodes compute what a layer computes when it predicts.

A layer or a whole network of your own brings its rule as a method `onnx(graph, x)`: add nodes to the `OnnxGraph`, starting
from the array called x (a layer's input, (N, D) float32), and return the name of the result.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class ExportError(ValueError):
    """The network or its preprocessing cannot be written as ONNX; the message names the offending part.

    >>> add_layer(OnnxGraph(), object(), "x", "layer 2 of MyNet")      # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    exercise_code.onnx_graph.ExportError: layer 2 of MyNet, object, has no ONNX rule: give it a method onnx(graph, x) ...
    """


class OnnxGraph:
    """Nodes and weights of a graph that is being built.

    >>> graph = OnnxGraph()
    >>> doubled = graph.node("Mul", ["x", graph.tensor(np.array([2.0]))])
    >>> doubled, [node.op_type for node in graph.nodes], list(graph.weights)
    ('mul_0', ['Mul'], ['weight_0'])
    """

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: dict[str, Any] = {}

    def tensor(self, values: NDArray, name: str = "") -> str:
        """Store values as a float32 weight and return its name (a free one unless it is given)."""
        from onnx import numpy_helper

        name = name or f"weight_{len(self.weights)}"
        self.weights[name] = numpy_helper.from_array(np.ascontiguousarray(values, dtype=np.float32), name)
        return name

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        """Add an operator of the default ONNX domain with one output, and return the output's name."""
        from onnx import helper

        output = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output


def add_network(graph: OnnxGraph, model: Any, x: str) -> str:
    """Add what the network computes from x (N, D) when it predicts; return the name of its output.

    In this order: the network's own `onnx` method; the rules of its `layers`; its `inference_layers` with its activation.

    Raises:
        ExportError: none of them, or a layer without a rule.

    >>> from exercise_code.networks import ClassificationNet
    >>> graph = OnnxGraph()
    >>> add_network(graph, ClassificationNet(input_size=4), "x"), list(graph.weights)
    ('gemm_2', ['W1', 'b1', 'W2', 'b2'])
    """
    name = type(model).__name__
    if hasattr(model, "onnx"):
        return model.onnx(graph, x)
    if hasattr(model, "layers"):
        for number, layer in enumerate(model.layers, start=1):
            x = add_layer(graph, layer, x, f"layer {number} of {name}")
        return x
    if not hasattr(model, "inference_layers") or _computes_otherwise(type(model)):
        raise ExportError(
            f"{name} computes its output in a forward of its own and has no ONNX rule: give it a method onnx(graph, x) that "
            "adds its nodes and returns the name of their result, or build it as a MyOwnNetwork of layers"
        )
    for i, (w, b) in enumerate(model.inference_layers(), start=1):
        x = graph.node("Gemm", [x, graph.tensor(w, f"W{i}"), graph.tensor(b, f"b{i}")])
        if i < model.num_layer:
            x = add_layer(graph, model.activation, x, f"the activation of {name}")
    return x


def add_layer(graph: OnnxGraph, layer: Any, x: str, where: str) -> str:
    """Add one layer by its own `onnx` method or the rule of its class; `where` names it in the message of an ExportError.

    >>> from exercise_code.networks.layer import Elu
    >>> graph = OnnxGraph()
    >>> add_layer(graph, Elu(alpha=0.5), "x", "the activation"), graph.nodes[0].attribute[0].f
    ('elu_0', 0.5)
    """
    if hasattr(layer, "onnx"):
        return layer.onnx(graph, x)
    name = type(layer).__name__
    if name not in RULES:
        raise ExportError(
            f"{where}, {name}, has no ONNX rule: give it a method onnx(graph, x) that adds its nodes and returns the name of "
            f"their result, or use one of {', '.join(sorted(RULES))}"
        )
    return RULES[name](graph, layer, x)


def _computes_otherwise(kind: type) -> bool:
    """Whether forward was redefined below the class whose `inference_layers` describe it."""
    line = [base for base in kind.__mro__ if {"forward", "inference_layers"} & set(vars(base))]
    return bool(line) and "inference_layers" not in vars(line[0]) and any("inference_layers" in vars(b) for b in line)


def _affine(graph: OnnxGraph, layer: Any, x: str) -> str:
    return graph.node("Gemm", [x, graph.tensor(layer.w), graph.tensor(layer.b)])


def _maxout(graph: OnnxGraph, layer: Any, x: str) -> str:
    pieces = [graph.node("Gemm", [x, graph.tensor(w), graph.tensor(b)]) for w, b in zip(layer.w, layer.b, strict=True)]
    return graph.node("Max", pieces)


def _batch_norm(graph: OnnxGraph, layer: Any, x: str) -> str:
    scale = layer.gamma / np.sqrt(layer.running_var + layer.eps)
    scaled = graph.node("Mul", [x, graph.tensor(scale)])
    return graph.node("Add", [scaled, graph.tensor(layer.beta - layer.running_mean * scale)])


RULES: dict[str, Callable[[OnnxGraph, Any, str], str]] = {
    "Affine": _affine,
    "BatchNorm": _batch_norm,
    "Dropout": lambda graph, layer, x: x,
    "Elu": lambda graph, layer, x: graph.node("Elu", [x], alpha=float(getattr(layer, "alpha", 1.0))),
    "LeakyRelu": lambda graph, layer, x: graph.node("LeakyRelu", [x], alpha=float(getattr(layer, "slope", 0.01))),
    "Maxout": _maxout,
    "Relu": lambda graph, layer, x: graph.node("Relu", [x]),
    "Sigmoid": lambda graph, layer, x: graph.node("Sigmoid", [x]),
    "Tanh": lambda graph, layer, x: graph.node("Tanh", [x]),
}
