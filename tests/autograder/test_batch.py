"""The loop of a batch: jobs anywhere, the record in one thread, bounded in flight, stopped cleanly."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from dataclasses import replace
from pathlib import Path

import pytest

from autograder.errors import CourseError, RecordsError, SandboxError
from autograder.grading.batch import Call, Engine, run_batch
from autograder.records.gradebook import Gradebook
from autograder.records.rows import Submission
from tests.autograder.small_course import make_course

ROOT = Path(__file__).resolve().parents[2]
ROW = Submission(0, "04_grid_search", "anna", "0" * 64, "", False, "queued", "", "", (), "", 0, "", "")


def double(number):
    return 2 * number


def wait_for(event, number):
    event.wait(30)
    return number


class Numbers:
    """Work on numbers; keeps what the loop did with it, and in which thread."""

    title = "count"

    def __init__(self, numbers, function=double, first=()):
        self.waiting = deque(replace(ROW, id=number) for number in numbers)
        self.function, self.first = function, first
        self.committed, self.errors, self.returned, self.threads = {}, [], [], set()
        self.running = self.most = 0

    def claim(self):
        self.threads.add(threading.current_thread().name)
        return self.waiting.popleft() if self.waiting else None

    def prepare(self, row):
        if row.id < 0:
            return "refused"
        self.running += 1
        self.most = max(self.most, self.running)
        return Call(self.function, (*self.first, row.id))

    def commit(self, row, answer):
        self.threads.add(threading.current_thread().name)
        self.running -= 1
        self.committed[row.id] = answer
        return "done"

    def broken(self, row, error):
        self.running -= 1
        self.errors.append((row.id, str(error)))

    def again(self, row):
        self.waiting.append(row)

    def give_back(self, row):
        self.returned.append(row.id)


def run(work, engine, total=0):
    with engine.open() as pool:
        return run_batch(work, pool, total, progress=False)


@pytest.mark.parametrize(
    "engine", [Engine(), Engine("local", 2), pytest.param(Engine("dask", 2), marks=pytest.mark.slow)], ids=str
)
def test_everything_is_done_once_wherever_it_runs_and_recorded_in_one_thread(engine):
    work = Numbers([*range(1, 21), -1, -2])
    assert run(work, engine, 22) == {"done": 20, "refused": 2}
    assert work.committed == {number: 2 * number for number in range(1, 21)}
    assert work.threads == {threading.current_thread().name} and work.errors == []


def test_no_more_than_two_jobs_per_worker_are_claimed_at_a_time():
    event = threading.Event()
    work = Numbers(range(1, 30), wait_for, (event,))
    threading.Timer(0.5, event.set).start()
    run(work, Engine("local", 3))
    assert work.most == 6 and len(work.committed) == 29


def test_a_job_that_fails_goes_behind_all_others_and_then_counts_as_done():
    failures = {3: [SandboxError("busy"), OSError("busy")]}

    def sometimes(number):
        if failures.get(number):
            raise failures[number].pop()
        return number

    work = Numbers(range(1, 8), sometimes)
    run(work, Engine())
    assert list(work.committed) == [1, 2, 4, 5, 6, 7, 3] and [number for number, _ in work.errors] == [3, 3]


def test_what_fails_every_time_is_tried_three_times_and_named_at_the_end():
    def never(number):
        if number in (2, 4):
            raise SandboxError(f"no memory for {number}")
        return number

    work = Numbers(range(1, 7), never)
    with pytest.raises(RecordsError, match=r"2 submissions could not be judged by count.*submission 2 of anna: no mem"):
        run(work, Engine())
    assert sorted(work.committed) == [1, 3, 5, 6]
    assert sorted(number for number, _ in work.errors) == [2, 2, 2, 4, 4, 4]


def test_one_submission_alone_never_counts_as_a_broken_machine():
    def never(number):
        raise SandboxError("no")

    work = Numbers([7], never)
    with pytest.raises(RecordsError):
        run(work, Engine())
    assert len(work.errors) == 3


def test_what_is_running_when_the_run_is_interrupted_is_given_back():
    event = threading.Event()
    work = Numbers(range(1, 9), wait_for, (event,))

    def interrupted(row, answer):
        raise KeyboardInterrupt

    work.commit = interrupted
    threading.Timer(0.2, event.set).start()
    with pytest.raises(KeyboardInterrupt):
        run(work, Engine("local", 2))
    assert set(work.returned) == {1, 2, 3, 4} and work.committed == {}


@pytest.mark.parametrize(
    ("engine", "says"),
    [
        (Engine("ray"), "serial, local, dask"),
        (Engine("local", 0), "at least 1"),
        (Engine("local", address="tcp://x:1"), 'engine="dask"'),
        (Engine("dask", address="tcp://127.0.0.1:9"), "no dask scheduler answers"),
    ],
    ids=["unknown", "no workers", "address", "nobody there"],
)
def test_an_engine_that_cannot_be_had_is_one_line(engine, says):
    with pytest.raises(CourseError, match=says), engine.open():
        pass


STOPPED = """
import sys
from pathlib import Path
from autograder.course.manifest import load
from autograder.grading import score as module
from autograder.grading.batch import Engine
from autograder.grading.judge import borrowed
from autograder.grading.sandbox import Limits

def judge(data, contract):
    with borrowed() as box:
        print("started", flush=True)
        argv = [box.python, "-c", "import time; time.sleep(300)", sys.argv[3]]
        box.run(argv, limits=Limits(300.0, 300, 1 << 30, 16, 1 << 20, 1 << 20, 1 << 20))

tools = lambda inputs, n: module.Tools(judge, True)
module.score(load(sys.argv[1]), "04_grid_search", Path(sys.argv[2]), progress=False, tools=tools, engine=Engine(*ENGINE))
"""


@pytest.mark.usefixtures("box")
@pytest.mark.parametrize("engine", [("serial",), ("local", 2)], ids=["serial", "local"])
def test_ctrl_c_ends_running_sandboxes_at_once_and_queues_their_submissions_again(tmp_path, engine):
    folder, marker = make_course(tmp_path / "c", [(name, b"") for name in "abcd"]), uuid.uuid4().hex
    (folder / "stopped.py").write_text(STOPPED.replace("ENGINE", repr(engine)))
    argv = [sys.executable, "stopped.py", "course.toml", "course", marker]
    process = subprocess.Popen(
        argv,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # pytest may run in the background
    )
    for _ in range(2 if engine[0] == "local" else 1):
        assert process.stdout.readline() == b"started\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) != 0  # far less than the 300 s of the jobs
    process.stdout.close()
    left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if marker in path.read_text(errors="replace")]
    assert left == []
    with Gradebook(folder / "course") as book:
        assert {row.state for row in book.submissions()} == {"queued"}
        assert book._db.execute("SELECT count(*) FROM lease").fetchone()[0] == 0
