"""The trial log: whole after any interruption, honest about damage, and the same for any order of arrival."""

import itertools
import json
import math
import multiprocessing

import pytest

from exercise_code.hyperparameter_tuning import LogError, read_results, tune
from exercise_code.hyperparameter_tuning.record import TrialLog, early_path, read_events, without_times

SETTINGS = {"seed": 0, "space": [["x", "Float", {"low": 0, "high": 1}]], "budget": {"trials": 4}}


def event(trial, **more):
    return {"event": "trial", "trial": trial, "config": {"x": trial}, "time": {"seconds": 0.5}} | more


def known(*trials):
    return [{"trial": trial, "config": {"x": trial}} for trial in trials]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.jsonl"


@pytest.mark.parametrize("arrival", itertools.permutations(range(4)))
def test_the_log_is_the_same_whatever_the_order_in_which_trials_end(tmp_path, arrival):
    logs = []
    for name, order in (("in order", range(4)), ("as they come", arrival)):
        with TrialLog(tmp_path / name, SETTINGS) as log:
            log.expect(known(0, 1, 2, 3))
            for trial in order:
                log.add(event(trial, time={"seconds": 1.0 + trial if order is arrival else 9.0}))
            log.finish({"event": "end", "reason": "searcher", "time": {}})
        logs.append(without_times(tmp_path / name))

    assert logs[0] == logs[1]
    assert not early_path(tmp_path / "as they come").exists()


@pytest.mark.parametrize("arrival", itertools.permutations(range(3)))
def test_a_trial_is_on_disk_from_the_moment_it_is_added(path, arrival):
    with TrialLog(path, SETTINGS) as log:
        log.expect(known(0, 1, 2))
        for count, trial in enumerate(arrival, 1):
            log.add(event(trial))
            assert {e["trial"] for e in read_events(path)[1]} == set(arrival[:count])


def test_a_trial_that_ended_early_survives_and_moves_into_its_place(path):
    with TrialLog(path, SETTINGS) as log:
        log.expect(known(0, 1, 2))
        log.add(event(2))
    with TrialLog(path, SETTINGS) as log:
        assert set(log.finished) == {2}
        log.expect(known(0, 1, 2))
        log.add(event(0))
        log.add(event(1))

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line.get("trial") for line in lines] == [None, 0, 1, 2]


@pytest.mark.slow
def test_a_log_cut_at_any_byte_is_resumed_and_becomes_the_same(tmp_path):
    calls = []

    def objective(config, context):
        calls.append(context.trial)
        return {"value": config["x"] + context.rng.random(), "trial": context.trial}

    def search(log):
        return tune(objective, {"x": ([0, 1], "float")}, budget=3, engine="serial", log=log, progress=False)

    whole = search(tmp_path / "whole.jsonl").results
    content = (tmp_path / "whole.jsonl").read_bytes()
    target = tmp_path / "cut.jsonl"
    for length in range(len(content) + 1):
        target.write_bytes(content[:length])
        calls.clear()

        again = search(target)

        assert again.results == whole
        assert without_times(target) == without_times(tmp_path / "whole.jsonl")
        recorded = max(0, min(3, content[:length].count(b"\n") - 1))
        assert calls == list(range(recorded, 3))


@pytest.mark.parametrize("line", [1, 2, 3])
@pytest.mark.parametrize("damage", [b"{broken", b"[]", b'{"event": "?"}', b"\x00\x00\x00", b""])
def test_a_damaged_line_is_refused_by_its_number_and_nothing_is_lost(path, line, damage):
    with TrialLog(path, SETTINGS) as log:
        log.expect(known(0, 1))
        log.add(event(0))
        log.add(event(1))
    lines = path.read_bytes().splitlines()
    lines[line - 1] = damage
    before = b"\n".join(lines) + b"\n"
    path.write_bytes(before)

    with pytest.raises(LogError, match=f"line {line}: expected an event"):
        TrialLog(path, SETTINGS)
    with pytest.raises(LogError, match=f"line {line}"):
        read_results(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("now", "difference"),
    [
        (SETTINGS | {"seed": 1}, "seed: 0 in the log, 1 now"),
        (SETTINGS | {"budget": {"trials": 9}}, "budget.trials: 4 in the log, 9 now"),
        (SETTINGS | {"space": [["x", "Float", {"low": 0, "high": 2}]]}, r"space\[0\]\[2\].high: 1 in the log, 2 now"),
        (SETTINGS | {"scheduler": "median"}, 'scheduler: null in the log, "median" now'),
    ],
)
def test_resuming_with_other_settings_is_refused_with_what_differs(path, now, difference):
    TrialLog(path, SETTINGS).close()
    before = path.read_bytes()

    with pytest.raises(LogError, match=difference):
        TrialLog(path, now)
    assert path.read_bytes() == before


def test_a_searcher_that_proposes_something_else_than_before_is_refused(path):
    with TrialLog(path, SETTINGS) as log:
        log.expect(known(0))
        log.add(event(0))
    with TrialLog(path, SETTINGS) as log, pytest.raises(LogError, match="trial 0 was recorded with config"):
        log.expect([{"trial": 0, "config": {"x": 5}}])
    with TrialLog(path, SETTINGS) as log, pytest.raises(LogError, match="expected trial 7 in place 0"):
        log.expect(known(7))


def test_a_trial_that_stands_twice_in_the_log_is_refused(path):
    with TrialLog(path, SETTINGS) as log:
        log.expect(known(0))
        log.add(event(0))
    path.write_bytes(path.read_bytes() + path.read_bytes().splitlines(keepends=True)[1])

    with pytest.raises(LogError, match="trial 0 stands in it twice"):
        TrialLog(path, SETTINGS)


def test_a_file_of_another_kind_is_refused_and_left_alone(path, tmp_path):
    path.write_text("learning_rate,loss\n0.1,2.3\n")

    with pytest.raises(LogError, match="line 1: expected an event of a trial log"):
        TrialLog(path, SETTINGS)
    assert path.read_text() == "learning_rate,loss\n0.1,2.3\n"
    with pytest.raises(LogError, match="expected a file to append to"):
        TrialLog(tmp_path, SETTINGS)
    (tmp_path / "empty").touch()
    with pytest.raises(LogError, match="an empty file"):
        read_results(tmp_path / "empty")


def test_a_second_writer_is_refused(path):
    with TrialLog(path, SETTINGS), pytest.raises(LogError, match="another search is writing"):
        TrialLog(path, SETTINGS)
    TrialLog(path, SETTINGS).close()


def test_a_child_process_does_not_keep_the_log_locked(path):
    log = TrialLog(path, SETTINGS)
    stop = multiprocessing.get_context("fork").Event()
    child = multiprocessing.get_context("fork").Process(target=stop.wait)
    child.start()
    try:
        log.close()
        TrialLog(path, SETTINGS).close()
    finally:
        stop.set()
        child.join()


def test_the_journal_of_a_log_that_is_gone_is_not_believed(path):
    early_path(path).write_text(json.dumps(event(0)) + "\n")

    with TrialLog(path, SETTINGS) as log:
        assert log.finished == {}


def test_numbers_that_are_not_finite_come_back_from_the_log(tmp_path):
    def objective(config, context):
        context.report(1, math.inf)
        context.report(2, math.nan)
        return {"value": math.nan, "worst": -math.inf, "nested": {"a": [math.nan]}}

    def search():
        return tune(objective, {"x": [1]}, budget=1, engine="serial", log=tmp_path / "log", progress=False).results[0]

    live, resumed = search(), search()

    for result in (live, resumed):
        assert (result.status, result.value) == ("nan", math.inf)
        assert result.metrics["worst"] == -math.inf and math.isnan(result.metrics["nested"]["a"][0])
        assert result.curve[0] == (1, math.inf) and math.isnan(result.curve[1][1])
