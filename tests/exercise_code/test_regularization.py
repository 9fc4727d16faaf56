"""Penalties and pruning against torch, scipy and finite differences; the difference between L2 and weight decay, shown."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime, minimize_scalar
from torch.nn.utils import prune as torch_prune

from exercise_code.data import DataLoader
from exercise_code.networks import ClassificationNet
from exercise_code.networks.layer import Relu, Tanh
from exercise_code.networks.loss import CrossEntropyFromLogits
from exercise_code.networks.optimizer import SGD, Adam, AdamW, SGDMomentum
from exercise_code.onnx_export import export_onnx
from exercise_code.regularization import (
    L1,
    L2,
    KeepPruned,
    Penalized,
    apply_masks,
    count_nonzeros,
    magnitude_masks,
    prune,
)
from exercise_code.solver import Solver


def _net(**changes):
    return ClassificationNet(
        **{"activation": Tanh, "input_size": 6, "hidden_size": 5, "num_classes": 3, "std": 0.5} | changes
    )


def _loader(n, seed):
    x = np.random.default_rng(seed).standard_normal((n, 6)).astype(np.float32)
    return DataLoader([{"image": row, "label": int(row[0] * row[1] > 0)} for row in x], 16, shuffle=True)


@pytest.mark.parametrize("penalty", [L1(0.3), L2(0.3)], ids=["L1", "L2"])
def test_gradients_are_the_slopes_of_the_values(penalty):
    w = np.random.default_rng(0).standard_normal(12)

    slopes = approx_fprime(w, penalty.value, 1e-7)

    np.testing.assert_allclose(penalty.gradient(w), slopes, atol=1e-6)


@pytest.mark.parametrize(
    ("penalty", "in_torch"), [(L1(0.3), lambda w: 0.3 * w.abs().sum()), (L2(0.3), lambda w: 0.3 * (w**2).sum())]
)
def test_values_and_gradients_equal_torch_also_at_zero(penalty, in_torch):
    w = np.random.default_rng(0).standard_normal((4, 3))
    w[1, 1] = 0
    tensor = torch.tensor(w, requires_grad=True)
    in_torch(tensor).backward()

    assert penalty.value(w) == pytest.approx(in_torch(tensor).item(), rel=1e-12)
    np.testing.assert_allclose(penalty.gradient(w), tensor.grad.numpy(), rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(-(2.0**50), 2.0**50, width=32), min_size=0, max_size=20),
    kind=st.sampled_from([L1, L2]),
    strength=st.sampled_from([0.0, 1e-8, 1.0, 1e6]),
)
def test_any_weights_give_finite_values_and_gradients_in_their_own_dtype(values, kind, strength):
    w = np.array(values, dtype=np.float32)
    before = w.copy()
    penalty = kind(strength)

    assert penalty.value(w) >= 0
    assert np.isfinite(penalty.value(w))
    assert penalty.gradient(w).dtype == np.float32
    assert np.isfinite(penalty.gradient(w)).all()
    np.testing.assert_array_equal(w, before)


def test_shrinking_is_the_best_answer_to_the_penalty_and_gives_exact_zeros():
    w = np.array([-2.0, -0.3, 0.0, 0.1, 0.9])
    shrunk = L1(2.0).shrink(w, lr=0.2)

    for start, end in zip(w, shrunk, strict=True):
        best = minimize_scalar(
            lambda u, start=start: (u - start) ** 2 / 0.4 + 2 * abs(u),
            bounds=(-3, 3),
            method="bounded",
            options={"xatol": 1e-9},
        ).x
        assert end == pytest.approx(best, abs=1e-6)
    assert np.count_nonzero(shrunk) == 2
    assert L1(2.0).shrink(w.astype(np.float32), lr=0.2).dtype == np.float32


@pytest.mark.parametrize("strength", [-1e-9, float("nan"), float("inf")])
def test_strengths_that_make_no_sense_are_refused(strength):
    with pytest.raises(ValueError, match="strength must be a finite number"):
        L1(strength)


# ---- penalties in training


def test_a_penalised_net_has_torchs_loss_and_gradients_for_the_elastic_net():
    net = _net(reg=0.2, dtype=np.float64)
    model = Penalized(net, L1(0.1), L2(0.3))
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((7, 6)), rng.integers(3, size=7)
    tensors = {name: torch.tensor(w, requires_grad=True) for name, w in net.params.items()}
    h = torch.tanh(torch.tensor(x) @ tensors["W1"] + tensors["b1"]) @ tensors["W2"] + tensors["b2"]
    weights = [tensors["W1"], tensors["W2"]]
    loss = torch.nn.functional.cross_entropy(h, torch.tensor(y))
    loss = loss + sum(0.1 * w.abs().sum() + (0.3 + 0.2) * (w**2).sum() for w in weights)
    loss.backward()

    logits = model.forward(x)
    ours = CrossEntropyFromLogits()(logits, y) + sum(model.reg.values())
    model.backward(CrossEntropyFromLogits().backward(logits, y))

    assert ours == pytest.approx(loss.item(), rel=1e-10)
    for name, tensor in tensors.items():
        np.testing.assert_allclose(model.grads[name], tensor.grad.numpy(), rtol=1e-9, atol=1e-13, err_msg=name)


def test_l2_as_a_penalty_is_the_networks_own_reg():
    runs = []
    for model in (_net(reg=0.01), Penalized(_net(), L2(0.01))):
        solver = Solver(model, _loader(64, 0), _loader(32, 1), learning_rate=0.01, verbose=False)
        solver.train(epochs=3)
        runs.append((solver.train_loss_history, model.params["W1"]))

    np.testing.assert_allclose(runs[0][0], runs[1][0], rtol=1e-5)
    np.testing.assert_allclose(runs[0][1], runs[1][1], rtol=1e-4, atol=1e-6)


def test_training_the_penalised_net_trains_the_inner_one_and_the_rest_is_the_inner_ones(tmp_path):
    net = _net(input_size=12, batch_norm=True, dropout=0.1)
    start = net.params["W1"].copy()
    x = np.random.default_rng(0).random((40, 12), dtype=np.float32)
    samples = [{"image": row, "label": int(row[0] > 0.5)} for row in x]
    model = Penalized(net, L1(1e-3))
    Solver(model, DataLoader(samples[:30], 10), DataLoader(samples[30:], 10), verbose=False).train(epochs=2)

    assert not np.array_equal(net.params["W1"], start)
    model.eval()
    np.testing.assert_array_equal(model.forward(x), net.forward(x))
    assert model.rng is net.rng  # so that a checkpoint stores the dropout's generator
    assert set(model.buffers()) == {"running_mean1", "running_var1"}
    assert export_onnx(model, tmp_path / "m.onnx", input_shape=(3, 2, 2)).exists()
    twin = copy.deepcopy(model)
    assert twin.params is twin.model.params


def test_predicting_with_a_penalised_net_never_uses_dropout():
    model = Penalized(_net(dropout=0.5), L1(0.1))
    model.forward(np.ones((4, 6)))
    loader = _loader(64, 0)

    first, second = (model.get_dataset_prediction(loader) for _ in range(2))

    np.testing.assert_array_equal(first[1], second[1])


def test_l1_makes_weights_small_while_l2_of_equal_pull_makes_large_ones_smaller():
    w = np.array([0.01, 10.0])

    assert L1(1.0).gradient(w).tolist() == [1.0, 1.0]
    assert L2(1.0).gradient(w).tolist() == [0.02, 20.0]


def test_penalties_on_unknown_names_or_none_at_all_are_refused():
    with pytest.raises(ValueError, match=r"expected names out of W1, b1, W2, b2, got \['W9'\]"):
        Penalized(_net(), L1(0.1), names=["W9"])
    with pytest.raises(ValueError, match="at least one penalty"):
        Penalized(_net())
    with pytest.raises(AttributeError, match="no_such_thing"):
        Penalized(_net(), L1(0.1)).no_such_thing  # noqa: B018 -- the access is the test


# ---- L2 against weight decay


class _OneMatrix:
    def __init__(self, w):
        self.params, self.grads = {"W1": w.copy()}, {}


def _walk(optimizer, grads, w, penalty=None):
    model = _OneMatrix(w)
    steps = optimizer(model, None, 0.1)
    for grad in grads:
        model.grads["W1"] = grad + (penalty.gradient(model.params["W1"]) if penalty else 0)
        steps.step()
    return model.params["W1"]


def _torch_walk(optimizer, grads, w):
    tensor = torch.tensor(w, requires_grad=True)
    steps = optimizer([tensor], lr=0.1, weight_decay=0.05)
    for grad in grads:
        tensor.grad = torch.tensor(grad)
        steps.step()
    return tensor.detach().numpy()


@pytest.fixture
def walk():
    rng = np.random.default_rng(0)
    return rng.standard_normal((20, 3, 4)) * [0.01, 0.1, 1, 10], rng.standard_normal((3, 4))


@pytest.mark.parametrize(
    ("ours", "theirs"), [(SGD, torch.optim.SGD), (Adam, torch.optim.Adam)], ids=["SGD", "Adam with L2"]
)
def test_torchs_weight_decay_of_these_optimizers_is_an_l2_penalty_of_half_its_strength(walk, ours, theirs):
    np.testing.assert_allclose(
        _walk(ours, *walk, L2.from_weight_decay(0.05)), _torch_walk(theirs, *walk), rtol=1e-10, atol=1e-12
    )


def test_for_sgd_weight_decay_and_l2_are_the_same_walk(walk):
    decayed = _walk(partial(SGD, weight_decay=0.05), *walk)

    np.testing.assert_allclose(_walk(SGD, *walk, L2.from_weight_decay(0.05)), decayed, rtol=1e-10)


def test_under_adam_l2_hardly_pulls_weights_with_large_gradients_and_decay_pulls_all_alike():
    noise = np.random.default_rng(0).choice([-1.0, 1.0], size=(300, 1, 1)) * [[0.01, 10.0]]
    start = np.array([[5.0, 5.0]])
    free = _walk(Adam, noise, start)
    by_l2 = free - _walk(Adam, noise, start, L2.from_weight_decay(0.05))
    by_decay = free - _walk(partial(AdamW, weight_decay=0.05), noise, start)

    assert by_l2[0, 0] > 2  # small gradients: the penalty is most of the gradient
    assert by_l2[0, 1] < 0.2 * by_l2[0, 0]
    assert by_decay[0, 0] == pytest.approx(by_decay[0, 1], rel=0.02)


# ---- pruning


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.5, 0.99, 1.0])
def test_masks_of_a_layer_equal_torchs_l1_unstructured_pruning(fraction):
    w = np.random.default_rng(0).standard_normal((7, 9))
    layer = torch.nn.Linear(7, 9).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(w.T))
    torch_prune.l1_unstructured(layer, "weight", amount=fraction)

    ours = magnitude_masks({"W1": w}, fraction, "layer")["W1"]

    np.testing.assert_array_equal(ours, layer.weight_mask.numpy().T.astype(bool))


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_global_masks_equal_torchs_global_pruning(fraction):
    rng = np.random.default_rng(0)
    weights = {"W1": rng.standard_normal((7, 9)), "W2": 0.1 * rng.standard_normal((9, 3))}
    layers = [torch.nn.Linear(*w.shape).double() for w in weights.values()]
    with torch.no_grad():
        for layer, w in zip(layers, weights.values(), strict=True):
            layer.weight.copy_(torch.tensor(w.T))
    torch_prune.global_unstructured(
        [(layer, "weight") for layer in layers], pruning_method=torch_prune.L1Unstructured, amount=fraction
    )

    ours = magnitude_masks(weights, fraction)

    for layer, mask in zip(layers, ours.values(), strict=True):
        np.testing.assert_array_equal(mask, layer.weight_mask.numpy().T.astype(bool))


@settings(max_examples=60, deadline=None)
@given(
    fraction=st.floats(0, 1),
    scope=st.sampled_from(["global", "layer"]),
    shapes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=4),
)
def test_the_number_dropped_is_exact_even_when_all_weights_are_equal(fraction, scope, shapes):
    params = {f"W{i}": np.ones(shape) for i, shape in enumerate(shapes, start=1)}
    masks = magnitude_masks(params, fraction, scope)

    dropped = [int((~mask).sum()) for mask in masks.values()]
    if scope == "layer":
        assert dropped == [round(fraction * w.size) for w in params.values()]
    else:
        assert sum(dropped) == round(fraction * sum(w.size for w in params.values()))
    assert all(w.all() for w in params.values())  # choosing changes nothing


def test_pruning_changes_weights_only_and_leaves_the_largest():
    net = _net()
    before = {name: w.copy() for name, w in net.params.items()}
    net.params["b1"] += 1e-9  # tiny, and still kept
    masks = prune(net, 0.6, "layer")

    assert list(masks) == ["W1", "W2"]
    assert count_nonzeros(net.params)["W1"] == (12, 30)
    assert count_nonzeros(net.params)["b1"] == (5, 5)
    kept, gone = np.abs(before["W1"][masks["W1"]]), np.abs(before["W1"][~masks["W1"]])
    assert kept.min() >= gone.max()
    np.testing.assert_array_equal(net.params["W1"][masks["W1"]], before["W1"][masks["W1"]])


def test_of_equal_weights_the_first_in_order_go_first():
    w = np.tile([2.0, 1.0], 50).reshape(10, 10)

    kept = magnitude_masks({"W1": w}, 0.25)["W1"].ravel()

    assert kept[0::2].all()
    assert kept[1::2].tolist() == [False] * 25 + [True] * 25


def test_pruned_weights_gather_no_momentum():
    net = _net(num_classes=2)
    masks = prune(net, 0.5)
    solver = Solver(
        net, _loader(64, 0), _loader(32, 1), optimizer=SGDMomentum, verbose=False, callbacks=[KeepPruned(masks)]
    )
    solver.train(1)

    assert not solver.opt.velocity["W1"][~masks["W1"]].any()
    assert solver.opt.velocity["W1"].any()


def test_pruning_again_with_a_larger_share_keeps_what_is_gone():
    net = _net()
    first = prune(net, 0.3)
    second = prune(net, 0.7)

    assert not any((second[name] & ~first[name]).any() for name in first)


@pytest.mark.parametrize("optimizer", [SGD, SGDMomentum, Adam, partial(AdamW, weight_decay=0.1)])
def test_further_training_moves_the_kept_weights_and_leaves_the_pruned_ones_at_zero(optimizer):
    net = _net(num_classes=2, reg=1e-3)
    masks = prune(net, 0.5)
    start = net.params["W1"].copy()
    train, val = _loader(64, 0), _loader(32, 1)

    Solver(
        net, train, val, optimizer=optimizer, learning_rate=0.01, verbose=False, callbacks=[KeepPruned(masks)]
    ).train(3)

    for name, mask in masks.items():
        assert not net.params[name][~mask].any()
    assert (net.params["W1"] != start)[masks["W1"]].all()


def test_without_the_callback_further_training_fills_the_zeros_again():
    net = _net(num_classes=2)
    prune(net, 0.5)
    Solver(net, _loader(64, 0), _loader(32, 1), learning_rate=0.01, verbose=False).train(1)

    assert count_nonzeros(net.params)["W1"] == (30, 30)


def test_pruning_in_the_middle_of_a_run_holds_against_momentum_from_before():
    net = _net(num_classes=2)
    solver = Solver(net, _loader(64, 0), _loader(32, 1), optimizer=SGDMomentum, learning_rate=0.05, verbose=False)
    solver.train(2)
    masks = magnitude_masks(net.params, 0.5)
    solver.callbacks.append(KeepPruned(masks))
    solver.best_model_stats = solver.best_params = None  # the best weights so far are not pruned
    solver.train(2)

    for name, mask in masks.items():
        assert not net.params[name][~mask].any()


def test_most_weights_of_a_trained_net_can_go_when_the_rest_is_trained_on():
    net = _net(activation=Relu, hidden_size=64, num_classes=2, std="he")
    loaders = _loader(400, 0), _loader(200, 1)
    Solver(net, *loaders, learning_rate=0.01, verbose=False).train(20)
    before = net.get_dataset_prediction(_loader(400, 2))[2]
    masks = prune(net, 0.8)
    Solver(net, *loaders, learning_rate=0.01, verbose=False, callbacks=[KeepPruned(masks)]).train(20)

    assert net.get_dataset_prediction(_loader(400, 2))[2] > before - 0.03
    assert count_nonzeros({name: net.params[name] for name in masks})["all"][0] <= 0.2 * 64 * 8 + 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-0.1,), "fraction must lie in"),
        ((1.1,), "fraction must lie in"),
        ((float("nan"),), "fraction must lie in"),
        ((0.5, "row"), 'scope must be "global" or "layer"'),
        ((0.5, "global", ["W7"]), r"got \['W7'\]"),
        ((0.5, "global", []), "got none"),
    ],
)
def test_pruning_settings_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        prune(_net(), *arguments)


def test_masks_of_another_net_are_refused_before_anything_changes():
    params = {"W1": np.ones((2, 2)), "W2": np.ones(3)}

    with pytest.raises(ValueError, match="'W2' of shape"):
        apply_masks(params, {"W1": np.zeros((2, 2), bool), "W2": np.zeros(4, bool)})
    assert params["W1"].all()
