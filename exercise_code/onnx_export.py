"""Write a trained network to one ONNX file that takes raw pixels and returns logits.

The file's contract: input "images", float32 (N, C, H, W) in [0, 1] with a free batch axis; output "logits", float32
(N, classes).  Preprocessing is part of the graph, so nobody who runs the file has to know it.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.data.augmentation import Cutout, RandomCrop, RandomHorizontalFlip
from exercise_code.data.transforms import FlattenTransform, merge_affine

OPSET = 18
IR_VERSION = 10
AUGMENTATIONS = (
    RandomHorizontalFlip,
    RandomCrop,
    Cutout,
)  # change training images only, so they have no place in the file


class ExportError(ValueError):
    """The network or its preprocessing cannot be written as ONNX; the message names the offending part."""


def export_onnx(model: Any, path: str | Path, *, input_shape: tuple[int, int, int], transform: Any = None) -> Path:
    """Write model to path and check the file against the model before returning.

    Args:
        model: a `ClassificationNet` or a `torch.nn.Module` (put into evaluation mode for the export).
        path: the `.onnx` file; its folder is created.
        input_shape: (C, H, W) of one image.
        transform: the transform of the validation images: Rescale (from 0..255), Normalize, Flatten, or a
            ComposeTransform of them; flips are left out.  A torch model gets (N, C, H, W), a NumPy network (N, D) with
            the features in (H, W, C) order, as FlattenTransform makes them.

    Returns:
        The path.

    Raises:
        ExportError: a part has no ONNX rule, or onnxruntime's logits differ from the model's.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scale, shift = _pixel_affine(transform, channels=input_shape[0])
    is_torch = any(base.__module__.startswith("torch.") for base in type(model).__mro__)
    if is_torch:
        proto_bytes, predict = _torch_bytes(model, input_shape, scale, shift)
    else:
        proto_bytes, predict = _numpy_bytes(model, input_shape, scale, shift)
    _check(proto_bytes, predict, input_shape)
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(proto_bytes)
    temporary.replace(path)
    return path


def _pixel_affine(transform: Any, channels: int) -> tuple[NDArray, NDArray]:
    """Return float32 (C,) scale and shift that take pixels in [0, 1] to the network's input."""
    steps = [step for step in _flatten_chain(transform) if not isinstance(step, AUGMENTATIONS)]
    steps = [step for step in merge_affine(steps) if not isinstance(step, FlattenTransform)]
    scale, shift = np.float32(1), np.float32(0)
    if steps and hasattr(steps[0], "affine"):
        scale, shift = steps.pop(0).affine()
    if steps:
        raise ExportError(
            f"{type(steps[0]).__name__} has no ONNX rule: expected RescaleTransform, NormalizeTransform and "
            "FlattenTransform for the images that are predicted"
        )
    full = np.ones(channels, dtype=np.float32)
    return (scale * np.float32(255)) * full, shift * full


def _flatten_chain(transform: Any) -> list[Any]:
    if transform is None:
        return []
    if hasattr(transform, "transforms"):
        return [step for inner in transform.transforms for step in _flatten_chain(inner)]
    return [transform]


def _numpy_bytes(model: Any, input_shape: tuple[int, int, int], scale: NDArray, shift: NDArray) -> tuple[bytes, Any]:
    from onnx import TensorProto, helper, numpy_helper

    channels = input_shape[0]
    nodes: list[Any] = []
    weights: dict[str, Any] = {}

    def tensor(name: str, values: NDArray) -> str:
        weights[name] = numpy_helper.from_array(np.ascontiguousarray(values, dtype=np.float32), name)
        return name

    def node(kind: str, inputs: list[str], **attributes: Any) -> str:
        output = f"{kind.lower()}_{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    x = node("Mul", ["images", tensor("scale", scale.reshape(channels, 1, 1))])
    x = node("Add", [x, tensor("shift", shift.reshape(channels, 1, 1))])
    x = node("Transpose", [x], perm=[0, 2, 3, 1])  # (N, H, W, C), the order FlattenTransform flattens in
    x = node("Flatten", [x], axis=1)
    for i, (w, b) in enumerate(model.inference_layers(), start=1):
        x = node("Gemm", [x, tensor(f"W{i}", w), tensor(f"b{i}", b)])
        if i < model.num_layer:
            kind, attributes = _activation_rule(model.activation)
            x = node(kind, [x], **attributes)
    nodes[-1].output[0] = "logits"
    graph = helper.make_graph(
        nodes,
        "classification_net",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", *input_shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", model.num_classes])],
        initializer=list(weights.values()),
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)

    def predict(images: NDArray) -> NDArray:
        pixels = images.transpose(0, 2, 3, 1) * scale + shift
        model.eval()
        return model.forward(pixels.reshape(len(pixels), -1))

    return proto.SerializeToString(deterministic=True), predict


def _activation_rule(activation: Any) -> tuple[str, dict[str, Any]]:
    name = type(activation).__name__
    rules: dict[str, tuple[str, dict[str, Any]]] = {
        "Sigmoid": ("Sigmoid", {}),
        "Tanh": ("Tanh", {}),
        "Relu": ("Relu", {}),
        "Elu": ("Elu", {"alpha": float(getattr(activation, "alpha", 1.0))}),
        "LeakyRelu": ("LeakyRelu", {"alpha": float(getattr(activation, "slope", 0.01))}),
    }
    if name not in rules:
        raise ExportError(f"activation {name} has no ONNX rule: expected one of {', '.join(rules)}")
    return rules[name]


def _torch_bytes(model: Any, input_shape: tuple[int, int, int], scale: NDArray, shift: NDArray) -> tuple[bytes, Any]:
    import contextlib
    import io
    import logging

    import torch

    class WithPreprocessing(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model
            self.register_buffer("scale", torch.from_numpy(scale.reshape(1, -1, 1, 1)))
            self.register_buffer("shift", torch.from_numpy(shift.reshape(1, -1, 1, 1)))

        def forward(self, images: Any) -> Any:
            return self.inner(images * self.scale + self.shift)

    wrapped = WithPreprocessing().cpu().eval()
    sample = torch.zeros((2, *input_shape))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    quiet = io.StringIO()
    try:
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            program: Any = torch.onnx.export(
                wrapped,
                (sample,),
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("N")},),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # the exporter raises many kinds; the first line of its message names the layer
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ExportError(f"torch could not write {type(model).__name__} as ONNX: {first_line}") from error
    proto = program.model_proto
    proto.ir_version = IR_VERSION
    for value in [*proto.graph.node, *proto.graph.input, *proto.graph.output, *proto.graph.initializer]:
        value.doc_string = ""
        if hasattr(value, "metadata_props"):
            del value.metadata_props[:]  # source lines with paths of this machine
    del proto.metadata_props[:]
    del proto.graph.metadata_props[:]
    del proto.graph.value_info[:]

    def predict(images: NDArray) -> NDArray:
        with torch.no_grad():
            return wrapped(torch.from_numpy(images)).numpy()

    return proto.SerializeToString(deterministic=True), predict


def _check(proto_bytes: bytes, predict: Any, input_shape: tuple[int, int, int]) -> None:
    """Compare onnxruntime's logits with the model's on random pixels, for batches of one and of five."""
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(proto_bytes, options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    for n in (1, 5):
        images = rng.random((n, *input_shape), dtype=np.float32)
        (logits,) = session.run(None, {"images": images})
        expected = predict(images)
        if logits.shape != expected.shape:
            raise ExportError(f"expected logits of shape {expected.shape} from the file, got {logits.shape}")
        tolerance = 1e-3 * max(1.0, float(np.nanmax(np.abs(expected))) if np.isfinite(expected).any() else 1.0)
        if not np.allclose(logits, expected, rtol=1e-3, atol=tolerance, equal_nan=True):
            worst = float(np.nanmax(np.abs(logits - expected)))
            raise ExportError(
                f"the file's logits differ from the model's by up to {worst:.2g}: please report this model"
            )


def count_parameters(proto_bytes: bytes) -> int:
    """Number of entries in the weights of an ONNX file."""
    import onnx

    graph = onnx.load_from_string(proto_bytes).graph
    return sum(math.prod(tensor.dims) for tensor in graph.initializer)
