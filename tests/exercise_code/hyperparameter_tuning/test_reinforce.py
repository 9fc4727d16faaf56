"""REINFORCE: its gradient against finite differences of the expected reward, and controllers that learn."""

import itertools
import math

import numpy as np
import pytest

from exercise_code.hyperparameter_tuning import Choice, Float, Int, ReinforceController, Result
from exercise_code.hyperparameter_tuning.reinforce import moving_baseline, policy, policy_gradient
from tests.exercise_code.hyperparameter_tuning.by_hand import run_values

SPACE = {"layers": Int(1, 4), "activation": Choice(["relu", "tanh", "sigmoid"]), "norm": Choice([False, True])}


def error(c):
    return (
        abs(c["layers"] - 3) + {"relu": 0.0, "tanh": 0.5, "sigmoid": 1.0}[c["activation"]] + (0.0 if c["norm"] else 0.3)
    )


def test_the_policy_is_a_softmax_that_does_not_overflow():
    logits = np.array([1.0, 2.0, -1.0])

    np.testing.assert_allclose(policy(logits), np.exp(logits) / np.exp(logits).sum())
    assert policy([1000.0, 0.0]).tolist() == [1.0, 0.0]


def test_the_gradient_of_one_draw_is_that_of_its_log_probability():
    logits, h = np.array([0.3, -1.0, 0.7, 0.0]), 1e-6
    for action in range(4):
        numeric = [
            (math.log(policy(logits + h * e)[action]) - math.log(policy(logits - h * e)[action])) / (2 * h)
            for e in np.eye(4)
        ]

        np.testing.assert_allclose(policy_gradient(logits, action, 2.5), 2.5 * np.array(numeric), atol=1e-7)


@pytest.mark.parametrize("baseline", [0.0, 3.7])
def test_its_mean_over_all_architectures_is_the_gradient_of_the_expected_reward_whatever_the_baseline(baseline):
    rng = np.random.default_rng(0)
    rewards = rng.normal(size=(3, 2, 4))
    logits = [rng.normal(size=n) for n in rewards.shape]

    def expected_reward(all_logits):
        a, b, c = (policy(x) for x in all_logits)
        return float(np.einsum("i,j,k,ijk->", a, b, c, rewards))

    for d in range(3):
        by_hand = np.zeros_like(logits[d])
        for actions in itertools.product(*map(range, rewards.shape)):
            probability = math.prod(policy(x)[a] for x, a in zip(logits, actions, strict=True))
            by_hand += probability * policy_gradient(logits[d], actions[d], rewards[actions] - baseline)
        h = 1e-6
        numeric = []
        for e in np.eye(len(logits[d])):
            up, down = ([x + s * h * e if i == d else x for i, x in enumerate(logits)] for s in (1, -1))
            numeric.append((expected_reward(up) - expected_reward(down)) / (2 * h))

        np.testing.assert_allclose(by_hand, numeric, atol=1e-8)


def test_the_baseline_moves_towards_the_latest_rewards():
    assert moving_baseline(None, [2.0, 4.0], 0.9) == 3.0
    assert moving_baseline(3.0, [13.0], 0.9) == pytest.approx(4.0)


def test_a_step_makes_what_paid_off_more_likely_and_what_did_not_less():
    controller = ReinforceController({"act": ["good", "bad"]}, trials=8, batch=8, seed=3)
    proposals = controller.ask()
    assert {p.config["act"] for p in proposals} == {"good", "bad"}

    controller.tell([Result(p.trial, p.config, 1, 0.1 if p.config["act"] == "good" else 0.9, "ok") for p in proposals])

    good, bad = controller.policy()["act"]
    assert good > 0.5 > bad


def test_controllers_end_at_the_best_architecture_and_sample_better_ones_than_at_first():
    ends = []
    for seed in range(8):
        controller = ReinforceController(SPACE, 250, seed)
        values = run_values(controller, error)
        assert np.mean(values[-50:]) < 0.5 * np.mean(values[:50])
        ends.append(error(controller.most_likely()))

    assert np.median(ends) == 0.0


def test_the_unit_of_the_objective_does_not_matter():
    first, scaled = ReinforceController(SPACE, 60, 1), ReinforceController(SPACE, 60, 1)
    run_values(first, error)
    run_values(scaled, lambda c: 1024 * error(c))

    for name in first.logits:
        np.testing.assert_allclose(first.logits[name], scaled.logits[name], rtol=1e-9)


def test_failed_architectures_are_learnt_to_be_avoided():
    controller = ReinforceController(SPACE, 150, 0)
    run_values(controller, lambda c: math.nan if c["activation"] == "sigmoid" else error(c))

    assert controller.policy()["activation"][2] < 0.05
    nothing = ReinforceController(SPACE, 20, 0)
    run_values(nothing, lambda c: math.nan)
    assert all(np.ptp(p) == 0 for p in nothing.policy().values())


def test_a_choice_that_an_architecture_does_not_have_learns_nothing_from_it():
    space = {"block": Choice({"conv": {"kernel": Choice([3, 5, 7])}, "dense": {}})}
    controller = ReinforceController(space, 40, 0, batch=4)
    kernels = [controller.policy_history[0]["kernel"]]
    while proposals := controller.ask():
        controller.tell(
            [Result(p.trial, p.config, 1, 1.0 if p.config["block"] == "conv" else 0.0, "ok") for p in proposals]
        )
        if all(p.config["block"] == "dense" for p in proposals):
            np.testing.assert_array_equal(
                controller.policy_history[-1]["kernel"], controller.policy_history[-2]["kernel"]
            )
            kernels.append(controller.policy_history[-1]["kernel"])

    assert len(kernels) > 1
    assert controller.policy()["block"][1] > 0.9


def test_the_histories_have_one_entry_per_round_and_seeds_decide_all():
    controllers = [ReinforceController(SPACE, 53, seed, batch=5) for seed in (2, 2, 3)]
    values = [run_values(controller, error) for controller in controllers]

    assert len(controllers[0].policy_history) == 12 and len(controllers[0].baseline_history) == 11
    assert values[0] == values[1] != values[2]


def test_what_it_cannot_choose_from_is_refused():
    with pytest.raises(ValueError, match="a Choice or a short Int for 'lr'"):
        ReinforceController({"lr": Float(0, 1)})
    with pytest.raises(ValueError, match="learning_rate > 0"):
        ReinforceController(SPACE, learning_rate=0.0)
