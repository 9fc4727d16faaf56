"""Searches that are killed or interrupted: nothing finished is lost or run again, and no process stays behind."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from exercise_code.hyperparameter_tuning import read_results
from exercise_code.hyperparameter_tuning.record import early_path, without_times

ROOT = Path(__file__).resolve().parents[3]

# The objective keeps a ledger of its own, which knows nothing of the log: one line when a trial begins, one when it ends.
SCRIPT = """
import os, signal, sys, time
from exercise_code.hyperparameter_tuning import tune

log, ledger, life, trials, workers, pause = sys.argv[1:]
if hasattr(signal, "default_int_handler"):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell start with it ignored

def note(text):
    file = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{life} {text} {os.getpid()}\\n".encode())
    os.close(file)

def objective(config, context):
    note(f"begin {context.trial}")
    time.sleep(float(pause) * (0.5 + context.rng.random()))
    note(f"end {context.trial}")
    return {"value": config["x"] ** 2, "draw": context.rng.random()}

tune(objective, {"x": ([-1, 1], "float")}, budget=int(trials), workers=int(workers), log=log, seed=1, progress=False)
"""


def start(log, ledger, life=0, trials=40, workers=2, pause=0.03):
    arguments = [str(log), str(ledger), str(life), str(trials), str(workers), str(pause)]
    return subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def lines(*paths):
    return sum(path.read_bytes().count(b"\n") for path in paths if path.exists())


def wait_until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z" if Path("/proc").exists() else True


@pytest.mark.slow
def test_twenty_random_kills_of_a_running_search_lose_nothing_and_repeat_nothing(tmp_path):
    kills, trials, workers = 20, 150, 2
    log, ledger = tmp_path / "log.jsonl", tmp_path / "ledger"
    chance = random.Random(2026)
    recorded_before = []
    for life in range(kills):
        child = start(log, ledger, life, trials, workers)
        target = lines(log, early_path(log)) + chance.randint(1, 6)
        wait_until(lambda target=target, child=child: lines(log, early_path(log)) >= target or child.poll() is not None)
        time.sleep(chance.random() * 0.04)
        assert child.poll() is None, f"life {life} ended by itself: {child.stderr.read()}"
        child.send_signal(signal.SIGKILL)
        child.communicate()
        recorded_before.append({result.trial for result in read_results(log)})
    last = start(log, ledger, kills, trials, workers)
    assert last.communicate(timeout=120)[1] == "" and last.returncode == 0
    uninterrupted = start(tmp_path / "plain.jsonl", tmp_path / "plain", 0, trials, workers)
    assert uninterrupted.wait(timeout=120) == 0
    uninterrupted.communicate()

    begun = [
        tuple(map(int, (line.split()[0], line.split()[2])))
        for line in ledger.read_text().splitlines()
        if " begin " in line
    ]
    for life, recorded in enumerate(recorded_before):
        again = {trial for later, trial in begun if later > life and trial in recorded}
        assert again == set(), f"recorded before kill {life}, yet run again"
    assert all(earlier <= later for earlier, later in zip(recorded_before, recorded_before[1:], strict=False))
    assert [result.trial for result in read_results(log)] == list(range(trials))
    assert without_times(log) == without_times(tmp_path / "plain.jsonl")
    assert Counter(trial for _, trial in begun).keys() == set(range(trials))
    assert len(begun) <= trials + kills * workers  # at most what was running at each kill
    assert len(recorded_before[-1]) > kills, "the kills came before anything was done"


@pytest.mark.slow
def test_ctrl_c_stops_every_process_and_the_search_can_be_resumed(tmp_path):
    log, ledger = tmp_path / "log.jsonl", tmp_path / "ledger"
    child = start(log, ledger, 0, trials=30, workers=2, pause=0.1)
    wait_until(lambda: lines(log) >= 4)
    child.send_signal(signal.SIGINT)
    errors = child.communicate(timeout=20)[1]
    pids = {int(line.split()[3]) for line in ledger.read_text().splitlines()}
    wait_until(lambda: not any(alive(pid) for pid in pids), seconds=5)
    recorded = {result.trial for result in read_results(log)}
    again = start(log, ledger, 1, trials=30, workers=2, pause=0.01)
    assert again.wait(timeout=60) == 0
    again.communicate()

    assert "KeyboardInterrupt" in errors and f"the same call resumes {log}" in errors
    rerun = {int(line.split()[2]) for line in ledger.read_text().splitlines() if line.startswith("1 begin")}
    assert rerun == set(range(30)) - recorded
    assert [result.trial for result in read_results(log)] == list(range(30))


@pytest.mark.slow
def test_a_trial_dies_with_the_search_that_was_killed(tmp_path):
    log, ledger = tmp_path / "log.jsonl", tmp_path / "ledger"
    child = start(log, ledger, 0, trials=3, workers=2, pause=300)
    wait_until(lambda: lines(ledger) >= 2)
    child.kill()
    child.communicate()
    pids = [int(line.split()[3]) for line in ledger.read_text().splitlines()]

    wait_until(lambda: not any(alive(pid) for pid in pids), seconds=5)
