"""The torch half of `exercise_code.onnx_export`: any module to ONNX bytes, or the name of the layer that cannot be written."""

import contextlib
import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exercise_code.labs.evaluation import device_of
from exercise_code.onnx_export import IR_VERSION, OPSET, ExportError

Predict = Callable[[NDArray], NDArray]


class _WithPreprocessing(nn.Module):
    """Pixels in [0, 1], (N, C, H, W), to logits: one multiplication and one addition per channel come first."""

    scale: Tensor
    shift: Tensor

    def __init__(self, model: nn.Module, scale: NDArray, shift: NDArray):
        super().__init__()
        self.inner = model
        self.register_buffer("scale", torch.from_numpy(scale.reshape(1, -1, 1, 1)))
        self.register_buffer("shift", torch.from_numpy(shift.reshape(1, -1, 1, 1)))

    def forward(self, images: Tensor) -> Tensor:
        return self.inner(images * self.scale + self.shift)


def torch_bytes(
    model: nn.Module, input_shape: tuple[int, int, int], scale: NDArray, shift: NDArray
) -> tuple[bytes, Predict]:
    """Return the ONNX file of model behind `scale * pixels + shift`, and a function that predicts as the model does.

    Args:
        input_shape: (C, H, W).
        scale, shift: (C,) float32.

    Raises:
        ExportError: the model stops on such images, answers with something else than (N, classes), answers differently
            each time, or holds a layer that cannot be written, which the message names.

    >>> import numpy as np
    >>> torch_bytes(nn.Flatten(0), (1, 2, 2), np.ones(1, np.float32), np.zeros(1, np.float32))
    Traceback (most recent call last):
    ...
    exercise_code.onnx_graph.ExportError: Flatten: expected logits of shape (2, classes), got (8,)
    """
    wrapped = _WithPreprocessing(model, scale, shift)
    with _ready_to_export(model):
        wrapped.eval().cpu()
        sample = torch.rand((2, *input_shape), generator=torch.Generator().manual_seed(0))
        _try_out(wrapped, sample)
        try:
            proto = _export(wrapped, (sample,), ["images"], ["logits"], ({0: torch.export.Dim("N")},))
        except Exception as error:  # the exporter raises many kinds
            culprit = _culprit(model, sample * wrapped.scale + wrapped.shift)
            raise ExportError(f"torch could not write {culprit} as ONNX: {_first_line(error)}") from error
    return proto.SerializeToString(deterministic=True), lambda images: _predict(wrapped, images)


@contextlib.contextmanager
def _ready_to_export(model: nn.Module) -> Iterator[None]:
    """Put every layer back into its mode, and the model on its device, afterwards."""
    modes = {module: module.training for module in model.modules()}
    device = device_of(model)
    try:
        yield
    finally:
        model.to(device)
        for module, training in modes.items():
            module.training = training


def _predict(wrapped: nn.Module, images: NDArray) -> NDArray:
    with _ready_to_export(wrapped), torch.no_grad():
        return wrapped.eval().cpu()(torch.from_numpy(images)).numpy()


def _try_out(wrapped: _WithPreprocessing, sample: Tensor) -> None:
    name = type(wrapped.inner).__name__
    logits, again, _ = (_run(wrapped, images) for images in (sample, sample, torch.cat([sample, sample[:1]])))
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(sample):
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ExportError(f"{name}: expected logits of shape ({len(sample)}, classes), got {got}")
    if not torch.equal(torch.nan_to_num(logits), torch.nan_to_num(again)):
        raise ExportError(
            f"{name} gives other logits each time, in evaluation mode: use nn.Dropout, or dropout(..., "
            "training=self.training), and no random numbers"
        )


def _run(wrapped: _WithPreprocessing, images: Tensor) -> Any:
    """Run the model; an error names the innermost layer that was at work."""
    model = wrapped.inner
    names = {layer: name for name, layer in model.named_modules()}
    at_work = [model]
    handles = [layer.register_forward_pre_hook(lambda layer, _: at_work.append(layer)) for layer in names]
    handles += [layer.register_forward_hook(lambda *_: at_work.pop() and None) for layer in names]
    try:
        with torch.no_grad():
            return wrapped(images)
    except Exception as error:  # a student's module may raise anything
        layer = _described(model, names[at_work[-1]], at_work[-1])
        raise ExportError(
            f"{layer} stops on images of shape {tuple(images.shape)}: {_first_line(error)}. Is a Flatten layer missing, or "
            "a batch size fixed?"
        ) from error
    finally:
        for handle in handles:
            handle.remove()


def _export(module: nn.Module, arguments: tuple[Any, ...], inputs: Any, outputs: Any, shapes: Any) -> Any:
    quiet = io.StringIO()
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            program: Any = torch.onnx.export(
                module,
                arguments,
                input_names=inputs,
                output_names=outputs,
                dynamic_shapes=shapes,
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    finally:
        logger.setLevel(level)
    proto = program.model_proto
    proto.ir_version = IR_VERSION
    for value in [*proto.graph.node, *proto.graph.input, *proto.graph.output, *proto.graph.initializer]:
        value.doc_string = ""
        if hasattr(value, "metadata_props"):
            del value.metadata_props[:]  # source lines with paths of this machine
    del proto.metadata_props[:]
    del proto.graph.metadata_props[:]
    del proto.graph.value_info[:]
    return proto


def _culprit(model: nn.Module, images: Tensor) -> str:
    """Name the innermost layer that cannot be exported by itself, such as `layer 'features.3' (Fold) of MyNet`."""
    arguments = _arguments_of_layers(model, images)
    name, layer = "", model
    while True:
        for child_name, child in layer.named_children():
            if child in arguments and not _exports(child, arguments[child]):
                name, layer = f"{name}.{child_name}".lstrip("."), child
                break
        else:
            return (
                f"layer {name!r} ({type(layer).__name__}) of {type(model).__name__}" if name else type(model).__name__
            )


def _described(model: nn.Module, name: str, layer: nn.Module) -> str:
    return f"layer {name!r} ({type(layer).__name__}) of {type(model).__name__}" if name else type(model).__name__


def _arguments_of_layers(model: nn.Module, images: Tensor) -> dict[nn.Module, tuple[Any, ...]]:
    """What each layer is called with on these images, where that is tensors only."""
    seen: dict[nn.Module, tuple[Any, ...]] = {}

    def note(layer: nn.Module, arguments: tuple[Any, ...]) -> None:
        if arguments and all(isinstance(value, Tensor) for value in arguments):
            seen.setdefault(layer, tuple(value.detach().clone() for value in arguments))

    handles = [layer.register_forward_pre_hook(note) for layer in model.modules()]
    try:
        with torch.no_grad():
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _exports(layer: nn.Module, arguments: tuple[Any, ...]) -> bool:
    shapes = tuple({0: torch.export.Dim("N")} if value.ndim else None for value in arguments)
    try:
        _export(layer, arguments, None, None, shapes)
    except Exception:  # the exporter raises many kinds
        return False
    return True


def _first_line(error: BaseException) -> str:
    """The first line of the error, or of what caused it: the exporter puts its own advice in front."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
