"""Networks from lists of layers: equal to the course's net where they should be, and usable everywhere."""

import json

import numpy as np
import onnxruntime
import pytest

from exercise_code.callbacks import Checkpoint
from exercise_code.checkpoint import resume
from exercise_code.data import DataLoader, RescaleTransform
from exercise_code.gradient_check import check_network
from exercise_code.hyperparameter_tuning import grid_search
from exercise_code.networks import ClassificationNet, MyOwnNetwork
from exercise_code.networks.dropout import Dropout
from exercise_code.networks.layer import Elu, Relu
from exercise_code.networks.loss import CrossEntropyFromLogits
from exercise_code.networks.my_own_network import Affine, drawn_maxout
from exercise_code.networks.normalization import BatchNorm
from exercise_code.onnx_export import ExportError, export_onnx
from exercise_code.regularization import L1, Penalized
from exercise_code.solver import Solver
from exercise_code.submit import SubmissionRefused, submit

SHAPE = (3, 2, 2)  # C, H, W
AS_PIXELS = {"input_shape": SHAPE, "transform": RescaleTransform()}


class Swish:
    """x sigmoid(x), which the package does not have."""

    def forward(self, x):
        s = 1 / (1 + np.exp(-x))
        return x * s, (x, s)

    def backward(self, dout, cache):
        x, s = cache
        return dout * (s + x * s * (1 - s))


class ExportedSwish(Swish):
    def onnx(self, graph, x):
        return graph.node("Mul", [x, graph.node("Sigmoid", [x])])


class Mixed(MyOwnNetwork):
    """One of everything."""

    def __init__(self, hidden_size=6, activation=ExportedSwish, reg=0.0, seed=0, dtype=np.float32):
        rng, kind = np.random.default_rng(seed), {"dtype": dtype}
        layers = [
            drawn_maxout(12, hidden_size, pieces=3, rng=rng, **kind),
            BatchNorm(hidden_size, **kind),
            activation(),
            Dropout(0.2, rng=rng),
            Affine(hidden_size, 5, rng=rng, **kind),
            Elu(0.5),
            Affine(5, 4, rng=rng, **kind),
        ]
        super().__init__(layers, reg=reg, dtype=dtype)


class OwnForward(ClassificationNet):
    """The other way to write a network of one's own: everything by hand."""

    def __init__(self, hidden_size=6):
        super().__init__(Relu(), 2, 12, hidden_size, "he", 4)

    def forward(self, X):
        return super().forward(X) * 2

    def backward(self, dy):
        return super().backward(2 * dy)


def _loaders(n=48):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n, 12)).astype(np.float32)
    samples = [{"image": a, "label": int(a[:4].argmax())} for a in x]
    return DataLoader(samples[: n // 2], 12, shuffle=True), DataLoader(samples[n // 2 :], 12)


def _solver(model, *callbacks):
    return Solver(model, *_loaders(), learning_rate=0.02, verbose=False, callbacks=callbacks)


def test_layers_in_a_row_train_to_the_very_weights_of_the_classification_net():
    rng = np.random.default_rng(0)
    own = MyOwnNetwork([Affine(12, 7, rng=rng), Relu(), Affine(7, 4, rng=rng)], reg=1e-3)
    stock = ClassificationNet(Relu(), 2, 12, 7, "he", 4, 1e-3)

    for net in (own, stock):
        _solver(net).train(3)

    assert sorted(own.params) == sorted(stock.params)
    for name, w in stock.params.items():
        np.testing.assert_allclose(own.params[name], w, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("reg", [0.0, 0.1])
def test_gradients_of_every_layer_are_finite_differences(reg):
    net = Mixed(reg=reg, dtype=np.float64)
    net._layers[3].drop = 0.0  # a mask per pass would be another function each time
    rng = np.random.default_rng(1)

    result = check_network(net, CrossEntropyFromLogits(), rng.normal(size=(9, 12)), np.arange(9) % 4)

    assert result.passed, result


@pytest.mark.parametrize("model", [Mixed, OwnForward], ids=lambda c: c.__name__)
def test_the_solver_trains_it_and_a_search_varies_its_settings(model):
    train, val = _loaders()

    found = grid_search(
        train, val, {"hidden_size": [3, 8], "learning_rate": [0.02]}, model, epochs=3, patience=None, verbose=False
    )

    assert found.best_config["hidden_size"] in (3, 8) and len(found.trials) == 2
    assert all(np.isfinite(trial.val_loss) for trial in found.trials)
    with pytest.raises(ValueError, match="hidden_size"):
        grid_search(train, val, {"hiden_size": [3]}, model, epochs=1, verbose=False)


def test_the_best_weights_come_back_although_layers_hold_arrays_of_their_own():
    solver = _solver(Mixed())
    solver.train(6)
    x = np.random.default_rng(2).normal(size=(5, 12)).astype(np.float32)
    out = solver.model.forward(x)

    twin = Mixed()
    twin.params, twin.training = {n: w.copy() for n, w in solver.best_params.items()}, False
    twin.load_buffers(solver.best_buffers)

    np.testing.assert_array_equal(twin.forward(x), out)


def test_a_resumed_run_has_the_masks_and_statistics_of_one_that_never_stopped(tmp_path):
    whole = _solver(Mixed())
    whole.train(4)
    _solver(Mixed(), Checkpoint(tmp_path / "run.npz")).train(2)
    again = _solver(Mixed())
    resume(again, tmp_path / "run.npz")
    again.train(2)

    assert again.train_batch_loss == whole.train_batch_loss
    assert again.val_loss_history == whole.val_loss_history


def test_weights_are_saved_and_loaded_into_an_equal_network_only(tmp_path):
    net = Mixed()
    _solver(net).train(2)
    path = net.save_model(tmp_path / "mixed.npz")
    twin, x = Mixed(seed=5), np.ones((2, 12), np.float32)

    twin.load_weights(path)
    twin.eval()

    np.testing.assert_array_equal(twin.forward(x), net.forward(x))
    with pytest.raises(ValueError, match="expected arrays"):
        Mixed(hidden_size=9).load_weights(path)


def test_penalties_can_be_put_around_it():
    solver = _solver(Penalized(Mixed(), L1(1e-3)))

    solver.train(2)

    assert "W3 L1" in solver.model.reg and np.isfinite(solver.train_loss_history).all()


def _logits(path, pixels):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": pixels})[0]


def test_the_onnx_file_computes_what_the_network_predicts_custom_layer_included(tmp_path):
    net = Mixed()
    _solver(net).train(2)
    pixels = np.random.default_rng(4).random((6, *SHAPE), dtype=np.float32)

    path = export_onnx(net, tmp_path / "model.onnx", **AS_PIXELS)

    expected = net.forward(pixels.transpose(0, 2, 3, 1).reshape(6, -1))
    np.testing.assert_allclose(_logits(path, pixels), expected, rtol=1e-4, atol=1e-5)


def test_a_layer_without_a_rule_is_refused_by_name_and_place(tmp_path):
    with pytest.raises(ExportError, match=r"layer 3 of Mixed, Swish, has no ONNX rule: give it a method onnx"):
        export_onnx(Mixed(activation=Swish), tmp_path / "model.onnx", **AS_PIXELS)


def test_a_custom_activation_of_the_classification_net_brings_its_rule_too(tmp_path):
    net = ClassificationNet(ExportedSwish(), 3, 12, 6, "he", 4)
    pixels = np.random.default_rng(5).random((6, *SHAPE), dtype=np.float32)

    path = export_onnx(net, tmp_path / "model.onnx", **AS_PIXELS)

    expected = net.forward(pixels.transpose(0, 2, 3, 1).reshape(6, -1))
    np.testing.assert_allclose(_logits(path, pixels), expected, rtol=1e-4, atol=1e-5)


def test_a_rule_that_computes_something_else_is_caught(tmp_path):
    class WrongRule(Swish):
        def onnx(self, graph, x):
            return graph.node("Sigmoid", [x])

    with pytest.raises(ExportError, match="differ"):
        export_onnx(Mixed(activation=WrongRule), tmp_path / "model.onnx", **AS_PIXELS)


def test_a_forward_of_ones_own_needs_a_rule_and_says_so(tmp_path):
    with pytest.raises(ExportError, match="OwnForward computes its output in a forward of its own"):
        export_onnx(OwnForward(), tmp_path / "model.onnx", **AS_PIXELS)

    class WithRule(OwnForward):
        def onnx(self, graph, x):
            for i, (w, b) in enumerate(self.inference_layers()):
                x = graph.node("Gemm", [x, graph.tensor(w * (2 if i else 1)), graph.tensor(b * (2 if i else 1))])
                x = x if i else graph.node("Relu", [x])
            return x

    assert export_onnx(WithRule(), tmp_path / "model.onnx", **AS_PIXELS).exists()


def test_submit_packs_it_or_names_the_layer_that_stands_in_the_way(tmp_path):
    notebook = tmp_path / "04_grid_search.ipynb"
    notebook.write_text(json.dumps({"cells": [{"cell_type": "code", "source": ["1"]}]}))
    settings = AS_PIXELS | {"notebook": notebook, "out": tmp_path / "submission.zip"}

    assert submit("04_grid_search", {"model.onnx": Mixed()}, {"model.onnx": 0.5}, **settings).exists()
    with pytest.raises(SubmissionRefused, match="layer 3 of Mixed, Swish"):
        submit("04_grid_search", {"model.onnx": Mixed(activation=Swish)}, {"model.onnx": 0.5}, **settings)


@pytest.mark.parametrize("layers", [[], [np.tanh], [Affine(2, 2), "relu"]])
def test_what_is_not_a_layer_is_refused(layers):
    with pytest.raises(ValueError, match="expected layers with forward and backward"):
        MyOwnNetwork(layers)


def test_a_layer_that_forgets_a_gradient_is_named():
    class Forgetful(Affine):
        def backward(self, dout, cache, *, need_dx=True):
            return super().backward(dout, cache)[:2]

    net = MyOwnNetwork([Affine(12, 4), Forgetful(4, 4)])
    net.forward(np.ones((2, 12)))

    with pytest.raises(ValueError, match="Forgetful.backward: expected dx and gradients of w, b, got 2 arrays"):
        net.backward(np.ones((2, 4)))


def test_backward_needs_a_training_pass():
    net = MyOwnNetwork([Affine(12, 4)])
    net.eval()
    net.forward(np.ones((2, 12)))

    with pytest.raises(RuntimeError, match="training mode"):
        net.backward(np.ones((2, 4)))
