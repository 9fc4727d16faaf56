"""The tuner: the same trials for any number of workers, failures that cost no other trial, budgets, and what is refused."""

import faulthandler
import math
import os
import signal
import sys
import time
from xml.etree import ElementTree

import numpy as np
import pytest

from exercise_code.hyperparameter_tuning import (
    Budget,
    GridSearcher,
    ListSearcher,
    MedianStopping,
    Proposal,
    RandomSearcher,
    Result,
    Searcher,
    as_rows,
    tune,
)
from exercise_code.hyperparameter_tuning.outcome import Rows
from exercise_code.hyperparameter_tuning.record import without_times

SPACE = {"x": ([-5, 5], "float"), "kind": ["a", "b"]}


def parabola(config, context):
    """Ends after a random while, so that trials arrive out of order."""
    time.sleep(0.02 * float(np.random.default_rng().random()))
    context.report(1, 10.0)
    return {"value": config["x"] ** 2 + context.rng.random(), "seed": context.seed}


def troubles(config, context):
    """Fails in every way."""
    match config["x"]:
        case "raise":
            raise KeyError("no such layer")
        case "exit":
            sys.exit(3)
        case "segfault":
            faulthandler.disable()  # pytest's would fill the screen
            os.kill(os.getpid(), signal.SIGSEGV)
        case "vanish":
            os._exit(0)
        case "hang":
            time.sleep(600)
        case "hang deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                pass
        case "nan":
            return math.nan
        case "inf":
            return {"value": -math.inf, "accuracy": 0.5}
        case "none":
            return None
        case "text":
            return "0.5"
        case "many":
            return np.ones(3)
        case "wrong dict":
            return {"loss": 1.0}
        case "interrupt":
            raise KeyboardInterrupt
    return 1.0


EXPECTED = {
    "raise": ("failed", "KeyError: 'no such layer' (in troubles, line"),
    "exit": ("crashed", "SystemExit(3)"),
    "segfault": ("crashed", "killed by signal 11 (SIGSEGV)"),
    "vanish": ("crashed", "ended with exit code 0"),
    "hang": ("timeout", "no result within 1 s"),
    "hang deaf": ("timeout", "no result within 1 s"),
    "nan": ("nan", "the objective gave nan"),
    "inf": ("nan", "the objective gave -inf"),
    "none": ("failed", "got NoneType"),
    "text": ("failed", "got str"),
    "many": ("failed", "expected one number"),
    "wrong dict": ("failed", "expected a dict with 'value', got the names ['loss']"),
    "interrupt": ("crashed", "KeyboardInterrupt"),
    "fine": ("ok", ""),
}


def test_every_kind_of_failure_is_recorded_and_costs_no_other_trial():
    hanging = [kind for kind in EXPECTED if kind.startswith("hang")]
    others = [kind for bad in EXPECTED if bad not in ("fine", *hanging) for kind in (bad, "fine")]

    for kinds, timeout in ((others, 120), (hanging, 1)):  # on a busy machine a second is too short for the healthy ones
        searcher = ListSearcher([{"x": kind} for kind in kinds])
        result = tune(troubles, None, searcher, workers=3, timeout=timeout, progress=False)

        assert len(result.results) == len(kinds)
        for kind, got in zip(kinds, result.results, strict=True):
            status, detail = EXPECTED[kind]
            assert (kind, got.status) == (kind, status)
            assert detail in got.detail
            assert got.value == (1.0 if status == "ok" else math.inf)
        assert (result.best and result.best.config) == (None if kinds is hanging else {"x": "fine"})


def test_one_two_and_four_workers_and_none_write_the_same_log(tmp_path):
    logs, results = [], []
    for workers, engine in ((1, "serial"), (1, "local"), (2, "local"), (4, "local")):
        log = tmp_path / f"{engine}{workers}.jsonl"
        found = tune(
            parabola, SPACE, budget=12, seed=3, workers=workers, engine=engine, log=log, epochs=2, progress=False
        )
        logs.append(without_times(log))
        results.append(found.results)

    assert logs[0] == logs[1] == logs[2] == logs[3]
    assert results[0] == results[1] == results[2] == results[3]
    assert [result.trial for result in results[0]] == list(range(12))


def test_another_seed_gives_other_configurations_and_other_draws():
    first, again, other = (
        tune(parabola, SPACE, budget=3, seed=seed, engine="serial", progress=False).results for seed in (0, 0, 1)
    )

    assert first == again
    assert all(
        a.config != b.config and a.metrics["seed"] != b.metrics["seed"] for a, b in zip(first, other, strict=True)
    )
    assert len({result.metrics["seed"] for result in first}) == 3


def test_rerunning_a_finished_search_calls_nothing(tmp_path):
    def objective(config, context):
        (tmp_path / f"called{context.trial}").touch(exist_ok=False)
        return config["x"]

    runs = [tune(objective, SPACE, budget=4, log=tmp_path / "log", progress=False) for _ in range(2)]

    assert runs[0].results == runs[1].results
    assert runs[0].stopped == runs[1].stopped == "searcher"


class Halving(Searcher):
    """Four configurations for one epoch, the best two continued to 3, the best to 9."""

    def __init__(self):
        self.alive, self.epochs, self.trials, self.told = [({"x": x}, None) for x in (3, 1, 4, 2)], 1, 0, []

    def ask(self):
        if not self.alive:
            return []
        first = self.trials
        self.trials += len(self.alive)
        return [Proposal(first + i, c, self.epochs, resume) for i, (c, resume) in enumerate(self.alive)]

    def tell(self, results):
        self.told.append([result.trial for result in results])
        best = sorted(results, key=lambda result: result.value)[: len(results) // 2]
        self.alive, self.epochs = [(result.config, result.trial) for result in best], self.epochs * 3


def counting(config, context):
    """Keeps the number of epochs it has trained in a file."""
    state = context.checkpoint_dir / "epochs"
    trained = int(state.read_text()) if context.start_epoch else 0
    assert trained == context.start_epoch
    for epoch in range(context.start_epoch + 1, context.epochs + 1):
        trained += 1
        context.report(epoch, config["x"] / epoch)
    state.write_text(str(trained))
    return {"value": config["x"] / context.epochs, "trained": trained}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_trial_continues_the_checkpoint_of_the_one_it_resumes(workers, tmp_path):
    searcher = Halving()

    found = tune(counting, None, searcher, workers=workers, log=tmp_path / "log", progress=False)

    assert searcher.told == [[0, 1, 2, 3], [4, 5], [6]]
    assert [(r.start_epoch, r.epochs, r.metrics["trained"]) for r in found.results] == [
        *[(0, 1, 1)] * 4,
        *[(1, 3, 3)] * 2,
        (3, 9, 9),
    ]
    assert found.epochs == 4 * 1 + 2 * 2 + 6
    assert found.best.config == {"x": 1}
    assert [epoch for epoch, _ in found.results[6].curve] == [4, 5, 6, 7, 8, 9]


def test_what_an_unfinished_attempt_left_behind_is_not_used(tmp_path):
    leftover = tmp_path / "log.trials" / "00004"
    leftover.mkdir(parents=True)
    (leftover / "epochs").write_text("77")

    found = tune(counting, None, Halving(), log=tmp_path / "log", progress=False)

    assert found.results[4].metrics["trained"] == 3


def test_without_a_checkpoint_a_resumed_trial_begins_anew():
    def forgetful(config, context):
        return {"value": config["x"], "start": context.start_epoch}

    found = tune(forgetful, None, Halving(), progress=False)

    assert [result.start_epoch for result in found.results] == [0] * 7
    assert found.epochs == 4 * 1 + 2 * 3 + 9


@pytest.mark.parametrize(
    ("budget", "trials", "stopped"),
    [
        ({"trials": 3}, 3, "trials"),
        (3, 3, "trials"),
        ({"trials": 50}, 10, "searcher"),
        ({"epochs": 11}, 5, "epochs"),
        ({"epochs": 11, "trials": 4}, 4, "trials"),
        (None, 10, "searcher"),
    ],
)
@pytest.mark.parametrize("workers", [1, 3])
def test_a_budget_ends_the_search_before_it_is_exceeded(budget, trials, stopped, workers, tmp_path):
    searcher = RandomSearcher(SPACE, trials=10, epochs=2)

    found = tune(parabola, SPACE, searcher, budget, workers=workers, progress=False, log=tmp_path / "log")
    again = tune(parabola, SPACE, RandomSearcher(SPACE, 10, epochs=2), budget, progress=False, log=tmp_path / "log")

    assert (len(found.results), found.stopped) == (trials, stopped)
    assert (again.results, again.stopped) == (found.results, stopped)


def test_epochs_that_a_checkpoint_brings_cost_nothing():
    assert len(tune(counting, None, Halving(), {"epochs": 8}, progress=False).results) == 6
    assert len(tune(counting, None, Halving(), {"epochs": 7}, progress=False).results) == 5


def test_after_the_seconds_no_trial_begins_and_those_that_run_are_finished(tmp_path):
    def slow(config, context):
        time.sleep(0.3)
        return 1.0

    searcher = RandomSearcher(SPACE, 50)

    found = tune(slow, SPACE, searcher, {"seconds": 0.5}, workers=2, progress=False, log=tmp_path / "log")
    again = tune(slow, SPACE, RandomSearcher(SPACE, 50), {"seconds": 0.5}, progress=False, log=tmp_path / "log")

    assert found.stopped == again.stopped == "seconds"
    assert 2 <= len(found.results) < 50
    assert all(result.status == "ok" for result in found.results)
    assert again.results == found.results


@pytest.mark.parametrize("workers", [1, 3])
def test_hopeless_trials_are_stopped_by_the_median_of_earlier_waves(workers):
    def learning(config, context):
        for epoch in range(1, 11):
            context.report(epoch, config["x"] + 1 / epoch)
        return config["x"] + 1 / 10

    order = [5.0, 3.0, 4.0, 1.0, 9.0, 2.0, 4.5, 0.5]
    searcher = ListSearcher([{"x": x} for x in order], epochs=10)
    scheduler = MedianStopping(warmup=2, min_trials=3, wave=4)

    found = tune(learning, None, searcher, scheduler=scheduler, workers=workers, progress=False)

    # the first wave has nothing to compare with; its median at epoch 3 is that of 5, 3, 4, 1: 3.5 + 1/3
    assert [result.pruned for result in found.results] == [False] * 4 + [True, False, True, False]
    assert [result.epochs for result in found.results] == [10] * 4 + [3, 10, 3, 10]
    assert found.results[4].value == pytest.approx(9 + 1 / 3)
    assert found.best.config == {"x": 0.5}


def test_a_pruned_trial_is_best_only_if_no_other_came_to_an_end():
    def objective(config, context):
        context.report(1, config["first"])
        return 5.0

    configs = [{"first": 1.0}] * 2 + [{"first": 2.0}]
    scheduler = MedianStopping(warmup=0, min_trials=1, wave=1)

    found = tune(objective, None, ListSearcher(configs), scheduler=scheduler, progress=False)

    assert [(result.pruned, result.value) for result in found.results] == [(False, 5.0), (False, 5.0), (True, 2.0)]
    assert found.best.trial == 0
    assert [result.trial for result in found.ranked()] == [0, 1, 2]


def test_results_make_a_table_with_one_flat_row_per_trial(tmp_path):
    def objective(config, context):
        return {"value": config["net"]["width"], "accuracy": 0.5}

    found = tune(objective, None, ListSearcher([{"net": {"width": 4}, "lr": 0.1}]), progress=False)

    row = found.rows()[0]
    assert {k: v for k, v in row.items() if k != "seconds"} == {
        "trial": 0,
        "net.width": 4,
        "lr": 0.1,
        "value": 4.0,
        "status": "ok",
        "epochs": 1,
        "metrics.accuracy": 0.5,
        "detail": "",
    }
    assert len(found.table()) == 1
    best, results = found
    assert best is results[0]


def test_data_reaches_the_trials_without_being_pickled():
    class Images:
        def __init__(self):
            self.pixels = np.arange(100)

        def __reduce__(self):
            raise AssertionError("the data must not be copied")

    images = Images()

    found = tune(lambda c, context: images.pixels[c["i"]], {"i": [7]}, budget=1, workers=2, progress=False)

    assert found.best.value == 7.0


@pytest.mark.parametrize(("workers", "threads", "expected"), [(1, 1, 1), (2, 3, 3)])
def test_every_trial_has_the_stated_number_of_blas_threads(workers, threads, expected, monkeypatch):
    from threadpoolctl import threadpool_info

    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    _ = np.ones((2, 2)) @ np.ones((2, 2))

    def objective(config, context):
        return max(library["num_threads"] for library in threadpool_info())

    assert (
        tune(objective, {"x": [1]}, budget=1, workers=workers, threads=threads, progress=False).best.value == expected
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"budget": 0}, ValueError, "trials must be a whole number of at least 1, got 0"),
        ({"budget": -3}, ValueError, "got -3"),
        ({"budget": {"trails": 3}}, ValueError, "budget: unknown limit 'trails': did you mean 'trials'"),
        ({"budget": 2.5}, ValueError, "got 2.5"),
        ({"budget": {"epochs": 0}}, ValueError, "budget: epochs must be"),
        ({"budget": {"seconds": 0}}, ValueError, "budget: seconds must be"),
        ({"budget": {"seconds": math.nan}}, ValueError, "budget: seconds must be"),
        ({"budget": None}, ValueError, "expected a searcher, or a space and a number of trials"),
        ({"space": None}, ValueError, "expected a searcher, or a space and a number of trials"),
        ({"space": {}}, ValueError, "at least one hyper-parameter"),
        ({"searcher": "random"}, TypeError, "expected a Searcher, got 'random'"),
        ({"objective": 3}, TypeError, "expected an objective to call"),
        ({"objective": lambda config: 0.0}, TypeError, r"expected objective\(config, context\)"),
        ({"timeout": 0}, ValueError, "expected a timeout > 0"),
        ({"timeout": 5, "engine": "serial"}, ValueError, "child processes"),
        ({"seed": -1}, ValueError, "seed must be"),
        ({"seed": 0.5}, ValueError, "seed must be"),
        ({"workers": 0}, ValueError, "workers must be a whole number of at least 1"),
        ({"engine": "gpu"}, ValueError, "expected an engine out of serial, local, dask, got 'gpu'"),
        ({"address": "tcp://localhost:1"}, ValueError, 'is for engine="dask"'),
        ({"threads": 0}, ValueError, "threads must be"),
        ({"epochs": 0}, ValueError, "epochs must be"),
        ({"searcher": ListSearcher([{"x": 0.0, "kidn": "a"}])}, ValueError, "did you mean 'kind'"),
        ({"searcher": ListSearcher([{"x": 99.0, "kind": "a"}])}, ValueError, "for 'x', got 99.0"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_any_trial(arguments, error, message):
    with pytest.raises(error, match=message):
        tune(**({"objective": parabola, "space": SPACE, "budget": 2, "progress": False} | arguments))


def test_a_searcher_that_repeats_a_number_or_resumes_the_future_is_refused():
    class Repeats(Searcher):
        def ask(self):
            return [Proposal(0, {"x": 1}, 1), Proposal(0, {"x": 2}, 1)]

    class Resumes(Searcher):
        def ask(self):
            return [Proposal(0, {"x": 1}, 1), Proposal(1, {"x": 1}, 2, resume_from=0)]

    with pytest.raises(ValueError, match="Repeats proposed trial 0 twice"):
        tune(parabola, None, Repeats(), progress=False)
    with pytest.raises(ValueError, match="trial 1 cannot resume trial 0"):
        tune(parabola, None, Resumes(), progress=False)


def test_errors_can_be_let_through_for_debugging():
    for engine in ("serial", "local"):
        with pytest.raises(KeyError, match="no such layer"):
            tune(troubles, None, ListSearcher([{"x": "raise"}]), engine=engine, raise_errors=True, progress=False)


def test_a_searchers_settings_are_what_it_was_made_with():
    assert RandomSearcher({"x": [1]}, 5, epochs=3).settings == {
        "space": {"x": [1]},
        "trials": 5,
        "seed": 0,
        "epochs": 3,
    }
    assert GridSearcher({"x": [1]}).settings == {"space": {"x": [1]}, "epochs": 1}


def test_a_budget_can_be_given_in_three_ways():
    assert Budget.read(3) == Budget.read({"trials": 3}) == Budget.read(Budget(trials=3))


def test_progress_shows_the_best_value_so_far_and_failures(capfd):
    tune(troubles, None, ListSearcher([{"x": "fine"}, {"x": "none"}]))

    shown = capfd.readouterr().err
    assert "2/2" in shown and "best=1" in shown and "failed=1" in shown


def test_the_table_shows_every_trial_and_survives_what_html_would_take_for_markup():
    results = [
        Result(0, {"lr": 0.1, "net": {"width": 8}}, 5, 0.3, "ok", metrics={"accuracy": 0.5}),
        Result(1, {"lr": 1.0}, 5, math.inf, "failed", "ValueError: <b> & co"),
    ]
    table = Rows(as_rows(results))

    head, first, second = str(table).splitlines()
    assert head.split() == [
        *("trial", "lr", "net.width", "value", "status", "epochs", "metrics.accuracy", "seconds", "detail")
    ]
    assert first.split() == ["0", "0.1", "8", "0.3", "ok", "5", "0.5", "0"] and "<b> & co" in second
    page = ElementTree.fromstring(table._repr_html_())
    assert [len(row) for row in page] == [9, 9, 9]
    assert page[2][-1].text == "ValueError: <b> & co"
