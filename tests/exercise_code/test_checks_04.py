"""Exercise 04's checks: honest variants pass, typical mistakes lose with a message that points at the mistake."""

import itertools
import math
import types

import numpy as np
import pytest

import exercise_code.hyperparameter_tuning as tuning
from exercise_code import diagnostics
from exercise_code.checks import CheckFailed, NotAttempted, check, hint
from exercise_code.networks import ClassificationNet, layer
from exercise_code.networks.layer import Relu
from exercise_code.solver import Solver


def _layer(forward, backward, slope=False):
    def init(self, slope=0.01):
        self.slope = slope

    members = {"forward": forward, "backward": backward} | ({"__init__": init} if slope else {})
    return type("Layer", (), members)


def _fit(reg=0.0, epochs=40, learning_rate=1e-2, std="he"):
    def overfit(loader, input_size):
        model = ClassificationNet(Relu(), input_size=input_size, std=std, reg=reg)
        Solver(model, loader, loader, learning_rate=learning_rate, verbose=False, allow_overlap=True).train(epochs)
        return model

    return overfit


def _nested_loops(spaces):
    configs = [{}]
    for name, values in spaces.items():
        configs = [{**config, name: value} for config in configs for value in values]
    return configs


def _sample_with(**replaced):
    """The package's sample_config with one kind drawn in another way."""

    def sample(spaces, rng):
        config = tuning.sample_config.__wrapped__(spaces, rng) if hasattr(tuning.sample_config, "__wrapped__") else None
        config = config or SOLVED["sample_config"](spaces, rng)
        for name, (values, kind) in spaces.items():
            if kind in replaced:
                config[name] = replaced[kind](values, rng)
        return config

    return sample


def _double_loop(labels, predictions, num_classes):
    counts = np.zeros((num_classes, num_classes), dtype=int)
    for t, p in zip(labels, predictions, strict=True):
        counts[t, p] += 1
    return counts


def _narrow_log_linearly(space, best):
    return SOLVED["narrow_space"]((space[0], "float" if space[1] == "log" else space[1]), best)[0], space[1]


SOLVED = {
    "tanh": layer.Tanh,
    "leaky_relu": layer.LeakyRelu,
    "initial_loss": diagnostics.expected_initial_loss,
    "overfit": _fit(),
    "grid_configs": tuning.grid_configs,
    "sample_config": tuning.sample_config,
    "narrow_space": tuning.narrow_space,
    "confusion_matrix": diagnostics.confusion_matrix,
}

RIGHT = {
    "tanh": [
        _layer(lambda s, x: (np.tanh(x), x), lambda s, d, c: d * (1 - np.tanh(c) ** 2)),
        _layer(lambda s, x: (np.tanh(x), np.tanh(x)), lambda s, d, c: d - d * c**2),
        _layer(lambda s, x: (np.tanh(x), np.tanh(x)), lambda s, d, c: d * (1 + c) * (1 - c)),
    ],
    "leaky_relu": [
        _layer(lambda s, x: (np.maximum(x, s.slope * x), x), lambda s, d, c: d * np.where(c > 0, 1, s.slope), True),
        _layer(
            lambda s, x: (x * np.where(x > 0, 1, s.slope).astype(x.dtype), x > 0),
            lambda s, d, c: np.where(c, d, d * s.slope),
            True,
        ),
    ],
    "initial_loss": [lambda c: -math.log(1 / c), lambda c: np.log(c), lambda c: np.float32(np.log(c))],
    "overfit": [_fit(learning_rate=3e-3, epochs=80), _fit(std="xavier")],
    "grid_configs": [_nested_loops, lambda s: [dict(zip(s, v, strict=True)) for v in itertools.product(*s.values())]],
    "sample_config": [
        _sample_with(log=lambda v, rng: float(np.exp(rng.uniform(np.log(v[0]), np.log(v[1]))))),
        _sample_with(int=lambda v, rng: int(rng.choice(np.arange(v[0], v[1] + 1)))),
    ],
    "narrow_space": [],
    "confusion_matrix": [
        _double_loop,
        lambda t, p, c: np.bincount(np.asarray(t) * c + np.asarray(p), minlength=c * c).reshape(c, c),
    ],
}


def _in_place(self, dout, cache):
    dout *= 1 - cache**2
    return dout


def _leaky_in_place(self, x):
    x[x <= 0] *= self.slope
    return x, x > 0


WRONG = {
    "tanh": {
        "backward without the square": (
            _layer(lambda s, x: (np.tanh(x), np.tanh(x)), lambda s, d, c: d * (1 - c)), "backward"),
        "derivative of sigmoid": (
            _layer(lambda s, x: (np.tanh(x), np.tanh(x)), lambda s, d, c: d * c * (1 - c)), "backward"),
        "no upstream gradient": (_layer(lambda s, x: (np.tanh(x), np.tanh(x)), lambda s, d, c: 1 - c**2), "backward"),
        "sign": (_layer(lambda s, x: (np.tanh(x), np.tanh(x)), lambda s, d, c: d * (c**2 - 1)), "backward"),
        "input cached, output's formula": (
            _layer(lambda s, x: (np.tanh(x), x), lambda s, d, c: d * (1 - c**2)), "backward"),
        "sigmoid instead": (_layer(lambda s, x: (1 / (1 + np.exp(-x)), x), lambda s, d, c: d), "forward"),
        "overflows": (
            _layer(lambda s, x: ((np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x)),) * 2,
                   lambda s, d, c: d * (1 - c**2)), "overflow"),
        "writes into dout": (_layer(lambda s, x: (np.tanh(x), np.tanh(x)), _in_place), "dout"),
        "forgets the cache": (_layer(lambda s, x: np.tanh(x), lambda s, d, c: d), "a pair"),
        "returns nothing": (_layer(lambda s, x: None, lambda s, d, c: None), "a pair"),
        "summed over the batch": (
            _layer(lambda s, x: (np.tanh(x), np.tanh(x)), lambda s, d, c: (d * (1 - c**2)).sum(axis=0)), "shape"),
        "widens float32": (
            _layer(lambda s, x: (np.tanh(x.astype(np.float64)),) * 2, lambda s, d, c: d * (1 - c**2)), "float32"),
    },
    "leaky_relu": {
        "plain relu": (_layer(lambda s, x: (x * (x > 0), x > 0), lambda s, d, c: d * c, True), "forward"),
        "fixed slope": (
            _layer(lambda s, x: (np.where(x > 0, x, 0.01 * x).astype(x.dtype), x > 0),
                   lambda s, d, c: np.where(c, d, 0.01 * d), True), "forward"),
        "backward lets nothing through below zero": (
            _layer(lambda s, x: (np.where(x > 0, x, s.slope * x), x > 0), lambda s, d, c: d * c, True), "backward"),
        "cases swapped": (
            _layer(lambda s, x: (np.where(x < 0, x, s.slope * x), x > 0), lambda s, d, c: d, True), "forward"),
        "writes into its input": (_layer(_leaky_in_place, lambda s, d, c: np.where(c, d, s.slope * d), True), "input"),
        "mask from the gradient": (
            _layer(lambda s, x: (np.where(x > 0, x, s.slope * x), x > 0),
                   lambda s, d, c: np.where(d > 0, d, s.slope * d), True), "backward"),
    },
    "initial_loss": {
        "accuracy instead": (lambda c: 1 / c, "expected 2.30259"),
        "sign": (lambda c: math.log(1 / c), "expected 2.30259"),
        "base 2": (lambda c: math.log2(c), "expected 2.30259"),
        "always ten classes": (lambda c: 2.302585093, "2 classes"),
        "a text": (lambda c: "2.3026", "a number"),
    },
    "overfit": {
        "one epoch": (_fit(epochs=1, learning_rate=1e-5), "100 %"),
        "regularised away": (_fit(reg=10.0), "100 %"),
        "returns the solver": (lambda loader, n: object(), "trained network"),
    },
    "grid_configs": {
        "only pairs up": (lambda s: [dict(zip(s, v, strict=False)) for v in zip(*s.values(), strict=False)], "number"),
        "first name fastest": (lambda s: sorted(_nested_loops(s), key=lambda c: repr(list(c.values())[::-1])), "fastest"),
        "one shared dict": (lambda s: [dict()] * 12, "configuration 0"),
        "a generator": (lambda s: (c for c in _nested_loops(s)), "a list"),
        "tuples": (lambda s: list(itertools.product(*s.values())), "configuration 0"),
    },
    "sample_config": {
        "uniform instead of log": (_sample_with(log=lambda v, rng: float(rng.uniform(*v))), "log"),
        "natural exponent of log10": (
            _sample_with(log=lambda v, rng: float(np.exp(rng.uniform(np.log10(v[0]), np.log10(v[1]))))), "log"),
        "upper end never drawn": (_sample_with(int=lambda v, rng: int(rng.integers(v[0], v[1]))), "int"),
        "rounded float": (_sample_with(int=lambda v, rng: round(rng.uniform(v[0], v[1]))), "equally likely"),
        "int as float": (_sample_with(int=lambda v, rng: float(rng.integers(v[0], v[1], endpoint=True))), "int"),
        "always the first item": (_sample_with(item=lambda v, rng: v[0]), "item"),
        "low end only": (_sample_with(float=lambda v, rng: v[0]), "float"),
        "global generator": (_sample_with(float=lambda v, rng: float(np.random.uniform(*v))), "same configuration"),
        "generator of its own": (
            _sample_with(log=lambda v, rng: float(10 ** np.random.default_rng(0).uniform(-5, -1))), "log"),
    },
    "narrow_space": {
        "not halved": (lambda s, b: s, "Half as wide"),
        "leaves the range": (
            lambda s, b: ([b - (s[0][-1] - s[0][0]) / 4, b + (s[0][-1] - s[0][0]) / 4], s[1])
            if s[1] != "item" else s, "cut off"),
        "log treated as linear": (_narrow_log_linearly, "decades"),
        "no kind": (lambda s, b: s[0], "kind"),
    },
    "confusion_matrix": {
        "transposed": (lambda t, p, c: _double_loop(p, t, c), "Row: true class"),
        "hits only": (lambda t, p, c: np.diag(np.bincount(t[t == p], minlength=c)), "Row: true class"),
        "too small when a class is missing": (lambda t, p, c: _double_loop(t, p, 4)[:, :3], "shape"),
        "counts a pair once": (lambda t, p, c: np.minimum(_double_loop(t, p, c), 1), "entries differ"),
    },
}  # fmt: skip


@pytest.mark.parametrize("task", SOLVED)
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_the_solution_is_right_for_every_seed(task, seed, capsys):
    check(task, SOLVED[task], seed=seed, plug_in=False)

    assert capsys.readouterr().out == f"{task}: right.\n"


@pytest.mark.parametrize(("task", "answer"), [(task, answer) for task, answers in RIGHT.items() for answer in answers])
def test_an_honest_variant_is_right(task, answer):
    check(task, answer, plug_in=False)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # some wrong answers overflow; that is their mistake
@pytest.mark.parametrize(
    ("task", "answer", "points_at"),
    [pytest.param(task, *case, id=f"{task}-{name}") for task, cases in WRONG.items() for name, case in cases.items()],
)
def test_a_typical_mistake_is_wrong_and_the_message_points_at_it(task, answer, points_at):
    with pytest.raises(CheckFailed) as failed:
        check(task, answer, plug_in=False)

    assert points_at in str(failed.value)
    assert f'hint("{task}")' in str(failed.value)


def test_the_stub_counts_as_not_attempted():
    class Tanh:
        def forward(self, x):
            raise NotImplementedError("04_grid_search, task Tanh.forward")

    with pytest.raises(NotAttempted, match="tanh: not attempted yet"):
        check("tanh", Tanh)


def test_an_error_in_the_answer_is_wrong_with_its_kind_and_text():
    def broken(num_classes):
        return missing_name  # noqa: F821 -- the mistake under test

    with pytest.raises(CheckFailed, match="stopped with NameError: name 'missing_name' is not defined"):
        check("initial_loss", broken)


def test_an_object_that_claims_to_equal_everything_is_wrong():
    class Yes:
        def __eq__(self, other):
            return True

        def __array__(self, *args, **kwargs):
            raise TypeError

    with pytest.raises(CheckFailed):
        check("initial_loss", lambda c: Yes())
    with pytest.raises(CheckFailed):
        check("grid_configs", lambda s: [Yes()] * 12)


def test_a_right_answer_takes_the_place_of_the_packages_own(monkeypatch):
    monkeypatch.setattr(tuning, "grid_configs", tuning.grid_configs)  # put back afterwards

    check("grid_configs", _nested_loops)

    assert tuning.grid_configs is _nested_loops


def test_a_wrong_answer_leaves_the_package_alone():
    before = tuning.grid_configs
    with pytest.raises(CheckFailed):
        check("grid_configs", lambda s: [])

    assert tuning.grid_configs is before


def test_hints_come_in_three_steps_and_name_the_next(capsys):
    for level in (1, 2, 3):
        hint("tanh", level)

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith('More: hint("tanh", 2)')
    assert lines[2].startswith("tanh, hint 3 of 3:") and "More:" not in lines[2]
    with pytest.raises(ValueError, match="level from 1 to 3"):
        hint("tanh", 4)


def test_an_unknown_task_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'leaky_relu'"):
        check("leaky_rely", None)


def test_jupyter_shows_the_message_without_a_traceback():
    with pytest.raises(CheckFailed) as failed:
        check("initial_loss", lambda c: 0)

    assert isinstance(failed.value._render_traceback_, types.MethodType)
    assert failed.value._render_traceback_() == [f"CheckFailed: {failed.value}"]
