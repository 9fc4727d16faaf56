"""The machinery of checks: three outcomes, clean messages whatever a student's code does, hints, shared verifiers."""

import re
import sys
import types
import warnings

import numpy as np
import pytest

import exercise_code.checks.core as core
from exercise_code.checks import (
    Case,
    Check,
    CheckFailed,
    NotAttempted,
    check,
    element_wise_layer,
    expect,
    expect_close,
    function,
    hint,
)
from exercise_code.hyperparameter_tuning import sampling
from exercise_code.networks.layer import LeakyRelu, Relu, Sigmoid, Tanh

HINTS = ("one", "two", "three")


@pytest.fixture
def add_task(monkeypatch):
    """Put one more task into the table of checks: add_task(verify) makes the task "mine"."""

    def add(verify, home=None):
        monkeypatch.setattr(core, "_tables", lambda: iter([{"mine": Check("01_mine", verify, HINTS, home)}]))

    return add


def outcome(answer, task="mine"):
    with pytest.raises(CheckFailed) as failed:
        check(task, answer, plug_in=False)
    assert "\n" not in str(failed.value)
    return str(failed.value)


SQUARE = function(lambda rng: [Case("x", (rng.standard_normal(3),))], lambda x: x * x, "Entry by entry.")


# -- three outcomes ---------------------------------------------------------------------------------------------------


def test_a_right_answer_says_so_in_one_line(add_task, capsys):
    add_task(SQUARE)

    check("mine", lambda x: x**2)

    assert capsys.readouterr() == ("mine: right.\n", "")


def test_a_wrong_answer_gets_expected_got_where_to_look_and_the_way_to_a_hint(add_task):
    add_task(lambda answer, rng: expect_close("forward", answer(2.0), 4.0, "Look at the exponent."))

    assert outcome(lambda x: x + 1) == ('mine: forward: expected 4, got 3. Look at the exponent. Stuck? hint("mine")')


def test_the_stub_counts_as_not_attempted():
    class Stub:
        def forward(self, x):
            raise NotImplementedError("04_grid_search, task Tanh.forward: write it")

    with pytest.raises(NotAttempted, match="tanh: not attempted yet .04_grid_search, task Tanh.forward: write it"):
        check("tanh", Stub)


def test_another_not_implemented_error_is_an_error_of_the_answer(add_task):
    add_task(SQUARE)

    def half_precision(x):
        raise NotImplementedError('"addmm" not implemented for Half')

    with pytest.raises(CheckFailed, match="stopped with NotImplementedError: .addmm.") as failed:
        check("mine", half_precision)
    assert not isinstance(failed.value, NotAttempted)


def test_jupyter_shows_the_message_without_a_traceback():
    with pytest.raises(CheckFailed) as failed:
        check("initial_loss", lambda c: 0)

    assert isinstance(failed.value._render_traceback_, types.MethodType)
    assert failed.value._render_traceback_() == [f"CheckFailed: {failed.value}"]
    assert failed.value.__suppress_context__


# -- whatever a student's code does ------------------------------------------------------------------------------------


class Yes:
    """Claims to equal everything, and cannot be printed."""

    def __eq__(self, other):
        return True

    def __array__(self, *args, **kwargs):
        raise TypeError("no")

    def __repr__(self):
        raise ValueError("no")


class Tensor:
    """Looks like a tensor of torch to anybody who asks for its class."""

    __module__ = "torch"

    def __init__(self, values):
        self.values = np.asarray(values)

    def detach(self):
        return self

    cpu = detach

    def numpy(self):
        return self.values


@pytest.mark.parametrize(
    ("result", "got"),
    [
        (None, r"got None \(is there a return\?\)"),
        ([0.0, 1.0, 4.0], "got list"),
        ((0.0, 1.0, 4.0), "got tuple"),
        ("0 1 4", "got str"),
        (iter([0.0, 1.0, 4.0]), "got list_iterator"),
        ((x for x in (0.0, 1.0, 4.0)), "got generator"),
        (np.array([0.0, 1.0, 4.0], dtype=object), "got ndarray of object"),
        (np.array([0.0, 1.0, 4.0]) + 0j, "got ndarray of complex128"),
        (np.array(["0", "1", "4"]), "got ndarray of <U1"),
        (Tensor([0.0, 1.0, 4.0]), "got Tensor"),
        (Yes(), "got Yes"),
        (np.array([0.0, np.nan, 4.0]), r"expected 1 at index \(1,\), got nan"),
        (np.array([[0.0, 1.0, 4.0]]), r"expected shape \(3,\), got shape \(1, 3\)"),
        (2.0, r"expected shape \(3,\), got shape \(\)"),
        (lambda x: x, "got function"),
        (np.ma.array([0.0, 9.0, 4.0], mask=[0, 1, 0]), r"expected 1 at index \(1,\), got 9"),
    ],
)
def test_an_odd_result_is_wrong_and_named(add_task, result, got):
    add_task(function([Case("x", (np.array([0.0, 1.0, 2.0]),))], lambda x: x * x, "Look."))

    assert re.search(got, outcome(lambda x: result))


@pytest.mark.parametrize("result", [np.float32(4), np.float64(4), 4.0, 4, np.array(4.0), np.int64(4), np.float16(4)])
def test_every_honest_kind_of_number_passes(add_task, result):
    add_task(function([Case("x", (2.0,))], lambda x: x * x, "Look."))

    check("mine", lambda x: result)


def test_a_tensor_is_compared_where_a_tensor_is_expected():
    expect_close("t", Tensor([1.0, 2.0]), Tensor([1.0, 2.0]), "Look.")
    with pytest.raises(CheckFailed, match=r"expected a tensor of shape \(2,\), got ndarray"):
        expect_close("t", np.array([1.0, 2.0]), Tensor([1.0, 2.0]), "Look.")


def test_an_object_that_claims_to_equal_everything_is_wrong():
    with pytest.raises(CheckFailed):
        check("initial_loss", lambda c: Yes())
    with pytest.raises(CheckFailed):
        check("grid_configs", lambda s: [Yes()] * 12)
    with pytest.raises(CheckFailed, match="got an object of class Yes"):
        expect(Yes() == 1 and Yes(), "it", 1, Yes(), "Look.")


class Nameless(Exception):
    def __str__(self):
        raise ValueError("no text")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ValueError("two\nlines"), "your code stopped with ValueError: two lines"),
        (KeyError("lr"), "your code stopped with KeyError: 'lr'"),
        (SystemExit(1), "your code ended with SystemExit: take exit"),
        (GeneratorExit(), "your code ended with GeneratorExit"),
        (MemoryError(), "your code stopped with MemoryError"),
        (RecursionError("deep"), "calls itself without end"),
        (Nameless(), "your code stopped with Nameless"),
        (AssertionError("x" * 2000), r"stopped with AssertionError: x+\.\.\."),
    ],
)
def test_an_error_in_the_answer_is_wrong_with_its_kind_and_text(add_task, error, says):
    add_task(SQUARE)

    def broken(x):
        raise error

    with pytest.raises(CheckFailed, match=says) as failed:
        check("mine", broken)
    assert not isinstance(failed.value, NotAttempted) and failed.value.__cause__ is None
    assert len(str(failed.value)) < 600 and "\n" not in str(failed.value)


def test_ctrl_c_stops_the_cell_and_is_no_verdict(add_task):
    add_task(SQUARE)

    def interrupted(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check("mine", interrupted)


def test_an_endless_recursion_is_wrong_and_the_next_check_works(add_task):
    add_task(SQUARE)

    def again(x):
        return again(x)

    assert "calls itself without end" in outcome(again)
    check("mine", lambda x: x * x)


@pytest.mark.parametrize("answer", [None, 3, lambda: 1, lambda a, b: a])
def test_what_cannot_be_called_is_told_apart_from_code_that_stops(add_task, answer):
    add_task(SQUARE)

    assert "the check could not call your code, or not use what it returned: TypeError" in outcome(answer)


def test_a_check_that_trips_over_a_result_blames_the_result_not_a_line_of_the_students():
    says = "not use what it returned: AttributeError: 'NoneType' object has no attribute 'forward'"

    assert says in outcome(lambda slope=0: None, "leaky_relu")


def test_warnings_prints_progress_bars_and_numpys_complaints_cost_nothing(add_task, capsys):
    add_task(SQUARE)

    def noisy(x):
        warnings.warn("careful", UserWarning, stacklevel=1)
        print("working")
        print("100%|####|", file=sys.stderr)
        np.array([1.0]) / np.array([0.0])
        return x * x

    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        check("mine", noisy)

    out, err = capsys.readouterr()
    assert err == "", "nbgrader takes anything on stderr for a failure"
    assert out.splitlines() == ["working", "100%|####|", "mine: right."]


def test_a_check_does_not_depend_on_the_global_generators(add_task):
    seen = []
    add_task(lambda answer, rng: seen.append(rng.standard_normal(3).tolist()))

    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002 -- what a student may do
        check("mine", None)
    state = np.random.get_state()[1][0]  # noqa: NPY002
    check("mine", None, seed=5)

    assert seen[0] == seen[1] != seen[2]
    assert np.random.get_state()[1][0] == state  # noqa: NPY002


# -- taking the package's place ----------------------------------------------------------------------------------------


def _nested_loops(spaces):
    configs = [{}]
    for name, values in spaces.items():
        configs = [{**config, name: value} for config in configs for value in values]
    return configs


def test_a_right_answer_takes_the_place_of_the_packages_own(monkeypatch):
    monkeypatch.setattr(sampling, "grid_configs", sampling.grid_configs)  # put back afterwards

    check("grid_configs", _nested_loops)

    assert sampling.grid_configs is _nested_loops


def test_a_wrong_answer_leaves_the_package_alone():
    before = sampling.grid_configs
    with pytest.raises(CheckFailed):
        check("grid_configs", lambda s: [])

    assert sampling.grid_configs is before


def test_every_check_that_plugs_in_names_something_of_the_package():
    import importlib

    for task, found in core.table().items():
        if found.home:
            module, name = found.home.split(":")
            assert callable(getattr(importlib.import_module(module), name)), task


# -- the table ---------------------------------------------------------------------------------------------------------


def test_modules_are_found_by_name_in_order_and_a_broken_later_one_disturbs_no_earlier(tmp_path, monkeypatch):
    for number, text in {
        "01": "CHECKS = {'early': 1}",
        "02": "raise RuntimeError('broken')",
        "tra": "raise RuntimeError('no exercise')",
    }.items():
        (tmp_path / f"exercise_{number}.py").write_text(text)
    monkeypatch.setattr(core, "_HERE", tmp_path)
    monkeypatch.setattr(core, "__package__", "planted")
    package = types.ModuleType("planted")
    package.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, "planted", package)

    assert core._find("early") == 1
    with pytest.raises(RuntimeError, match="broken"):
        core._find("late")
    sys.modules.pop("planted.exercise_01")


def test_two_exercises_with_one_task_name_are_refused(monkeypatch):
    one, other = Check("01_a", SQUARE, HINTS), Check("02_b", SQUARE, HINTS)
    monkeypatch.setattr(core, "_tables", lambda: iter([{"mine": one}, {"mine": other}]))

    with pytest.raises(ValueError, match="'mine' is in 01_a and in 02_b: rename one"):
        core.table()


def test_every_check_has_three_different_hints_and_an_exercise():
    for task, found in core.table().items():
        assert len({text.strip() for text in found.hints} - {""}) == 3, task


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


# -- shared verifiers --------------------------------------------------------------------------------------------------


def test_a_function_that_changes_its_arguments_is_refused_and_told_which(add_task):
    add_task(function([Case("both", (np.ones(2), [1, 2]), {"scale": {"by": 2}})], lambda a, b, scale: a, "Look."))

    def first(a, b, scale):
        a *= 1.5
        return a

    def second(a, b, scale):
        b.append(3)
        return a

    def third(a, b, scale):
        scale["by"] = 3
        return a

    for position, answer in enumerate((first, second, third), 1):
        assert f"expected argument {position} as it was, got a changed one" in outcome(answer)
    check("mine", lambda a, b, scale: a)


def test_named_parts_of_a_result_are_compared_one_by_one(add_task):
    cases = [Case("three numbers", (np.array([1.0, 2.0, 6.0]),))]
    add_task(function(cases, lambda x: (3.0, 4.0), "Divide by N.", returns=("mean", "median")))

    check("mine", lambda x: [3.0, 4.0])
    assert "three numbers, median: expected 4, got 2. Divide by N." in outcome(lambda x: (3.0, 2.0))
    assert "expected a tuple (mean, median), got float" in outcome(lambda x: 3.0)
    assert "got tuple of 3" in outcome(lambda x: (3.0, 4.0, 5.0))


def test_float32_in_gives_float32_out_where_it_is_asked_for(add_task):
    add_task(function([Case("x", (np.ones(2), 2))], lambda x, n: x * n, "Look.", keeps_dtype=True))

    check("mine", lambda x, n: x * n)
    assert "expected float32 for float32 input, got float64" in outcome(lambda x, n: x.astype(np.float64) * n)


def test_the_oracle_never_sees_what_the_answer_did_and_the_other_way_round(add_task):
    given = np.ones(2)

    def oracle(x):
        x += 1
        return x

    add_task(function([Case("x", (given,))], oracle, "Look."))
    check("mine", lambda x: x + 1)

    assert given.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("layer", "reference"),
    [
        (Tanh, np.tanh),
        (Sigmoid, lambda x: 1 / (1 + np.exp(-np.clip(x, -500, 500)))),
        (Relu, lambda x: np.maximum(x, 0)),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_the_packages_layers_pass_the_element_wise_verifier(layer, reference, seed):
    element_wise_layer(reference)(layer, np.random.default_rng(seed))


def test_the_element_wise_verifier_takes_layers_with_settings():
    verify = element_wise_layer(lambda x: np.maximum(x, 0.3 * x), lambda answer: answer(slope=0.3))

    verify(LeakyRelu, np.random.default_rng(0))
    with pytest.raises(CheckFailed, match="forward: expected"):
        element_wise_layer(lambda x: np.maximum(x, 0.3 * x))(LeakyRelu, np.random.default_rng(0))
