"""`kill -9` of `score` anywhere, then a rerun: every submission is graded once, as if nothing had happened.

The process that is killed is a driver script written here. It runs the product's `score` with stand-ins for
the two steps that read a model, and kills itself at one point by wrapping methods: the product has no hooks.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from autograder.errors import SandboxError
from autograder.grading.sandbox import Sandbox
from tests.autograder.small_course import EXERCISE, assert_graded_once, by_submission, make_course, outcome, tiny_model

ROOT = Path(__file__).resolve().parents[2]
STUDENTS = 6
DRIVER = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from autograder.course.manifest import load
from autograder.grading import score as module
from autograder.grading.judge import Judged, Refused
from autograder.intake import store
from autograder.records.gradebook import Gradebook

manifest, course_dir, stage, which, nap = sys.argv[1:]
count = 0

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

def wrap(owner, name, *, before=False, when=lambda *args: True):
    real = getattr(owner, name)
    def wrapped(*args, **kwargs):
        global count
        hit = when(*args)
        count += hit
        if hit and before and count == int(which):
            kill()
        result = real(*args, **kwargs)
        if hit and not before and count == int(which):
            kill()
        return result
    setattr(owner, name, wrapped)

def state(name):
    return lambda book, number, state, *rest: state == name

if stage == "claim is not committed": wrap(Gradebook, "_move", when=state("running"))
elif stage == "claim is committed": wrap(Gradebook, "claim")
elif stage == "predictions are half written": wrap(store.os, "fsync", before=True)
elif stage == "predictions are written": wrap(store, "write_atomically")
elif stage == "predicted is not committed": wrap(Gradebook, "_move", when=state("predicted"))
elif stage == "predicted is committed": wrap(Gradebook, "set_predicted")
elif stage == "result is inserted, not committed": wrap(Gradebook, "_move", before=True, when=state("scored"))
elif stage == "scored is not committed": wrap(Gradebook, "_move", when=state("scored"))
elif stage == "scored is committed": wrap(Gradebook, "set_scored")
elif stage == "recovery is not committed": wrap(Gradebook, "_move", when=state("queued"))

def judge(data, contract):
    time.sleep(float(nap))
    name = data.decode()
    if stage == "a model is running":
        global count
        count += 1
        if count == int(which):
            kill()
    if name == "student3":
        return Refused("timeout", "too slow")
    return Judged(1, np.random.default_rng(len(name) + ord(name[-1])).integers(0, 4, 40).astype(np.uint8))

tools = lambda inputs, n: module.Tools(judge, True)
module.score(load(manifest), "04_grid_search", Path(course_dir), progress=False, tools=tools)
"""
STAGES = [
    "claim is not committed",
    "claim is committed",
    "a model is running",
    "predictions are half written",
    "predictions are written",
    "predicted is not committed",
    "predicted is committed",
    "result is inserted, not committed",
    "scored is not committed",
    "scored is committed",
]


def fake_course(folder):
    make_course(folder, [(f"student{n}", f"student{n}".encode()) for n in range(STUDENTS)])
    (folder / "driver.py").write_text(DRIVER)
    return folder


def start(folder, stage="none", which=1, nap=0.0):
    argv = [folder / "driver.py", folder / "course.toml", folder / "course", stage, which, nap]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, *map(str, argv)], env=env, cwd=folder)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = fake_course(tmp_path_factory.mktemp("undisturbed") / "c")
    assert start(folder).wait(60) == 0
    states, results = outcome(folder)
    assert Counter(states.values()) == {("scored", ""): 5, ("FAILED", "timeout"): 1}
    return states, by_submission(results)


@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_any_step_of_the_third_submission_a_rerun_ends_as_if_undisturbed(tmp_path, undisturbed, stage):
    folder = fake_course(tmp_path / "c")
    assert start(folder, stage, 3).wait(60) == -signal.SIGKILL
    states, _ = outcome(folder)
    assert any(state not in ("scored", "FAILED") for state, _ in states.values())
    assert start(folder).wait(60) == 0
    states, results = outcome(folder)
    assert (states, by_submission(results)) == undisturbed
    assert_graded_once(folder)


@pytest.mark.slow
def test_killed_again_and_again_at_a_different_step_each_time(tmp_path, undisturbed):
    folder = fake_course(tmp_path / "c")
    for stage in ["claim is committed", "recovery is not committed", *STAGES[2:]]:
        assert start(folder, stage, 1).wait(60) in (-signal.SIGKILL, 0)
    assert start(folder).wait(60) == 0
    states, results = outcome(folder)
    assert (states, by_submission(results)) == undisturbed
    assert_graded_once(folder)


@pytest.mark.slow
def test_killed_at_random_moments_until_it_is_through(tmp_path, undisturbed):
    chance = random.Random(20261216)
    folder = fake_course(tmp_path / "c")
    kills = 0
    for _ in range(60):
        process = start(folder, nap=0.1)
        try:
            # at first soon after the imports, so that no run gets far
            assert process.wait(chance.uniform(0.3, 0.9 + 0.03 * kills)) == 0
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
    else:
        assert start(folder).wait(60) == 0
    assert kills >= 1
    states, results = outcome(folder)
    assert (states, by_submission(results)) == undisturbed
    assert_graded_once(folder)


@pytest.mark.slow
def test_the_real_command_killed_with_real_models_in_the_real_sandbox(tmp_path):
    try:
        Sandbox.detect()
    except SandboxError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no sandbox here: {error}")
    models = [(f"student{n}", tiny_model(n)) for n in range(8)]
    calm, folder = make_course(tmp_path / "calm", models), make_course(tmp_path / "c", models)

    def command(where):
        argv = [sys.executable, "-m", "autograder", "score", EXERCISE, "--course", str(where / "course.toml")]
        argv += ["--course-dir", str(where / "course"), "--quiet"]
        return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL)

    began = time.monotonic()
    assert command(calm).wait(120) == 0
    whole = time.monotonic() - began
    chance, kills = random.Random(4), 0
    for _ in range(12):
        process = command(folder)
        try:
            assert process.wait(chance.uniform(0.4, 0.95) * whole) == 0
            break
        except subprocess.TimeoutExpired:
            children = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            process.wait()
            kills += 1
            assert psutil.wait_procs(children, timeout=10)[1] == []  # the sandbox dies with its coordinator
    assert kills >= 1
    assert command(folder).wait(120) == 0
    states, results = outcome(folder)
    assert set(states.values()) == {("scored", "")}
    assert by_submission(results) == by_submission(outcome(calm)[1])
    assert_graded_once(folder)


def program(*words, **env):
    """Output of a program of this checkout that has to end well."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | env,
        capture_output=True,
        text=True,
        check=False,
        timeout=550,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture
def needs_sandbox():
    try:
        Sandbox.detect()
    except SandboxError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no sandbox here: {error}")


@pytest.mark.slow
def test_twenty_random_kills_lose_nothing_and_grade_nothing_twice(needs_sandbox):
    shown = program("-m", "tests.autograder.killed_batch", "--kills", "20", "--submissions", "12")
    assert shown.startswith("20 kills") and "zero lost, zero double" in shown


@pytest.mark.slow
def test_a_small_night_of_strangers_ends_with_a_verdict_for_everybody_and_leaves_nothing(needs_sandbox, tmp_path):
    words = ("--submissions", "40", "--images", "300")
    figures = json.loads(program("benchmarks/night.py", *words, TMPDIR=str(tmp_path)))
    assert figures["verdicts"]["published"] == 36 and sum(figures["verdicts"].values()) == 40
