"""Optimizers against torch's, step by step in float64, and the mistakes of the slides against the right forms."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exercise_code.networks import ClassificationNet, optimizer_base
from exercise_code.networks.loss import MSE, CrossEntropyFromLogits
from exercise_code.networks.optimizer import (
    GD,
    SGD,
    AdaDelta,
    AdaGrad,
    Adam,
    AdamW,
    Nesterov,
    NesterovLookAhead,
    RMSProp,
    SGDMomentum,
    sgd_momentum,
)

ALL = [SGD, SGDMomentum, Nesterov, RMSProp, AdaGrad, AdaDelta, Adam, AdamW]


class OneLayer:
    """The least a model needs: params and grads."""

    def __init__(self, w, **more):
        self.params = {"W1": w.copy(), **{name: array.copy() for name, array in more.items()}}
        self.grads = {}


PAIRS = {
    "sgd": (SGD, {}, lambda p: torch.optim.SGD(p, lr=0.1)),
    "sgd_with_decay": (SGD, {"weight_decay": 0.3}, lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.3)),
    "momentum": (SGDMomentum, {}, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
    "momentum_0.5": (SGDMomentum, {"momentum": 0.5}, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.5)),
    "nesterov": (Nesterov, {}, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True)),
    "rmsprop": (RMSProp, {}, lambda p: torch.optim.RMSprop(p, lr=0.1)),
    "rmsprop_with_large_eps": (
        RMSProp,
        {"beta": 0.7, "eps": 0.1},
        lambda p: torch.optim.RMSprop(p, lr=0.1, alpha=0.7, eps=0.1),
    ),
    "adagrad": (AdaGrad, {}, lambda p: torch.optim.Adagrad(p, lr=0.1)),
    "adagrad_with_large_eps": (AdaGrad, {"eps": 0.1}, lambda p: torch.optim.Adagrad(p, lr=0.1, eps=0.1)),
    "adadelta": (AdaDelta, {}, lambda p: torch.optim.Adadelta(p, lr=0.1)),
    "adadelta_with_large_eps": (
        AdaDelta,
        {"beta": 0.7, "eps": 0.1},
        lambda p: torch.optim.Adadelta(p, lr=0.1, rho=0.7, eps=0.1),
    ),
    "adam": (Adam, {}, lambda p: torch.optim.Adam(p, lr=0.1)),
    "adam_with_own_betas": (
        Adam,
        {"beta1": 0.7, "beta2": 0.9, "eps": 1e-3},
        lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.7, 0.9), eps=1e-3),
    ),
    "adamw": (AdamW, {}, lambda p: torch.optim.AdamW(p, lr=0.1)),
    "adamw_with_strong_decay": (AdamW, {"weight_decay": 0.5}, lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.5)),
}


@pytest.mark.parametrize(("ours", "settings", "theirs"), PAIRS.values(), ids=PAIRS.keys())
def test_twenty_steps_equal_torch(ours, settings, theirs):
    rng = np.random.default_rng(0)
    start, grads = rng.standard_normal((3, 4)), rng.standard_normal((20, 3, 4))
    model, tensor = OneLayer(start), torch.tensor(start, requires_grad=True)
    optimizer, reference = ours(model, MSE(), 0.1, **settings), theirs([tensor])
    array = model.params["W1"]

    for grad in grads:
        model.grads["W1"] = grad.copy()
        optimizer.step()
        tensor.grad = torch.tensor(grad)
        reference.step()

        np.testing.assert_allclose(model.params["W1"], tensor.detach().numpy(), rtol=1e-10, atol=1e-12)
        np.testing.assert_array_equal(model.grads["W1"], grad)
    assert model.params["W1"] is array  # changed in place


ADAPTIVE = {
    "rmsprop": (RMSProp, lambda p: torch.optim.RMSprop(p, lr=0.1)),
    "adagrad": (AdaGrad, lambda p: torch.optim.Adagrad(p, lr=0.1)),
    "adadelta": (AdaDelta, lambda p: torch.optim.Adadelta(p, lr=0.1)),
    "adam": (Adam, lambda p: torch.optim.Adam(p, lr=0.1)),
    "adamw": (AdamW, lambda p: torch.optim.AdamW(p, lr=0.1)),
    "sgd": (SGD, lambda p: torch.optim.SGD(p, lr=0.1)),
}


@pytest.mark.parametrize(("ours", "theirs"), ADAPTIVE.values(), ids=ADAPTIVE.keys())
def test_a_learning_rate_that_changes_between_steps_still_equals_torch(ours, theirs):
    rng = np.random.default_rng(1)
    start = rng.standard_normal((2, 3))
    model, tensor = OneLayer(start), torch.tensor(start, requires_grad=True)
    optimizer, reference = ours(model, MSE(), 0.1), theirs([tensor])

    for step in range(10):
        grad = rng.standard_normal((2, 3))
        model.grads["W1"], tensor.grad = grad, torch.tensor(grad)
        optimizer.lr = reference.param_groups[0]["lr"] = 0.1 / (1 + step)
        optimizer.step()
        reference.step()

    np.testing.assert_allclose(model.params["W1"], tensor.detach().numpy(), rtol=1e-10, atol=1e-12)


def test_a_momentum_whose_learning_rate_changes_equals_torch_once_the_velocity_is_rescaled():
    # torch keeps u = v / lr, so a new lr rescales the whole velocity there; ours keeps the speed it has.
    rng = np.random.default_rng(1)
    start, grads = rng.standard_normal((2, 3)), rng.standard_normal((6, 2, 3))
    model, tensor = OneLayer(start), torch.tensor(start, requires_grad=True)
    optimizer, reference = SGDMomentum(model, MSE(), 0.1), torch.optim.SGD([tensor], lr=0.1, momentum=0.9)

    for step, grad in enumerate(grads):
        if step == 3:
            optimizer.lr = reference.param_groups[0]["lr"] = 0.02
            optimizer.velocity["W1"] *= 0.02 / 0.1
        model.grads["W1"], tensor.grad = grad, torch.tensor(grad)
        optimizer.step()
        reference.step()

    np.testing.assert_allclose(model.params["W1"], tensor.detach().numpy(), rtol=1e-10, atol=1e-12)


# Nesterov ------------------------------------------------------------------------------------------------------------

CURVATURES = np.array([[1.0, 25.0]])


@settings(max_examples=25, deadline=None)
@given(momentum=st.floats(0, 0.95), seed=st.integers(0, 1000))
def test_both_forms_of_nesterov_are_one_walk_even_when_the_learning_rate_changes(momentum, seed):
    rng = np.random.default_rng(seed)
    start, rates = rng.standard_normal((1, 2)), rng.uniform(0.001, 0.03, size=40)
    ahead, substituted = OneLayer(start), OneLayer(start)
    told = NesterovLookAhead(ahead, MSE(), 0.01, momentum=momentum)
    used = Nesterov(substituted, MSE(), 0.01, momentum=momentum)

    for rate in rates:
        told.lr = used.lr = rate
        told.look_ahead()
        np.testing.assert_allclose(substituted.params["W1"], ahead.params["W1"], rtol=1e-9, atol=1e-12)
        ahead.grads["W1"] = CURVATURES * ahead.params["W1"]
        substituted.grads["W1"] = CURVATURES * substituted.params["W1"]
        told.step()
        used.step()
        point_ahead = ahead.params["W1"] + momentum * told.velocity["W1"]
        np.testing.assert_allclose(substituted.params["W1"], point_ahead, rtol=1e-9, atol=1e-12)


def test_the_slides_form_of_nesterov_diverges_where_the_right_one_converges():
    lr, momentum, start = 0.04, 0.9, np.ones((1, 2))
    model = OneLayer(start)
    optimizer = Nesterov(model, MSE(), lr, momentum)
    w_right, w_slide = start.copy(), start.copy()
    v_right, v_slide = np.zeros_like(start), np.zeros_like(start)

    for _ in range(100):
        model.grads["W1"] = CURVATURES * model.params["W1"]
        optimizer.step()
        # the slide writes the velocity with the other sign: v <- b v + lr dw, w <- w - v
        new = momentum * v_right + lr * CURVATURES * w_right
        w_right, v_right = w_right - (1 + momentum) * new + momentum * v_right, new
        new = momentum * v_slide + lr * CURVATURES * w_slide
        w_slide, v_slide = w_slide - (1 - momentum) * new - momentum * v_slide, new

    def loss(w):
        return float(np.sum(CURVATURES * w * w) / 2)

    np.testing.assert_allclose(model.params["W1"], w_right, rtol=1e-9, atol=1e-12)
    assert loss(w_right) < 1e-4 * loss(start)
    assert loss(w_slide) > 1e9


def test_a_step_of_the_look_ahead_form_without_looking_ahead_is_refused():
    model = OneLayer(np.ones((1, 1)))
    model.grads["W1"] = np.ones((1, 1))
    optimizer = NesterovLookAhead(model, MSE(), 0.1)

    with pytest.raises(RuntimeError, match=r"call look_ahead\(\) before the forward pass"):
        optimizer.step()
    optimizer.look_ahead()
    with pytest.raises(RuntimeError, match=r"call step\(\) before look_ahead\(\)"):
        optimizer.look_ahead()


# What the lectures say, and what is so -----------------------------------------------------------------------------


def _sizes_of_steps(optimizer_class, steps, **settings):
    model = OneLayer(np.zeros((1, 1)))
    optimizer, sizes = optimizer_class(model, MSE(), 0.1, **settings), []
    for _ in range(steps):
        before = model.params["W1"].item()
        model.grads["W1"] = np.full((1, 1), 3.0)
        optimizer.step()
        sizes.append(before - model.params["W1"].item())
    return np.array(sizes)


def test_under_a_constant_gradient_adagrad_slows_down_and_rmsprop_tends_to_the_learning_rate():
    np.testing.assert_allclose(_sizes_of_steps(AdaGrad, 100), 0.1 / np.sqrt(np.arange(1, 101)), rtol=1e-8)
    assert _sizes_of_steps(RMSProp, 1000)[-1] == pytest.approx(0.1, rel=1e-4)


def test_momentum_reaches_ten_times_the_speed_of_sgd():
    assert _sizes_of_steps(SGDMomentum, 300)[-1] == pytest.approx(10 * _sizes_of_steps(SGD, 1)[0])


def test_adadelta_moves_and_the_slides_form_without_eps_in_the_numerator_never_does():
    model, slide = OneLayer(np.full((1, 1), 5.0)), 5.0
    optimizer = AdaDelta(model, MSE())
    g = p = 0.0
    for _ in range(100):
        model.grads["W1"] = 2 * model.params["W1"]
        optimizer.step()
        dw = 2 * slide
        g = 0.9 * g + 0.1 * dw**2
        step = np.sqrt(p) / (np.sqrt(g) + 1e-6) * dw
        p = 0.9 * p + 0.1 * step**2
        slide -= step

    assert slide == 5.0
    assert model.params["W1"][0, 0] < 4.9


def test_first_step_of_adam_has_the_size_of_the_learning_rate_even_for_tiny_gradients():
    model = OneLayer(np.zeros((1, 1)))
    model.grads["W1"] = np.full((1, 1), 1e-5)

    Adam(model, MSE(), 0.1).step()

    assert model.params["W1"][0, 0] == pytest.approx(-0.1, rel=2e-3)


# Weight decay --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ours", "name"), [(SGD, "SGD"), (AdamW, "AdamW")])
def test_weight_decay_leaves_biases_alone_as_a_group_of_their_own_does_in_torch(ours, name):
    rng = np.random.default_rng(3)
    start = {"W1": rng.standard_normal((3, 2)), "b1": rng.standard_normal(2), "gamma1": rng.standard_normal(2)}
    model = OneLayer(start["W1"], b1=start["b1"], gamma1=start["gamma1"])
    tensors = {key: torch.tensor(array, requires_grad=True) for key, array in start.items()}
    groups = [{"params": tensors["W1"]}, {"params": [tensors["b1"], tensors["gamma1"]], "weight_decay": 0.0}]
    reference = getattr(torch.optim, name)(groups, lr=0.1, weight_decay=0.4)
    optimizer = ours(model, MSE(), 0.1, weight_decay=0.4)

    for _ in range(5):
        for key, tensor in tensors.items():
            model.grads[key] = rng.standard_normal(tensor.shape)
            tensor.grad = torch.tensor(model.grads[key])
        optimizer.step()
        reference.step()

    for key, tensor in tensors.items():
        np.testing.assert_allclose(model.params[key], tensor.detach().numpy(), rtol=1e-10, atol=1e-12)


def _train(optimizer, net, steps=5):
    rng = np.random.default_rng(4)
    X, y = rng.standard_normal((16, 4)), rng.integers(0, 3, 16)
    for _ in range(steps):
        optimizer.backward(net.forward(X), y)
        optimizer.step()
    return net.params["W1"]


def test_weight_decay_is_an_l2_penalty_for_sgd_but_not_for_adam():
    def net(reg):
        return ClassificationNet(input_size=4, num_classes=3, hidden_size=5, std=1.0, reg=reg, dtype=np.float64)

    def both(decaying, plain):
        decayed, penalised = net(0.0), net(0.05)
        return (
            _train(decaying(decayed, CrossEntropyFromLogits(), 0.1, weight_decay=0.1), decayed),
            _train(plain(penalised, CrossEntropyFromLogits(), 0.1), penalised),
        )

    np.testing.assert_allclose(*both(SGD, SGD), rtol=1e-12)
    decayed, penalised = both(AdamW, Adam)
    assert np.abs(decayed - penalised).max() > 0.01


def test_adamw_without_decay_is_adam():
    nets = [ClassificationNet(input_size=4, num_classes=3, hidden_size=5) for _ in range(2)]

    _train(Adam(nets[0], CrossEntropyFromLogits(), 0.01), nets[0])
    _train(AdamW(nets[1], CrossEntropyFromLogits(), 0.01, weight_decay=0.0), nets[1])

    np.testing.assert_array_equal(nets[0].params["W1"], nets[1].params["W1"])


# State ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer_class", [*ALL, NesterovLookAhead])
def test_a_run_that_is_saved_and_restored_goes_on_exactly_as_if_it_had_not_stopped(optimizer_class):
    rng = np.random.default_rng(5)
    start, grads = rng.standard_normal((2, 3)), rng.standard_normal((8, 2, 3))

    def walk(optimizer, steps):
        for grad in steps:
            optimizer.model.grads["W1"] = grad
            if isinstance(optimizer, NesterovLookAhead):
                optimizer.look_ahead()
            optimizer.step()

    whole = optimizer_class(OneLayer(start), MSE(), 0.1)
    walk(whole, grads)
    first = optimizer_class(OneLayer(start), MSE(), 0.1)
    walk(first, grads[:4])
    stored = io.BytesIO()
    np.savez(stored, **first.state_dict())
    stored.seek(0)
    second = optimizer_class(OneLayer(first.model.params["W1"]), MSE(), 0.7)
    with np.load(stored, allow_pickle=False) as state:
        second.load_state_dict(state)
    walk(second, grads[4:])

    assert type(second.lr) is float
    np.testing.assert_array_equal(second.model.params["W1"], whole.model.params["W1"])


def test_the_state_is_a_copy_in_both_directions():
    model = OneLayer(np.ones((2, 2)))
    model.grads["W1"] = np.ones((2, 2))
    optimizer = Adam(model, MSE(), 0.1)
    optimizer.step()
    state = optimizer.state_dict()
    assert set(state) == {"lr", "t", "m/W1", "v/W1"}
    kept = {name: np.copy(value) for name, value in state.items()}

    optimizer.step()
    optimizer.load_state_dict(state)
    optimizer.step()

    for name, value in kept.items():
        np.testing.assert_array_equal(state[name], value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("t"), r"missing \['t'\], unknown \[\]"),
        (lambda state: state.update(velocity=1), r"unknown \['velocity'\]"),
        (lambda state: state.update({"m/W1": np.zeros(3)}), r"expected shape \(2, 2\) for 'm/W1', got \(3,\)"),
        (lambda state: state.update(t=np.zeros(3)), r"expected shape \(\) for 't'"),
    ],
)
def test_the_state_of_something_else_is_refused_and_changes_nothing(change, message):
    optimizer = Adam(OneLayer(np.ones((2, 2))), MSE(), 0.1)
    state = Adam(OneLayer(np.ones((2, 2))), MSE(), 0.2).state_dict() | {"v/W1": np.ones((2, 2))}
    change(state)

    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(state)

    assert optimizer.lr == 0.1
    assert not optimizer.v["W1"].any()


# Numbers and settings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(7, 5), (13,), (2, 3, 11)])
@pytest.mark.parametrize("optimizer_class", ALL)
def test_weights_larger_than_a_cache_get_bit_for_bit_the_step_of_one_piece(optimizer_class, shape, monkeypatch):
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=shape).astype(np.float32), rng.normal(size=(4, *shape)).astype(np.float32)
    walks = []
    for piece in (10**6, 12):
        monkeypatch.setattr(optimizer_base, "PIECE", piece)
        model = OneLayer(start)
        optimizer = optimizer_class(model, None, learning_rate=0.1)
        for gradient in gradients:
            model.grads["W1"] = gradient
            optimizer.step()
        walks.append(model.params["W1"])

    np.testing.assert_array_equal(walks[1], walks[0])


@pytest.mark.parametrize("optimizer_class", ALL)
@settings(max_examples=15, deadline=None)
@given(
    shape=st.sampled_from([(1,), (1, 1), (3, 5), (7,)]),
    size=st.sampled_from([0.0, 1e-30, 1e-12, 1.0, 1e15]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_any_size_of_gradient_keeps_weights_finite_and_their_dtype(optimizer_class, shape, size, dtype):
    model = OneLayer(np.zeros(shape, dtype))
    optimizer = optimizer_class(model, MSE(), 0.1)

    for _ in range(3):
        model.grads["W1"] = np.full(shape, size, dtype)
        optimizer.step()

    assert model.params["W1"].dtype == dtype
    assert np.isfinite(model.params["W1"]).all()
    assert (model.params["W1"] <= 0).all()
    assert all(array.dtype == dtype for name, array in optimizer.state_dict().items() if "/" in name)


@pytest.mark.parametrize("learning_rate", [0, -1e-3, float("nan"), float("inf")])
def test_learning_rates_that_cannot_work_are_refused(learning_rate):
    with pytest.raises(ValueError, match="learning_rate must be a positive number"):
        SGD(OneLayer(np.zeros((1, 1))), MSE(), learning_rate)


@pytest.mark.parametrize(
    ("optimizer_class", "setting", "message"),
    [
        (SGD, {"weight_decay": -0.1}, "weight_decay must be a number >= 0"),
        (SGDMomentum, {"momentum": 1.0}, r"momentum must lie in \[0, 1\)"),
        (Nesterov, {"momentum": -0.1}, r"momentum must lie in \[0, 1\)"),
        (RMSProp, {"beta": 1.0}, r"beta must lie in \[0, 1\)"),
        (RMSProp, {"eps": 0.0}, "eps must be a positive number"),
        (AdaGrad, {"eps": -1.0}, "eps must be a positive number"),
        (AdaDelta, {"eps": 0.0}, "eps must be a positive number"),
        (Adam, {"beta2": 1.0}, "beta1 and beta2 in"),
        (AdamW, {"weight_decay": float("nan")}, "weight_decay must be a number >= 0"),
    ],
)
def test_settings_out_of_range_are_refused(optimizer_class, setting, message):
    with pytest.raises(ValueError, match=message):
        optimizer_class(OneLayer(np.zeros((1, 1))), MSE(), 0.1, **setting)


def test_misspelt_settings_are_refused_instead_of_ignored():
    with pytest.raises(TypeError, match="momentun"):
        SGDMomentum(OneLayer(np.zeros((1, 1))), MSE(), 0.1, momentun=0.5)


def test_other_names_of_a_rule_are_the_same_class():
    assert sgd_momentum is SGDMomentum
    assert GD is SGD
