"""Any torch module, also a student's own class, to ONNX by one call; what cannot be written is named."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn import functional

from exercise_code.data import ComposeTransform, NormalizeTransform, RescaleTransform
from exercise_code.labs.batch_norm import ShiftedNorm, fold_batch_norm, sigmoid_net
from exercise_code.labs.bean_net import BeanNet, BothSides
from exercise_code.labs.distillation import BinaryStudent, StudentNet, TeacherNet
from exercise_code.labs.networks import ACTIVATIONS, MLP, parameter_count
from exercise_code.labs.seeding import seeded
from exercise_code.onnx_export import ExportError, count_parameters, export_onnx

TRANSFORM = ComposeTransform([RescaleTransform(), NormalizeTransform(0.13, 0.31)])
SHAPE = (1, 28, 28)


class OwnBlock(nn.Module):
    """Written as a student would: functional calls, a skip connection, its own parameter."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(40, 40)
        self.gain = nn.Parameter(torch.ones(40))

    def forward(self, x):
        return x + self.gain * functional.gelu(self.inner(x))


class OwnNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 5, stride=3)
        self.norm = nn.BatchNorm2d(4)
        self.blocks = nn.ModuleList([OwnBlock() for _ in range(2)])
        self.reduce = nn.Linear(4 * 8 * 8, 40)
        self.last = nn.Linear(40, 10)

    def forward(self, images):
        x = functional.relu(self.norm(self.first(images)))
        x = functional.dropout(self.reduce(x.view(x.size(0), -1)), 0.3, self.training)
        for block in self.blocks:
            x = block(x)
        return self.last(x)


def _logits(path, pixels):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": pixels})[0]


@pytest.mark.slow
@pytest.mark.parametrize("training", [True, False])
def test_a_module_of_ones_own_is_written_with_its_preprocessing_and_left_in_its_mode(tmp_path, training):
    torch.manual_seed(0)
    model = OwnNet().train(training)
    model.norm.running_mean.normal_()
    path = export_onnx(model, tmp_path / "own.onnx", input_shape=SHAPE, transform=TRANSFORM)

    assert model.training is training and model.norm.training is training
    pixels = np.random.default_rng(0).random((3, *SHAPE), dtype=np.float32)
    with torch.no_grad():
        expected = model.eval()(torch.from_numpy((pixels - 0.13) / 0.31).float()).numpy()
    np.testing.assert_allclose(_logits(path, pixels), expected, rtol=1e-3, atol=1e-4)


def _folded():
    return nn.Sequential(nn.Flatten(), fold_batch_norm(nn.Linear(784, 10, bias=False), nn.BatchNorm1d(10)))


LEAF = (3, 64, 64)
MODELS = {
    **{f"MLP, {name}": (lambda name=name: MLP((12, 9), activation=name, dropout=0.3), SHAPE) for name in ACTIVATIONS},
    "MLP with batch norm": (lambda: MLP((12, 9), batch_norm=True), SHAPE),
    "teacher": (TeacherNet, SHAPE),
    "student": (StudentNet, SHAPE),
    "one-bit student": (BinaryStudent, SHAPE),
    "sigmoid net, norm before": (lambda: sigmoid_net(nn.BatchNorm1d, bias=False), SHAPE),
    "sigmoid net, norm after": (lambda: sigmoid_net(nn.BatchNorm1d, after=True), SHAPE),
    "sigmoid net, shifted norm": (lambda: sigmoid_net(ShiftedNorm), SHAPE),
    "folded batch norm": (_folded, SHAPE),
    "leaves": (lambda: BeanNet(4), LEAF),
    "leaves without batch norm": (lambda: BeanNet(4, batch_norm=False), LEAF),
    "leaves from both sides": (lambda: BothSides(BeanNet(4)), LEAF),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_network_of_the_labs_is_written_by_one_call(tmp_path, name):
    make, shape = MODELS[name]
    with seeded(3):
        model = make().train()  # as it is after training, not put into evaluation mode by the student
    for norm in (layer for layer in model.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)):
        norm.running_mean.uniform_(-0.5, 0.5, generator=torch.Generator().manual_seed(1))
    path = export_onnx(model, tmp_path / "m.onnx", input_shape=shape, transform=TRANSFORM)

    pixels = np.random.default_rng(0).random((5, *shape), dtype=np.float32)
    with torch.no_grad():
        expected = model.eval()(torch.from_numpy((pixels - 0.13) / 0.31).float()).numpy()
    np.testing.assert_allclose(_logits(path, pixels), expected, rtol=1e-3, atol=1e-4)


def test_the_parameters_of_the_file_are_those_of_the_network_and_the_two_of_the_preprocessing(tmp_path):
    model = MLP(50)
    path = export_onnx(model, tmp_path / "m.onnx", input_shape=SHAPE, transform=TRANSFORM)

    assert count_parameters(path.read_bytes()) == parameter_count(model) + 2 == 39_762


def test_batch_norm_counts_with_the_numbers_that_evaluation_needs(tmp_path):
    model = MLP(6, batch_norm=True)
    for value in model.layers[2].state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.5, 2.0, generator=torch.Generator().manual_seed(0))
    path = export_onnx(model, tmp_path / "m.onnx", input_shape=SHAPE, transform=TRANSFORM)

    # folded into the layer before (one bias per unit) or kept as four numbers per unit: the exporter may choose
    linear = 784 * 6 + 70 + 2
    assert count_parameters(path.read_bytes()) in (linear + 6, linear + 4 * 6, linear + 5 * 6)


class Branches(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Bessel(nn.Module):
    def forward(self, x):
        return torch.special.bessel_j1(x)


class FixedBatch(nn.Module):
    def forward(self, x):
        return x.reshape(2, 784)


class Noise(nn.Module):
    def forward(self, x):
        return functional.dropout(x, 0.5)


def _net(middle):
    return nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(784, 8), middle), nn.Linear(8, 10))


@pytest.mark.slow
@pytest.mark.parametrize("layer", [Branches(), Bessel()], ids=["data-dependent branch", "operator without a rule"])
def test_the_layer_that_cannot_be_written_is_named(tmp_path, layer):
    with pytest.raises(ExportError, match=rf"layer '1\.1' \({type(layer).__name__}\) of Sequential"):
        export_onnx(_net(layer), tmp_path / "m.onnx", input_shape=SHAPE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(FixedBatch(), nn.Linear(784, 10)), r"layer '0' \(FixedBatch\).*\(3, 1, 28, 28\)"),
        (nn.Sequential(nn.Linear(784, 10)), r"layer '0' \(Linear\).*Flatten layer missing"),
        (nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.Unflatten(1, (2, 5))), r"\(2, classes\), got \(2, 2, 5\)"),
        (_net(Noise()), "other logits each time"),
    ],
    ids=["fixed batch", "no flatten", "wrong shape", "dropout that stays on"],
)
def test_a_model_that_does_not_classify_images_is_refused_with_the_reason(tmp_path, model, message):
    with pytest.raises(ExportError, match=message):
        export_onnx(model, tmp_path / "m.onnx", input_shape=SHAPE)
