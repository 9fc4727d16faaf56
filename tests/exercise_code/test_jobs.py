"""Executors and child processes: results, errors, crashes and hangs, each job for itself."""

import os
import signal
import subprocess
import sys
import time

import pytest

from exercise_code import child_process
from exercise_code.jobs import JobCrashed, JobError, JobTimeout, executor, in_child, usable_cores


@pytest.mark.parametrize("engine", ["serial", "local"])
def test_results_come_in_the_order_of_the_jobs(engine):
    with executor(engine, workers=3) as pool:
        assert list(pool.map(lambda x: x * x, range(7))) == [0, 1, 4, 9, 16, 25, 36]
        with pytest.raises(ZeroDivisionError):
            pool.submit(lambda: 1 / 0).result()


@pytest.mark.parametrize("fork", [True, False])
class TestInChild:
    def test_the_result_and_the_exception_of_a_function_come_back(self, fork):
        assert in_child(divmod, 17, 5, fork=fork) == (3, 2)
        assert in_child(int, "ff", base=16, fork=fork) == 255
        with pytest.raises(ValueError, match="invalid literal"):
            in_child(int, "seven", fork=fork)

    def test_it_is_another_process(self, fork):
        assert in_child(os.getpid, fork=fork) != os.getpid()

    def test_a_crash_says_what_ended_it(self, fork):
        with pytest.raises(JobCrashed, match="exit code 7"):
            in_child(os._exit, 7, fork=fork)
        with pytest.raises(JobCrashed, match=r"killed by signal 9 \(SIGKILL\)"):
            in_child(signal.raise_signal, signal.SIGKILL, fork=fork)
        with pytest.raises(JobCrashed, match="SystemExit"):
            in_child(sys.exit, 2, fork=fork)

    def test_what_takes_too_long_is_killed(self, fork):
        begin = time.monotonic()
        with pytest.raises(JobTimeout, match="no result within 1.5 s"):
            in_child(time.sleep, 60, timeout=1.5, fork=fork)
        assert time.monotonic() - begin < 30


def test_closures_and_unpicklable_arguments_reach_a_forked_child():
    lock = open(os.devnull)  # noqa: SIM115 -- an object that cannot be pickled

    assert in_child(lambda file: file.name, lock) == os.devnull
    lock.close()


def test_a_function_of_a_notebook_reaches_a_new_interpreter_too():
    pytest.importorskip("cloudpickle")
    offset = 5

    assert in_child(lambda x: x + offset, 1, fork=False) == 6


def test_a_result_that_cannot_be_pickled_is_an_error_and_not_a_hang():
    with pytest.raises(Exception, match="pickle|Can't"):
        in_child(lambda: lambda: 0)


def test_an_exception_that_cannot_be_rebuilt_keeps_its_text():
    class Odd(Exception):
        def __init__(self, a, b):
            super().__init__(f"{a} and {b}")

    def fail():
        raise Odd(1, 2)

    with pytest.raises(RuntimeError, match="Odd: 1 and 2"):
        in_child(fail)


def test_a_large_result_comes_whole():
    assert in_child(lambda: b"x" * 30_000_000) == b"x" * 30_000_000


def test_processes_that_a_job_leaves_behind_neither_delay_it_nor_stay(tmp_path):
    def leave_one():
        child = subprocess.Popen(["sleep", "600"])
        return child.pid

    begin = time.monotonic()
    pid = in_child(leave_one)
    assert time.monotonic() - begin < 60
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().split(")")[1].split()[0] == "Z":
                    break
        except FileNotFoundError:
            break
        time.sleep(0.02)
    else:
        pytest.fail("the grandchild is still there")


def test_a_child_may_have_children_of_its_own():
    assert in_child(lambda: in_child(divmod, 7, 2)) == (3, 1)


def test_ten_jobs_at_a_time_with_crashes_and_hangs_are_each_accounted_for():
    def job(k):
        if k % 10 == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        if k % 25 == 4:
            time.sleep(60)
        return k

    outcomes = []
    with executor("local", workers=10) as pool:
        futures = [pool.submit(in_child, job, k, timeout=5) for k in range(60)]
        for k, future in enumerate(futures):
            try:
                outcomes.append(future.result() == k)
            except JobError as error:
                outcomes.append(type(error))

    expected = [JobCrashed if k % 10 == 3 else JobTimeout if k % 25 == 4 else True for k in range(60)]
    assert outcomes == expected


def test_leaving_by_an_exception_stops_running_jobs_and_drops_the_rest(tmp_path):
    def job(k):
        (tmp_path / str(k)).touch()
        time.sleep(60)

    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt), executor("local", workers=2) as pool:
        for k in range(6):
            pool.submit(in_child, job, k)
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.01)
        raise KeyboardInterrupt

    assert time.monotonic() - begin < 30
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"engine": "spark"}, "expected an engine out of serial, local, dask"),
        ({"workers": 0}, "workers must be a whole number of at least 1, got 0"),
        ({"workers": 1.5}, "workers must be"),
        ({"workers": True}, "workers must be"),
        ({"engine": "local", "address": "tcp://host:1"}, 'is for engine="dask"'),
    ],
)
def test_an_executor_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message), executor(**arguments):
        pass


def test_without_a_number_there_is_one_worker_per_core():
    with executor("local") as pool:
        assert pool.workers == usable_cores() >= 1


def test_importing_it_loads_the_standard_library_only():
    code = "import sys, exercise_code.jobs; print({'numpy', 'distributed', 'cloudpickle', 'tqdm'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_a_result_sent_between_two_looks_at_a_child_is_not_lost(monkeypatch):
    has_ended = child_process._has_ended

    def looks_when_it_is_over(pid):
        while not has_ended(pid):
            time.sleep(0.01)
        return True

    monkeypatch.setattr(child_process, "_has_ended", looks_when_it_is_over)

    assert in_child(lambda: b"x" * 20_000) == b"x" * 20_000
    assert in_child(lambda: time.sleep(0.7) or 5) == 5  # longer than one wait for the pipe
    with pytest.raises(JobCrashed, match="exit code 7"):
        in_child(os._exit, 7)


def test_a_child_that_only_waits_for_a_core_is_not_replaced(monkeypatch):
    monkeypatch.setattr(child_process, "START_SECONDS", 0.3)

    def busy():
        end = time.thread_time() + 0.8
        while time.thread_time() < end:
            pass

    assert in_child(divmod, 7, 2, setup=busy) == (3, 1)


def test_a_child_that_does_not_get_through_its_setup_is_replaced(monkeypatch, tmp_path):
    monkeypatch.setattr(child_process, "START_SECONDS", 0.5)
    marker = tmp_path / "tried"

    def stuck_the_first_time():
        if not marker.exists():
            marker.touch()
            time.sleep(60)

    assert in_child(divmod, 7, 2, setup=stuck_the_first_time) == (3, 1)
    assert marker.exists()
    with pytest.raises(JobCrashed, match="did not start"):
        in_child(divmod, 7, 2, setup=lambda: time.sleep(60))


@pytest.mark.parametrize("fork", [True, False])
def test_the_setup_runs_in_the_child_before_the_function(fork, monkeypatch):
    monkeypatch.delenv("JOB_SETUP", raising=False)

    assert in_child(_value, setup=_set_up, fork=fork) == "done"
    assert "JOB_SETUP" not in os.environ


def _set_up():
    os.environ["JOB_SETUP"] = "done"


def _value():
    return os.environ.get("JOB_SETUP")
