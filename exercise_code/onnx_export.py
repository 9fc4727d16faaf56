"""Write a trained network to one ONNX file that takes raw pixels and returns logits.

The file's contract: input "images", float32 (N, C, H, W) in [0, 1] with a free batch axis; output "logits", float32
(N, classes).  Preprocessing is part of the graph, so nobody who runs the file has to know it.
"""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.data.augmentation import Cutout, RandomCrop, RandomHorizontalFlip
from exercise_code.data.transforms import FlattenTransform, merge_affine
from exercise_code.onnx_graph import ExportError, OnnxGraph, add_network

OPSET = 18
IR_VERSION = 10
BOOKKEEPING = 64  # an integer tensor up to this size is a shape, a list of axes or an index
AUGMENTATIONS = (
    RandomHorizontalFlip,
    RandomCrop,
    Cutout,
)  # change training images only, so they have no place in the file


def export_onnx(model: Any, path: str | Path, *, input_shape: tuple[int, int, int], transform: Any = None) -> Path:
    """Write model to path and check the file against the model before returning.

    Args:
        model: a NumPy network (see `exercise_code.onnx_graph`) or any `torch.nn.Module`, also a class of your own (exported in evaluation mode, and left
            in the mode and on the device it was in).
        path: the `.onnx` file; its folder is created.
        input_shape: (C, H, W) of one image.
        transform: the transform of the validation images: Rescale (from 0..255), Normalize, Flatten, or a
            ComposeTransform of them; flips are left out.  A torch model gets (N, C, H, W), a NumPy network (N, D) with
            the features in (H, W, C) order, as FlattenTransform makes them.

    Returns:
        The path.

    Raises:
        ExportError: a part has no ONNX rule (the message names the layer), the model does not turn (N, C, H, W) into
            logits (N, classes), or onnxruntime's logits differ from the model's.

    >>> import tempfile
    >>> from exercise_code.data import RescaleTransform
    >>> from exercise_code.networks import ClassificationNet
    >>> net = ClassificationNet(input_size=12, hidden_size=5, num_classes=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = export_onnx(net, f"{folder}/model.onnx", input_shape=(3, 2, 2), transform=RescaleTransform())
    ...     count_parameters(path.read_bytes())      # 12 * 5 + 5 + 5 * 4 + 4, and scale and shift of three channels
    95
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scale, shift = _pixel_affine(transform, channels=input_shape[0])
    is_torch = any(base.__module__.startswith("torch.") for base in type(model).__mro__)
    if is_torch:
        from exercise_code.labs.onnx_torch import torch_bytes

        proto_bytes, predict = torch_bytes(model, input_shape, scale, shift)
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
    from onnx import TensorProto, helper

    channels = input_shape[0]
    graph = OnnxGraph()
    x = graph.node("Mul", ["images", graph.tensor(scale.reshape(channels, 1, 1), "scale")])
    x = graph.node("Add", [x, graph.tensor(shift.reshape(channels, 1, 1), "shift")])
    x = graph.node("Transpose", [x], perm=[0, 2, 3, 1])  # (N, H, W, C), the order FlattenTransform flattens in
    model.eval()
    x = add_network(graph, model, graph.node("Flatten", [x], axis=1))
    last = graph.nodes[-1]
    if list(last.output) != [x]:
        raise ExportError(
            f"expected the name of the last node's output, {last.output[0]}, from the ONNX rule, got {x!r}"
        )
    last.output[0] = "logits"

    def predict(images: NDArray) -> NDArray:
        pixels = images.transpose(0, 2, 3, 1) * scale + shift
        model.eval()
        return model.forward(pixels.reshape(len(pixels), -1))

    shape = predict(np.zeros((1, *input_shape), np.float32)).shape
    if len(shape) != 2:
        raise ExportError(f"expected logits (N, classes) from {type(model).__name__}, got shape {shape} for one image")
    proto = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "classification_net",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", *input_shape])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", shape[1]])],
            initializer=list(graph.weights.values()),
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    return proto.SerializeToString(deterministic=True), predict


def _check(proto_bytes: bytes, predict: Any, input_shape: tuple[int, int, int]) -> None:
    """Compare onnxruntime's logits with the model's on random pixels, for batches of one and of five."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when it is imported; else it reports to its maker
    import onnxruntime

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
    """Number of entries in the tensors of an ONNX file, running statistics included.

    Integer tensors of up to 64 entries are shapes and indices and do not count; so does the scorer count.

    See `export_onnx` for an example.

    >>> from onnx import TensorProto, helper, numpy_helper
    >>> weights = numpy_helper.from_array(np.zeros((3, 4), np.float32), "W1")
    >>> graph = helper.make_graph([], "empty", [], [], initializer=[weights])
    >>> count_parameters(helper.make_model(graph).SerializeToString())
    12
    """
    import onnx

    graph = onnx.load_from_string(proto_bytes).graph
    tensors = [*graph.initializer]
    tensors += [attribute.t for node in graph.node for attribute in node.attribute if attribute.HasField("t")]
    return sum(
        math.prod(tensor.dims)
        for tensor in tensors
        if math.prod(tensor.dims) > BOOKKEEPING
        or tensor.data_type not in (onnx.TensorProto.INT32, onnx.TensorProto.INT64)
    )
