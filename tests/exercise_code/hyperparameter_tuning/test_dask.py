"""dask.distributed as the engine: the same log as local processes, on a cluster of ours and on one that is there."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from exercise_code import dask_engine
from exercise_code.hyperparameter_tuning import tune
from exercise_code.hyperparameter_tuning.record import without_times
from exercise_code.jobs import executor, in_child

pytest.importorskip("distributed")
ROOT = Path(__file__).resolve().parents[3]


def make_objective(folder):
    """A closure, so that it travels by value: workers need not be able to import this module."""

    def objective(config, context):
        import os
        import time

        with open(os.path.join(folder, f"worker-{os.getppid()}"), "a") as file:
            file.write(f"{context.trial}\n")
        if config["x"] > 0.9:
            raise ValueError("too far out")
        if config["x"] > 0.8:
            os.kill(os.getpid(), 9)
        time.sleep(0.05)
        context.report(1, config["x"])
        return {"value": config["x"] + context.rng.random()}

    return objective


def search(folder, log, **engine):
    folder.mkdir()
    return tune(
        make_objective(str(folder)), {"x": ([-1, 1], "float")}, budget=30, seed=2, log=log, progress=False, **engine
    )


@pytest.mark.slow
def test_a_cluster_of_our_own_writes_the_same_log_as_local_processes(tmp_path):
    here = search(tmp_path / "a", tmp_path / "local.jsonl", engine="local", workers=2)
    there = search(tmp_path / "b", tmp_path / "dask.jsonl", engine="dask", workers=2)

    assert without_times(tmp_path / "local.jsonl") == without_times(tmp_path / "dask.jsonl")
    assert here.results == there.results
    assert {result.status for result in there.results} == {"ok", "failed", "crashed"}
    assert len(list((tmp_path / "b").iterdir())) == 2, "both workers took part"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def scheduler():
    """(address, processes): a scheduler and no worker yet; everything appended to processes is ended afterwards."""
    address = f"tcp://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", address, "--dashboard-address", ":0"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    processes = [subprocess.Popen([*command, "--no-dashboard"], env=environment, **quiet)]
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(address.rsplit(":", 1)[1]))) == 0:
                break
        time.sleep(0.05)

    def add_worker():
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard"]
        processes.append(subprocess.Popen([*worker, "--no-nanny"], env=environment, cwd="/", **quiet))

    yield address, add_worker, processes
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_master_and_two_separate_worker_processes_write_the_same_log_as_local_processes(tmp_path, scheduler):
    address, add_worker, processes = scheduler
    add_worker()
    add_worker()
    from distributed import Client

    with Client(address, timeout=30) as client:
        client.wait_for_workers(2, timeout=60)

    there = search(tmp_path / "a", tmp_path / "dask.jsonl", engine="dask", address=address)
    here = search(tmp_path / "b", tmp_path / "local.jsonl", engine="local", workers=2)

    assert without_times(tmp_path / "local.jsonl") == without_times(tmp_path / "dask.jsonl")
    assert here.results == there.results
    took_part = {int(path.name.removeprefix("worker-")) for path in (tmp_path / "a").iterdir()}
    assert took_part == {process.pid for process in processes[1:]}


@pytest.mark.slow
def test_a_worker_that_dies_takes_no_trial_with_it(tmp_path, scheduler):
    address, add_worker, processes = scheduler
    add_worker()
    add_worker()
    from distributed import Client

    with Client(address, timeout=30) as client:
        client.wait_for_workers(2, timeout=60)
    victim, marker = processes[1], str(tmp_path / "killed")

    def objective(config, context):
        import os
        import signal
        import time

        if os.getppid() == config["victim"] and not os.path.exists(marker):
            open(marker, "x").close()
            os.kill(config["victim"], signal.SIGKILL)
        time.sleep(0.1)
        return float(context.trial)

    found = tune(objective, {"victim": [victim.pid]}, budget=12, engine="dask", address=address, progress=False)

    assert os.path.exists(marker) and victim.wait(timeout=10) == -9
    assert [result.value for result in found.results] == list(range(12))


@pytest.mark.slow
def test_when_the_scheduler_ends_the_error_says_so_and_local_processes_finish_the_search(tmp_path, scheduler):
    address, add_worker, processes = scheduler
    add_worker()
    log = tmp_path / "log.jsonl"

    def end_scheduler():
        while not log.exists() or log.read_bytes().count(b"\n") < 4:
            time.sleep(0.01)
        processes[0].kill()

    killer = threading.Thread(target=end_scheduler)
    killer.start()
    with pytest.raises(ConnectionError, match="the engine dropped trial"):
        search(tmp_path / "a", log, engine="dask", address=address)
    killer.join()
    before = log.read_bytes()
    search(tmp_path / "b", log, engine="local", workers=2)
    search(tmp_path / "c", tmp_path / "plain.jsonl", engine="local", workers=1)

    assert before.count(b"\n") >= 4 and log.read_bytes().startswith(before)
    assert without_times(log) == without_times(tmp_path / "plain.jsonl")


def kill_its_worker(config, context):
    import os
    import signal

    os.kill(os.getppid(), signal.SIGKILL)
    return 0.0


@pytest.mark.slow
@pytest.mark.parametrize("stop_scheduler", [False, True])
def test_a_search_whose_last_worker_or_scheduler_is_gone_ends_with_an_error_instead_of_waiting(
    tmp_path, scheduler, monkeypatch, stop_scheduler
):
    monkeypatch.setattr(dask_engine, "LOST_SECONDS", 5)
    address, add_worker, processes = scheduler
    add_worker()
    from distributed import Client

    with Client(address, timeout=30) as client:
        client.wait_for_workers(1, timeout=60)
    log = tmp_path / "log.jsonl"
    timer = threading.Timer(2, processes[0].send_signal, [signal.SIGSTOP])
    if stop_scheduler:
        timer.start()
    objective = (lambda config, context: time.sleep(3) or 0.0) if stop_scheduler else kill_its_worker
    begin = time.monotonic()

    # a busy machine may be too slow to answer within five seconds
    what = "does not answer" if stop_scheduler else "(has no worker left|does not answer)"
    with pytest.raises(ConnectionError, match=f"the dask scheduler {what}.* for 5 s now") as caught:
        tune(objective, {"x": [1]}, budget=4, engine="dask", address=address, log=log, progress=False)

    timer.cancel()
    assert time.monotonic() - begin < 120
    assert any("the same call resumes it" in note for note in caught.value.__notes__)
    assert (
        len(tune(lambda c, t: 0.0, {"x": [1]}, budget=2, engine="local", log=tmp_path / "b", progress=False).results)
        == 2
    )


@pytest.mark.slow
def test_an_address_without_a_worker_is_refused_with_the_command_that_helps(scheduler):
    address = scheduler[0]

    with pytest.raises(ConnectionError, match=f"has no worker; start one with `dask worker {address}`"):
        tune(lambda config, context: 0.0, {"x": [1]}, budget=1, engine="dask", address=address, progress=False)


@pytest.mark.slow
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "tcp://127.0.0.1"])
def test_an_address_that_answers_nothing_is_refused_within_seconds_and_nothing_is_recorded(address, tmp_path):
    begin = time.monotonic()
    with pytest.raises(ConnectionError, match="no dask scheduler answers at"):
        tune(
            lambda config, context: 0.0,
            {"x": [1]},
            budget=1,
            engine="dask",
            address=address,
            log=tmp_path / "log",
            progress=False,
        )

    assert time.monotonic() - begin < 30
    assert (tmp_path / "log").read_bytes().count(b"\n") == 1
    assert len(tune(lambda config, context: 0.0, {"x": [1]}, budget=1, progress=False).results) == 1


@pytest.mark.slow
def test_jobs_of_the_executor_run_in_processes_of_the_cluster():
    with executor("dask", workers=2) as pool:
        shared = pool.share({"offset": 10})
        futures = [pool.submit(in_child, lambda k, table: k + table["offset"], k, shared) for k in range(5)]
        assert [future.result() for future in futures] == [10, 11, 12, 13, 14]
        assert pool.workers == 2
        assert pool.submit(os.getpid).result() != os.getpid()


@pytest.mark.slow
def test_a_worker_that_ends_while_it_is_closed_leaves_no_error_and_no_process(monkeypatch):
    import psutil

    before = {process.pid for process in psutil.Process().children(recursive=True)}
    kill, ended = psutil.Process.kill, []

    def ended_by_itself(process):
        kill(process)
        if not ended:
            ended.append(process.pid)
            raise psutil.NoSuchProcess(process.pid)

    with executor("dask", workers=2) as pool:
        assert pool.submit(abs, -1).result(timeout=60) == 1
        monkeypatch.setattr(psutil.Process, "kill", ended_by_itself)

    assert ended, "dask closes its workers another way now"
    new = [process for process in psutil.Process().children(recursive=True) if process.pid not in before]
    running = [process for process in new if process.status() != psutil.STATUS_ZOMBIE]
    assert [process for process in running if "dask" in " ".join(process.cmdline())] == []
