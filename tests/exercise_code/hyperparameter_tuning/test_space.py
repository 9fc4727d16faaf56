"""Spaces: the distributions, the way to the unit cube and back, conditions, and what is refused."""

import math

import numpy as np
import pytest
from scipy import stats

from exercise_code.hyperparameter_tuning import Choice, Float, Int, Normal, Space

CONDITIONAL = {
    "optimizer": Choice(
        {"sgd": {"momentum": Float(0.0, 0.9)}, "adam": {"beta": Float(0.8, 0.99), "eps": [1e-8, 1e-4]}}
    ),
    "lr": Float(1e-4, 1e-1, log=True),
}


@pytest.mark.parametrize("parameter", [Int(16, 80, step=16), Int(3, 20, log=True, step=4), Int(2, 9)])
def test_whole_numbers_in_steps_come_back_from_the_middle_of_their_cells(parameter):
    values = parameter.values()

    assert values == list(range(parameter.low, parameter.high + 1, parameter.step)) and len(values) == parameter.size
    assert [parameter.from_unit(parameter.to_unit(value)) for value in values] == values
    assert [parameter.from_unit(u) for u in (0.0, 1.0)] == [values[0], values[-1]]
    middles = (parameter.edges[:-1] + parameter.edges[1:]) / 2
    np.testing.assert_allclose(middles, [parameter.to_unit(value) for value in values])
    assert not parameter.contains(parameter.low + 0.5) and parameter.contains(values[-1])
    assert parameter.contains(parameter.low + 1) == (parameter.step == 1)


def _draws(parameter, n=4000):
    space = Space({"x": parameter})
    rng = np.random.default_rng(0)
    return [space.sample(rng)["x"] for _ in range(n)]


@pytest.mark.parametrize(
    ("parameter", "distribution"),
    [
        (Float(-2.0, 6.0), stats.uniform(-2, 8)),
        (Float(1e-5, 1e1, log=True), stats.loguniform(1e-5, 1e1)),
        (Normal(3.0, 2.0), stats.norm(3, 2)),
        (Normal(0.0, 1.0, log=True), stats.lognorm(1.0)),
        (([0.2, 0.6], "float"), stats.uniform(0.2, 0.4)),
        (([1e-4, 1e0], "log"), stats.loguniform(1e-4, 1e0)),
    ],
)
def test_real_numbers_follow_the_stated_distribution(parameter, distribution):
    values = _draws(parameter)

    assert all(type(value) is float for value in values)
    assert stats.kstest(values, distribution.cdf).pvalue > 1e-4


@pytest.mark.parametrize(
    ("parameter", "weights"),
    [
        (Int(2, 5), {2: 1, 3: 1, 4: 1, 5: 1}),
        (([2, 5], "int"), {2: 1, 3: 1, 4: 1, 5: 1}),
        (Int(1, 4, log=True), {v: math.log((v + 1) / v) for v in (1, 2, 3, 4)}),
        (Choice(["a", "b"]), {"a": 1, "b": 1}),
        ((["a", "b"], "item"), {"a": 1, "b": 1}),
        (["a", "b", "c"], {"a": 1, "b": 1, "c": 1}),
        (Choice(["a", "b"], weights=[1, 3]), {"a": 1, "b": 3}),
    ],
)
def test_listed_values_come_with_the_stated_weights(parameter, weights):
    values = _draws(parameter)

    expected = [len(values) * weight / sum(weights.values()) for weight in weights.values()]
    counts = [values.count(value) for value in weights]
    assert sum(counts) == len(values)
    assert stats.chisquare(counts, expected).pvalue > 1e-4


def test_steps_give_multiples_only():
    values = _draws(Float(0.0, 1.0, step=0.25))

    assert set(values) == {0.0, 0.25, 0.5, 0.75, 1.0}


def test_the_unit_cube_and_back_is_the_same_configuration():
    space = Space(
        CONDITIONAL
        | {"width": Int(1, 100, log=True), "layers": Int(1, 3), "init": Normal(0, 1), "q": Float(1, 9, step=2)}
        | {"act": ["relu", "tanh"], "nested": Choice([{"a": 1}, {"a": 2, "b": [Float(0, 1), 3]}])}
    )
    rng = np.random.default_rng(1)
    for _ in range(300):
        config = space.sample(rng)
        unit = space.to_unit(config)
        again = space.from_unit(unit)
        assert unit.shape == (len(space),) and (unit >= 0).all() and (unit <= 1).all()
        assert space.contains(config) and space.contains(again)
        np.testing.assert_allclose(space.to_unit(again), unit, atol=1e-9)
        flat, flat_again = space.flat(config), space.flat(again)
        assert flat.keys() == flat_again.keys()
        for name, value in flat.items():
            assert flat_again[name] == (pytest.approx(value) if isinstance(value, float) else value)
        assert (unit[~space.active(config)] == 0.5).all()


def test_a_draw_takes_as_many_numbers_whatever_was_chosen():
    space = Space(CONDITIONAL)
    rng, counted = np.random.default_rng(2), np.random.default_rng(2)
    for _ in range(20):
        space.sample(rng)
        counted.random(len(space))

    assert rng.random() == counted.random()


def test_options_bring_their_parameters_only_when_they_are_chosen():
    space = Space(CONDITIONAL)

    rng = np.random.default_rng(0)
    names = {frozenset(space.sample(rng)) for _ in range(50)}

    assert names == {frozenset({"optimizer", "momentum", "lr"}), frozenset({"optimizer", "beta", "eps", "lr"})}
    assert not space.contains({"optimizer": "adam", "momentum": 0.5, "lr": 0.01})
    assert space.active({"optimizer": "sgd", "momentum": 0.5, "lr": 0.01}).tolist() == [True, True, False, False, True]


def test_a_grid_visits_conditional_options_once_each():
    space = Space({"opt": Choice({"sgd": {"momentum": [0.0, 0.9]}, "adam": {}}), "n": Int(1, 2)})

    assert space.grid() == [
        {"opt": "sgd", "momentum": 0.0, "n": 1},
        {"opt": "sgd", "momentum": 0.0, "n": 2},
        {"opt": "sgd", "momentum": 0.9, "n": 1},
        {"opt": "sgd", "momentum": 0.9, "n": 2},
        {"opt": "adam", "n": 1},
        {"opt": "adam", "n": 2},
    ]


def test_values_come_back_and_never_indices_even_when_they_are_objects():
    class Layer:
        pass

    layers = [Layer(), Layer()]
    config = Space({"layer": layers, "sizes": [[100], [100, 50]]}).from_unit([0.9, 0.9])

    assert config["layer"] is layers[1]
    assert config["sizes"] == [100, 50]


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "at least one hyper-parameter"),
        ([1, 2], "at least one hyper-parameter"),
        ({"lr": []}, "'lr': expected a non-empty list"),
        ({"lr": 0.5}, "'lr': expected a non-empty list"),
        ({"lr": "log"}, "'lr': expected a non-empty list"),
        ({"lr": ([1, 2], "lgo")}, "'lr'.*did you mean 'log'"),
        ({"lr": ([1e-2, 1e-4], "log")}, "'lr'.*low < high"),
        ({"lr": ([1.0, 1.0], "float")}, "'lr'.*low < high"),
        ({"lr": ([0, 1], "log")}, "'lr'.*low > 0"),
        ({"lr": ([-1, 1], "log")}, "'lr'.*low > 0"),
        ({"lr": ([math.nan, 1], "float")}, "'lr'.*finite number as low, got nan"),
        ({"lr": ([0, math.inf], "float")}, "'lr'.*finite number as high, got inf"),
        ({"lr": (["a", "b"], "float")}, "'lr'.*finite number as low, got 'a'"),
        ({"lr": ([0.5, 2], "int")}, "'lr'.*whole numbers"),
        ({"lr": ([1, 2, 3], "float")}, "'lr'.*low < high"),
        ({"lr": ([], "item")}, "'lr'.*non-empty"),
        ({"": [1]}, "non-empty string as name"),
        ({3: [1]}, "non-empty string as name"),
        ({"x": [1], "c": Choice({"a": {"x": [2]}})}, "two hyper-parameters .* are called 'x'"),
    ],
)
def test_a_space_that_cannot_be_is_refused_by_name(space, message):
    with pytest.raises(ValueError, match=message):
        Space.read(space)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Float(1, 0),
        lambda: Float(0, 1, step=0),
        lambda: Float(0, 1, step=math.nan),
        lambda: Float(True, 2),
        lambda: Int(3, 3),
        lambda: Int(0, 5, log=True),
        lambda: Normal(0, 0),
        lambda: Normal(math.nan, 1),
        lambda: Choice([]),
        lambda: Choice("ab"),
        lambda: Choice(["a", "b"], weights=[1]),
        lambda: Choice(["a", "b"], weights=[1, 0]),
        lambda: Choice(["a", "b"], weights=[1, math.nan]),
    ],
)
def test_a_parameter_that_cannot_be_is_refused(make):
    with pytest.raises(ValueError, match="expected|needs"):
        make()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"optimizer": "adam", "beta": 0.9, "eps": 1e-8, "lrr": 0.1},
            "unknown hyper-parameter 'lrr': did you mean 'lr'",
        ),
        ({"optimizer": "adam", "beta": 0.9, "eps": 1e-8}, "expected a value for 'lr'"),
        ({"optimizer": "adma", "lr": 0.01}, "expected one of 'sgd', 'adam' for 'optimizer', got 'adma'"),
        ({"optimizer": "sgd", "momentum": 2, "lr": 0.01}, "for 'momentum', got 2"),
        ({"optimizer": "sgd", "momentum": math.nan, "lr": 0.01}, "for 'momentum', got nan"),
        (3, "expected a dict"),
    ],
)
def test_a_configuration_outside_the_space_is_refused(config, message):
    with pytest.raises(ValueError, match=message):
        Space(CONDITIONAL).check(config)


@pytest.mark.parametrize("unit", [[0.5], [0.5, 1.2, 0, 0, 0], [0.5, math.nan, 0, 0, 0]])
def test_a_point_outside_the_unit_cube_is_refused(unit):
    with pytest.raises(ValueError, match="expected 5 numbers in"):
        Space(CONDITIONAL).from_unit(unit)


def test_a_continuous_parameter_has_no_grid():
    with pytest.raises(ValueError, match="'lr' has no grid"):
        Space({"lr": ([0.1, 0.2], "float")}).grid()


def test_equal_spaces_are_described_equally_and_others_are_not():
    assert Space(CONDITIONAL).describe() == Space(dict(CONDITIONAL)).describe()
    assert Space({"x": Float(0, 1)}).describe() != Space({"x": Float(0, 2)}).describe()


class TestHyperopt:
    hp = pytest.importorskip("hyperopt").hp

    def space(self):
        hp = self.hp
        return {
            "lr": hp.loguniform("lr", math.log(1e-4), math.log(1e-1)),
            "width": hp.quniform("width", 10, 50, 10),
            "layers": hp.uniformint("layers", 1, 3),
            "seed": hp.randint("seed", 5),
            "skip": hp.randint("skip", 2, 4),
            "noise": hp.lognormal("noise", 0, 1),
            "act": hp.pchoice("act", [(0.2, "relu"), (0.8, "tanh")]),
            "classifier": hp.choice(
                "classifier",
                [
                    {"type": "svm", "C": hp.lognormal("C", 0, 1), "kernel": hp.choice("kernel", ["linear", "rbf"])},
                    {"type": "tree", "depth": hp.randint("depth", 1, 9), "pair": [hp.normal("a", 0, 1), 7]},
                    "none",
                ],
            ),
        }

    def test_values_have_the_form_that_hyperopt_itself_hands_to_an_objective(self):
        from hyperopt import space_eval
        from hyperopt.pyll.stochastic import sample

        expression = self.space()
        space = Space.read(expression)
        theirs = [sample(expression, rng=np.random.default_rng(i)) for i in range(60)]
        rng = np.random.default_rng(0)
        ours = [space.sample(rng) for _ in range(60)]

        assert space_eval(expression, {"lr": 0.01, "width": 20, "layers": 1, "seed": 0, "skip": 2, "noise": 1.0, "act": 1,
                                       "classifier": 2})["classifier"] == "none"  # fmt: skip
        for config in theirs:
            space.check(config)
        assert {config["act"] for config in ours} == {"relu", "tanh"}
        kinds = {c["classifier"] if isinstance(c["classifier"], str) else c["classifier"]["type"] for c in ours}
        assert kinds == {"svm", "tree", "none"}

    def test_distributions_agree_with_hyperopts(self):
        from hyperopt.pyll.stochastic import sample

        expression = self.space()
        space = Space.read(expression)
        rng, their_rng = np.random.default_rng(0), np.random.default_rng(1)
        ours = [space.sample(rng) for _ in range(1500)]
        theirs = [sample(expression, rng=their_rng) for _ in range(1500)]

        for name in ("lr", "noise"):
            assert stats.ks_2samp([c[name] for c in ours], [c[name] for c in theirs]).pvalue > 1e-4
        for name in ("width", "seed", "skip", "act"):  # not layers: hyperopt gives the ends half the weight
            values = sorted({c[name] for c in theirs})
            table = [[sum(c[name] == value for c in side) for value in values] for side in (ours, theirs)]
            assert {c[name] for c in ours} == set(values)
            assert stats.chi2_contingency(table).pvalue > 1e-4

    def test_expressions_may_stand_among_our_parameters(self):
        space = Space.read({"a": self.hp.uniform("label", 0, 1), "b": [1, 2]})

        assert space.names == ["label", "b"]
        assert set(space.from_unit([0.25, 0.9]).items()) == {("a", 0.25), ("b", 2)}

    def test_whole_numbers_keep_their_q_and_have_the_values_that_hyperopt_draws(self):
        from hyperopt import space_eval
        from hyperopt.pyll import scope
        from hyperopt.pyll.stochastic import sample

        expression = {
            "width": scope.int(self.hp.quniform("width", 16, 80, 16)),
            "depth": scope.int(self.hp.qloguniform("depth", math.log(8), math.log(64), 8)),
        }
        space = Space.read(expression)
        rng = np.random.default_rng(0)
        ours = [space.sample(rng) for _ in range(400)]
        theirs = [sample(expression, rng=np.random.default_rng(i)) for i in range(200)]

        assert space_eval(expression, {"width": 32, "depth": 8}) == {"width": 32, "depth": 8}
        for name in expression:
            assert {c[name] for c in ours} == {c[name] for c in theirs}
            assert {type(c[name]) for c in ours} == {int}
        assert {c["width"] for c in ours} == {16, 32, 48, 64, 80}

    @pytest.mark.parametrize(
        ("kind", "arguments", "message"),
        [
            ("uniform", (0, 9), "'n': expected quniform or qloguniform in scope.int, got 'uniform'"),
            ("quniform", (0, 9, 0.5), "'n': expected a whole number q >= 1 in scope.int, got 0.5"),
        ],
    )
    def test_whole_numbers_of_other_expressions_are_refused(self, kind, arguments, message):
        from hyperopt.pyll import scope

        with pytest.raises(ValueError, match=message):
            Space.read({"n": scope.int(getattr(self.hp, kind)("n", *arguments))})

    def test_a_single_expression_is_a_space_with_its_label_as_name(self):
        assert Space.read(self.hp.uniform("x", -5, 5)).from_unit([0.5]) == {"x": 0.0}

    def test_impossible_bounds_are_refused_by_label(self):
        with pytest.raises(ValueError, match="'x'.*std"):
            Space.read({"y": self.hp.normal("x", 0, -1)})

    def test_arithmetic_on_expressions_is_refused_with_advice(self):
        with pytest.raises(ValueError, match="compute with the value in the objective"):
            Space.read({"x": self.hp.uniform("x", 0, 1) * 2})
