"""Exported models against the networks they came from, run by onnxruntime on raw pixels."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from exercise_code.data import (
    ComposeTransform,
    FlattenTransform,
    NormalizeTransform,
    RandomHorizontalFlip,
    RescaleTransform,
)
from exercise_code.networks import ClassificationNet
from exercise_code.networks.layer import Elu, LeakyRelu, Relu, Sigmoid, Tanh
from exercise_code.onnx_export import ExportError, export_onnx

MEAN, STD = [0.49, 0.48, 0.45], [0.25, 0.24, 0.26]
SHAPE = (3, 4, 5)  # C, H, W, all different so that a mixed-up axis shows


def _run(path, pixels):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["images"]
    assert session.get_inputs()[0].shape[1:] == list(SHAPE)
    assert [o.name for o in session.get_outputs()] == ["logits"]
    return session.run(None, {"images": pixels})[0]


def _transform(*, flip=False):
    steps = [RescaleTransform(), NormalizeTransform(MEAN, STD), FlattenTransform()]
    return ComposeTransform([RandomHorizontalFlip(1.0), *steps] if flip else steps)


@pytest.fixture
def pixels():
    """(7, C, H, W) uint8."""
    return np.random.default_rng(0).integers(256, size=(7, *SHAPE), dtype=np.uint8)


@pytest.mark.parametrize(
    "activation", [Sigmoid(), Tanh(), Relu(), LeakyRelu(slope=0.3), Elu(alpha=0.7)], ids=lambda a: type(a).__name__
)
def test_the_file_predicts_from_raw_pixels_what_the_net_predicts_after_the_transform(tmp_path, pixels, activation):
    net = ClassificationNet(activation, 3, 60, 16, "he", 10)
    path = export_onnx(net, tmp_path / "model.onnx", input_shape=SHAPE, transform=_transform())

    logits = _run(path, pixels.astype(np.float32) / 255)

    expected = net.forward(_transform().batch(pixels.transpose(0, 2, 3, 1)))
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_batch_norm_and_dropout_are_exported_as_evaluation_computes_them(tmp_path, pixels):
    net = ClassificationNet(Relu(), 3, 60, 16, "he", 10, batch_norm=True, dropout=0.3)
    inputs = _transform().batch(pixels.transpose(0, 2, 3, 1))
    for _ in range(3):
        net.forward(inputs)
    path = export_onnx(net, tmp_path / "model.onnx", input_shape=SHAPE, transform=_transform())

    net.eval()
    np.testing.assert_allclose(_run(path, pixels.astype(np.float32) / 255), net.forward(inputs), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("n", [1, 3])
def test_the_batch_axis_is_free(tmp_path, pixels, n):
    path = export_onnx(
        ClassificationNet(Relu(), 2, 60, 8), tmp_path / "m.onnx", input_shape=SHAPE, transform=_transform()
    )

    assert _run(path, pixels[:n].astype(np.float32) / 255).shape == (n, 10)


def test_augmentation_stays_out_of_the_file(tmp_path, pixels):
    net = ClassificationNet(Relu(), 2, 60, 8, "he")
    plain, flipping = (
        export_onnx(net, tmp_path / name, input_shape=SHAPE, transform=_transform(flip=flip)).read_bytes()
        for name, flip in (("a.onnx", False), ("b.onnx", True))
    )

    assert plain == flipping


def test_a_torch_module_is_exported_with_its_preprocessing_and_without_paths_of_this_machine(tmp_path, pixels):
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.5),
        torch.nn.Flatten(),
        torch.nn.Linear(80, 10),
    )
    transform = ComposeTransform([RescaleTransform(), NormalizeTransform(MEAN, STD)])
    path = export_onnx(model, tmp_path / "cnn.onnx", input_shape=SHAPE, transform=transform)

    logits = _run(path, pixels.astype(np.float32) / 255)

    normal = (pixels / 255 - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
    with torch.no_grad():
        expected = model.eval()(torch.tensor(normal, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)
    assert b"site-packages" not in path.read_bytes()
    assert {opset.domain for opset in onnx.load(path).opset_import} <= {"", "ai.onnx"}


def test_equal_networks_give_equal_bytes(tmp_path):
    paths = [
        export_onnx(ClassificationNet(input_size=60), tmp_path / f"{i}.onnx", input_shape=SHAPE, transform=_transform())
        for i in range(2)
    ]

    assert paths[0].read_bytes() == paths[1].read_bytes()


class Square:
    """An activation without an ONNX rule."""

    def forward(self, x):
        return x**2, x


def test_an_unknown_activation_is_refused_by_name(tmp_path):
    with pytest.raises(ExportError, match="activation of ClassificationNet, Square, has no ONNX rule"):
        export_onnx(ClassificationNet(Square(), 2, 60, 8), tmp_path / "m.onnx", input_shape=SHAPE)
    assert list(tmp_path.iterdir()) == []


def test_an_activation_that_computes_something_else_than_its_name_says_is_caught(tmp_path):
    wrong = type("Tanh", (), {"forward": lambda self, x: (x * 3, x)})()

    with pytest.raises(ExportError, match="logits differ"):
        export_onnx(ClassificationNet(wrong, 2, 60, 8, "he"), tmp_path / "m.onnx", input_shape=SHAPE)


def test_a_preprocessing_step_without_a_rule_is_refused_by_name(tmp_path):
    class Blur:
        def __call__(self, image):
            return image

    with pytest.raises(ExportError, match="Blur has no ONNX rule"):
        export_onnx(
            ClassificationNet(input_size=60),
            tmp_path / "m.onnx",
            input_shape=SHAPE,
            transform=ComposeTransform([RescaleTransform(), Blur()]),
        )
