"""Reads a handed-in ONNX file as data and refuses what the exercise does not accept, before anything runs it.

Plain Python from the first byte to the last (`model_wire`): neither protobuf's nor onnx's C++ sees the file.
It still runs in a sandbox (`model_inspect` starts it there), as does onnxruntime with its own checks later.
"""

from dataclasses import dataclass
from typing import NoReturn, Protocol

from autograder.grading.model_flops import count_flops
from autograder.grading.model_operators import ALLOWED_OPERATORS
from autograder.grading.model_refusal import ModelRefused, describe_other_format, quoted
from autograder.grading.model_tensors import FLOAT, check_computed, count_parameters, small_constants
from autograder.grading.model_wire import Message, WireError, read_model

OPSETS = range(17, 24)
MAX_NODES = 20_000
_DEFAULT_DOMAINS = ("", "ai.onnx")
_MIN_COMPUTED_ELEMENTS = 1 << 24  # 64 MiB of float32: what a filled or repeated constant may always have


class ModelContract(Protocol):
    """What an exercise asks of a model file; the manifest's class of the same name has these attributes."""

    @property
    def file(self) -> str: ...
    @property
    def input(self) -> tuple[int, ...]: ...  # (C, H, W)
    @property
    def classes(self) -> int: ...
    @property
    def max_parameters(self) -> int: ...
    @property
    def max_bytes(self) -> int: ...


@dataclass(frozen=True)
class ModelFacts:
    parameters: int  # elements of all stored tensors, running statistics included, small integer tensors not
    opset: int
    bytes: int
    operators: tuple[str, ...]  # sorted, each once
    flops: int | None = None  # of one image, a multiplication with an addition counting two; None: not to be told


def check_model(data: bytes, contract: ModelContract) -> ModelFacts:
    """Facts about an acceptable model file.

    Args:
        data: the whole file.
    Raises:
        ModelRefused: with the first reason found.
    """
    other = describe_other_format(data)
    if other is not None:
        raise ModelRefused("not_onnx", f"{contract.file}: expected an ONNX file, got {other}")
    if not data:
        raise ModelRefused("corrupt", f"{contract.file} is empty")
    if len(data) > contract.max_bytes:
        raise ModelRefused("too_large", f"expected at most {contract.max_bytes:,} bytes, got {len(data):,}")
    try:
        model = read_model(data)
    except WireError as error:
        detail = f"{contract.file} cannot be read as ONNX: truncated, damaged or another format ({error})"
        raise ModelRefused("corrupt", detail) from error
    except ValueError as error:  # a name that is not UTF-8
        raise ModelRefused("corrupt", f"{contract.file} is damaged: {type(error).__name__}") from error
    if model.graph is None or not model.graph.node:
        raise ModelRefused("corrupt", f"{contract.file} holds no model: its graph has no nodes")
    try:
        return _check(model, len(data), contract)
    except (ValueError, TypeError, ArithmeticError, LookupError) as error:  # values that make no sense together
        raise ModelRefused("corrupt", f"{contract.file} is damaged: {type(error).__name__}") from error


def _check(model: Message, size: int, contract: ModelContract) -> ModelFacts:
    opset = _check_opset(model)
    graph = model.graph
    if model.functions:
        raise ModelRefused("functions", f"local functions are not accepted, got {quoted(model.functions[0].name)}")
    if model.training_info:
        raise ModelRefused("subgraph", "the file holds training graphs; export the model for inference")
    if len(graph.node) > MAX_NODES or len(graph.initializer) > MAX_NODES:
        raise ModelRefused("too_large", f"expected at most {MAX_NODES:,} nodes and as many tensors")
    for node in graph.node:
        _check_node(node)
    parameters = count_parameters(graph)
    if parameters > contract.max_parameters:
        raise ModelRefused("too_many_parameters", f"at most {contract.max_parameters:,} allowed, got {parameters:,}")
    constants = small_constants(graph)
    for node in graph.node:
        check_computed(node, constants, max(contract.max_parameters, _MIN_COMPUTED_ELEMENTS))
    _check_edges(graph)
    _check_signature(graph, contract)
    flops = count_flops(graph, contract.input, constants)
    most = getattr(contract, "max_flops", None)
    if most is not None and (flops is None or flops > most):
        got = "a model whose operations cannot be counted" if flops is None else f"{flops:,}"
        raise ModelRefused("too_many_flops", f"at most {most:,} floating-point operations an image, got {got}")
    return ModelFacts(parameters, opset, size, tuple(sorted({node.op_type for node in graph.node})), flops)


def _check_opset(model: Message) -> int:
    versions = []
    for entry in model.opset_import:
        if entry.domain not in _DEFAULT_DOMAINS:
            raise ModelRefused(
                "domain_not_allowed", f"only the default operator set is accepted, got {quoted(entry.domain)}"
            )
        versions.append(entry.version)
    if len(versions) != 1 or versions[0] not in OPSETS:
        got = ", ".join(str(version) for version in versions) or "none"
        raise ModelRefused(
            "opset",
            f"expected one opset in {OPSETS[0]}..{OPSETS[-1]}, got {got}; export with opset_version=18",
        )
    return versions[0]


def _check_node(node: Message) -> None:
    if node.domain not in _DEFAULT_DOMAINS:
        raise ModelRefused(
            "domain_not_allowed", f"operator {quoted(node.op_type)} is from domain {quoted(node.domain)}"
        )
    for attribute in node.attribute:
        if attribute.has("g") or attribute.graphs:
            raise ModelRefused(
                "subgraph", f"operator {quoted(node.op_type)} holds a graph of its own (a loop or branch)"
            )
        if attribute.has("sparse_tensor") or attribute.sparse_tensors:
            raise ModelRefused("tensor_type", "sparse tensors are not accepted")
        if attribute.ref_attr_name or attribute.type == 0:
            raise ModelRefused("corrupt", f"attribute {quoted(attribute.name)} of {quoted(node.op_type)} has no value")
    if len({attribute.name for attribute in node.attribute}) != len(node.attribute):
        raise ModelRefused("corrupt", f"operator {quoted(node.op_type)} has an attribute twice")
    if node.op_type not in ALLOWED_OPERATORS:
        raise ModelRefused("operator_not_allowed", f"operator {quoted(node.op_type)} is not accepted")
    if node.op_type == "BatchNormalization" and any(a.name == "training_mode" and a.i for a in node.attribute):
        raise ModelRefused(
            "training_mode", "batch normalization is in training mode; call model.eval() before exporting"
        )


def _check_edges(graph: Message) -> None:
    """Every value is made once, before it is used; the output is made at all."""
    known = {value.name for value in graph.input}
    initializers = [tensor.name for tensor in graph.initializer]
    if len(known) != len(graph.input) or len(set(initializers)) != len(initializers):
        raise ModelRefused("corrupt", "two inputs or two tensors of the graph have the same name")
    known |= {*initializers, ""}  # "" stands for an optional input that is left out
    for node in graph.node:
        missing = [name for name in node.input if name not in known]
        again = [name for name in node.output if name and name in known]
        if missing or again:
            what = f"uses {quoted(missing[0])} before it is made" if missing else f"makes {quoted(again[0])} again"
            raise ModelRefused("corrupt", f"operator {quoted(node.op_type)} {what}")
        known.update(node.output)
    for value in graph.output:
        if not value.name or value.name not in known:
            raise ModelRefused("corrupt", f"nothing makes the output {quoted(value.name)}")


def _check_signature(graph: Message, contract: ModelContract) -> None:
    initializers = {tensor.name for tensor in graph.initializer}  # old files list these among the inputs, too
    inputs = [value for value in graph.input if value.name not in initializers]
    wanted: tuple[object, ...] = ("N", *contract.input)
    if len(inputs) != 1:
        _refuse_shape("wrong_input", "input", wanted, f"{len(inputs)} inputs")
    shape = _shape("wrong_input", "input", wanted, inputs[0])
    if shape is None or len(shape) != 4 or tuple(shape[1:]) != tuple(contract.input):
        _refuse_shape("wrong_input", "input", wanted, _show(shape))
    if shape[0] is not None:
        _refuse_shape(
            "wrong_input",
            "input",
            wanted,
            f"a batch fixed to {shape[0]}; export with a dynamic batch dimension",
        )
    wanted = ("N", contract.classes)
    if len(graph.output) != 1:
        _refuse_shape("wrong_output", "output", wanted, f"{len(graph.output)} outputs")
    shape = _shape("wrong_output", "output", wanted, graph.output[0])
    # an output of unknown size is measured when the model runs
    if shape is not None and (len(shape) != 2 or shape[0] is not None or shape[1] not in (None, contract.classes)):
        _refuse_shape("wrong_output", "output", wanted, _show(shape))


def _shape(code: str, what: str, wanted: tuple[object, ...], value: Message) -> list[int | None] | None:
    """Declared sizes, None for a dynamic one; None as a whole where no shape is declared."""
    tensor = value.type.tensor_type if value.type is not None else None
    if tensor is None or tensor.elem_type != FLOAT:
        _refuse_shape(code, what, wanted, "another type than a float32 tensor")
    if tensor.shape is None:
        return None
    return [size.dim_value if size.has("dim_value") else None for size in tensor.shape.dim]


def _show(shape: list[int | None] | None) -> str:
    return (
        "no shape" if shape is None else "(" + ", ".join("?" if size is None else str(size) for size in shape[:8]) + ")"
    )


def _refuse_shape(code: str, what: str, wanted: tuple[object, ...], got: str) -> NoReturn:
    raise ModelRefused(code, f"expected one float32 {what} of shape ({', '.join(map(str, wanted))}), got {got}")
