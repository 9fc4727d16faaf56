"""Whole runs of `autograde`, several notebooks at a time, real kernels in real sandboxes."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from autograder.errors import SandboxError
from autograder.grading.batch import Engine
from autograder.grading.notebooks import autograde
from autograder.grading.sandbox import Sandbox
from autograder.records.gradebook import Gradebook

ROOT = Path(__file__).resolve().parents[2]
EXERCISE = "02_main"
WRONG = "def mean(numbers):\n    return 0.0\n"
FULL = [("check_mean", 3.0), ("check_tanh", 2.0)]

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def _sandbox():
    try:
        Sandbox.detect()
    except SandboxError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no sandbox on this machine: {error}")


def grade(room, engine="local", workers=2):
    return autograde(room.course, EXERCISE, room.course_dir, engine=Engine(engine, workers), progress=False)


def start(room):
    """The command line's autograde, in a process group of its own."""
    command = [sys.executable, "-m", "autograder", "autograde", EXERCISE, "--workers", "2", "--quiet"]
    return subprocess.Popen(
        [*command, "--course", str(room.manifest), "--course-dir", str(room.course_dir)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # pytest may run in the background
    )


def number_graded(room):
    with Gradebook(room.course_dir) as book:
        return len(book.notebooks(EXERCISE))


def wait_for(process, condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def left_over(room):
    """Processes that have the class's folder in their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes()
            if str(room.course_dir).encode() in words and int(entry.name) != os.getpid():
                found.append(words)
    return found


def mixed_class(room, number=4):
    """Right, wrong, untouched and damaged notebooks, and somebody with a good and then a worse hand-in."""
    for i in range(number):
        answers = [{}, {"task_mean": WRONG}, {"task_tanh": "class Tanh: pass"}][i % 3]
        room.hand_in(f"anna{i}", room.notebook(f"mine = {i}", **answers))
    room.hand_in("ben", room.unsolved)
    room.hand_in("carl", b"{")
    room.hand_in("dora", room.notebook())
    room.hand_in("dora", room.notebook("newer = 1", task_mean=WRONG))
    return room


def test_one_worker_two_workers_and_dask_give_the_same_points_and_notebooks(classroom, tmp_path):
    mixed_class(classroom)
    rooms = {engine: classroom.copy(tmp_path / engine) for engine in ("serial", "local", "dask")}
    reports = {engine: grade(room, engine) for engine, room in rooms.items()}

    assert reports["serial"] == reports["local"] == reports["dask"]
    assert len(reports["serial"].graded) == 7 and [row[0] for row in reports["serial"].failed] == ["carl"]
    points = {engine: room.points() for engine, room in rooms.items()}
    assert points["serial"] == points["local"] == points["dask"]
    assert [row[1:] for row in points["serial"] if row[0] == "anna0"] == FULL
    assert [row[2] for row in points["serial"] if row[0] == "dora"] == [0.0, 2.0], (
        "the newest hand-in, not the last done"
    )
    results = {engine: room.results() for engine, room in rooms.items()}
    assert results["serial"] == results["local"] == results["dask"] and len(results["serial"]) == 8
    notebooks = [
        {
            path.relative_to(room.course_dir): path.read_bytes()
            for path in room.course_dir.glob("autograded/*/*/*.ipynb")
        }
        for room in rooms.values()
    ]
    assert notebooks[0] == notebooks[1] == notebooks[2] and len(notebooks[0]) == 7


def test_a_notebook_that_hangs_fills_memory_or_ends_its_kernel_costs_no_other_its_points(classroom):
    bad = {
        "hangs": "while True:\n    pass",
        "deaf": "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True:\n    pass",
        "memory": "hold = []\nwhile True:\n    hold.append(bytearray(b'x' * (32 << 20)))",
        "leaves": "import os\nos._exit(0)",
        "forks": "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
    }
    for number, (name, code) in enumerate(bad.items()):
        classroom.hand_in(name, classroom.notebook(code))
        classroom.hand_in(f"honest{number}", classroom.notebook(f"mine = {number}"))
    report = grade(classroom)

    totals = {student: points for student, points, _ in report.graded}
    assert {name: totals.get(name) for name in totals if name.startswith("honest")} == {
        f"honest{number}": 5.0 for number in range(len(bad))
    }
    codes = {student: code for student, code, _ in report.failed}
    assert codes["leaves"] == "kernel_died" and "deaf" in codes
    assert codes.get("memory", "memory") == "memory"  # on a busy machine the time of its cell may be over first
    assert [row[1:] for row in classroom.points() if row[0] == "honest0"] == FULL
    assert left_over(classroom) == [] and list(Path("/tmp").glob(f"k*/{classroom.root.name}*")) == []


def test_ctrl_c_leaves_nothing_running_and_the_rerun_does_only_what_is_missing(classroom):
    for number in range(6):
        classroom.hand_in(f"anna{number}", classroom.notebook(f"mine = {number}", "import time; time.sleep(1)"))
    before = set(Path("/tmp").glob("k*"))
    process = start(classroom)
    wait_for(process, lambda: number_graded(classroom) >= 1)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 130, err
    assert "run the same verb again" in err and "Traceback" not in err + out
    assert left_over(classroom) == [] and set(Path("/tmp").glob("k*")) <= before
    done = number_graded(classroom)
    assert 1 <= done < 6
    report = grade(classroom)
    assert (report.kept, len(report.graded)) == (done, 6 - done)
    assert len(classroom.results()) == 6 and {points for _, points, *_ in classroom.results()} == {5.0}


@pytest.mark.parametrize("kills", [4])
def test_killed_again_and_again_every_notebook_gets_one_grade_as_if_nothing_had_happened(classroom, tmp_path, kills):
    mixed_class(classroom, number=6)
    quiet = classroom.copy(tmp_path / "quiet")
    grade(quiet)
    for kill in range(kills):
        process, before = start(classroom), number_graded(classroom)
        while process.poll() is None and number_graded(classroom) == before:
            time.sleep(0.02)
        time.sleep(0.03 * kill)
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    grade(classroom)

    assert classroom.points() == quiet.points()
    assert classroom.results() == quiet.results()
    deadline = time.monotonic() + 20
    while (left := left_over(classroom)) and time.monotonic() < deadline:  # children notice a moment later
        time.sleep(0.1)
    assert left == []
