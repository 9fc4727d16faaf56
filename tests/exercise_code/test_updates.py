"""The rules as functions of arrays against the optimizers that apply them to networks in place."""

import numpy as np
import pytest

from exercise_code.networks import optimizer, updates

RULES = {
    "momentum_update": (optimizer.SGDMomentum, 1, {"momentum": 0.7}),
    "nesterov_update": (optimizer.Nesterov, 1, {"momentum": 0.7}),
    "adagrad_update": (optimizer.AdaGrad, 1, {"eps": 0.01}),
    "rmsprop_update": (optimizer.RMSProp, 1, {"beta": 0.8, "eps": 0.01}),
    "adadelta_update": (optimizer.AdaDelta, 2, {"beta": 0.8, "eps": 0.01}),
    "adam_update": (optimizer.Adam, 2, {"beta1": 0.8, "beta2": 0.95, "eps": 0.01}),
}


def run(name, start, gradients, dtype, **settings):
    """Walk with the function of this name; its memory begins at 0."""
    w = start.astype(dtype)
    memory = [np.zeros_like(w)] * RULES[name][1]
    for t, dw in enumerate(gradients, start=1):
        count = {"t": t} if name == "adam_update" else {}
        w, *memory = getattr(updates, name)(w, dw.astype(dtype), *memory, **count, **settings)
    return w, memory


@pytest.mark.parametrize("with_settings", [True, False], ids=["own settings", "defaults"])
@pytest.mark.parametrize("name", RULES)
def test_each_rule_walks_as_the_optimizer_of_that_name_does(name, with_settings):
    kind, _, settings = RULES[name]
    settings = settings if with_settings else {}
    rng = np.random.default_rng(3)
    start, gradients = rng.standard_normal((3, 4)), rng.standard_normal((25, 3, 4))
    lr = 1.0 if name == "adadelta_update" else 0.1

    class Model:
        params, grads = {"W1": start.copy()}, {}

    stepper = kind(Model, None, learning_rate=lr, **settings)
    for dw in gradients:
        Model.grads["W1"] = dw.copy()
        stepper.step()
    rate = {} if name == "adadelta_update" else {"lr": lr}
    w, memory = run(name, start, gradients, np.float64, **rate, **settings)

    np.testing.assert_allclose(w, Model.params["W1"], rtol=1e-10, atol=1e-12)
    remembered = [array for key, array in stepper.state_dict().items() if key.endswith("/W1")]
    assert len(remembered) == len(memory)
    for ours, theirs in zip(memory, remembered, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_keeps_float32_and_leaves_what_came_in_as_it_was(name):
    arrays = [np.full((2, 3), value, dtype=np.float32) for value in (1.0, 0.5, 0.25, 0.125)][: 2 + RULES[name][1]]
    kept = [array.copy() for array in arrays]
    more = {"t": 2} if name == "adam_update" else {}
    more |= {} if name == "adadelta_update" else {"lr": 0.1}

    results = getattr(updates, name)(*arrays, **more)

    assert all(result.dtype == np.float32 for result in results)
    for before, after in zip(kept, arrays, strict=True):
        assert np.array_equal(before, after)
    assert not any(np.shares_memory(result, array) for result in results for array in arrays)
