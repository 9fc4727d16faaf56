"""dask.distributed as an executor of `exercise_code.jobs`: a cluster of local processes, or the scheduler at an address.

dask itself waits for ever when a job has no worker left to run on (its `no-workers-timeout` is off), and a scheduler that
hangs answers nothing; on a very busy machine both happen.  Here a watchman asks the scheduler for its workers and fails
the open jobs when there have been none for a minute.
"""

import contextlib
import os
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError, wait
from typing import Any

from exercise_code.jobs import SharingExecutor

START_SECONDS = 60  # for the processes of our own cluster
WATCH_SECONDS = 2  # between two looks at the workers
LOST_SECONDS = 60  # without any worker, until the jobs are given up


class DaskExecutor(SharingExecutor):
    """dask.distributed's executor, its client and, if it is ours, its cluster.

    Args:
        workers: processes of a cluster of our own.
        address: of a scheduler to use instead; it has the workers it has.

    Raises:
        ImportError: dask.distributed is not installed.
        ConnectionError: no scheduler answers, or no worker joins.
    """

    def __init__(self, workers: int, address: str | None = None):
        try:
            import distributed  # noqa: F401
        except ImportError as error:
            raise ImportError('engine="dask" needs dask.distributed: pip install distributed') from error
        self._client: Any = None
        self._cluster: Any = None
        self._closing = threading.Event()
        self._open: set[Future] = set()
        self._lock = threading.Lock()
        self._lost = ""
        try:
            self._connect(workers, address)
            self._count_workers(address)
        except BaseException:
            self._disconnect()
            raise
        client: Any = self._client
        self._pool = client.get_executor(pure=False, retries=0)
        threading.Thread(target=self._watch, name="dask-watch", daemon=True).start()

    def _connect(self, workers: int, address: str | None) -> None:
        from distributed import Client

        if address is None:
            try:
                self._cluster = _local_cluster(workers)
                self._client = Client(self._cluster)
                self._client.wait_for_workers(workers, timeout=START_SECONDS)
            except (OSError, TimeoutError, RuntimeError) as error:
                raise ConnectionError(
                    f"the dask cluster of {workers} local workers did not start within {START_SECONDS} s ({error}): the machine "
                    'is very busy; try again, or use engine="local"'
                ) from error
            return
        try:
            _knock(address)  # a Client that could not connect keeps trying from a thread of its own
            self._client = Client(address, timeout=5)
        except (OSError, ValueError, TypeError) as error:
            raise ConnectionError(
                f"no dask scheduler answers at {address} ({error}); start one with `dask scheduler`, and a "
                f"`dask worker {address}` on every machine"
            ) from error
        with contextlib.suppress(TimeoutError):  # counted next
            self._client.wait_for_workers(1, timeout=5)

    def _count_workers(self, address: str | None) -> None:
        threads: dict[str, int] = {}
        for worker in self._client.scheduler_info(n_workers=-1)["workers"].values():
            threads[worker["host"]] = threads.get(worker["host"], 0) + worker["nthreads"]
        if not threads:
            where = "of our own" if address is None else f"at {address}"
            raise ConnectionError(f"the dask scheduler {where} has no worker; start one with `dask worker {address}`")
        self.workers = sum(threads.values())
        self.workers_per_host = max(threads.values())

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Send the job to the scheduler."""
        if self._lost:
            raise ConnectionError(self._lost)
        inner, future = self._pool.submit(fn, *args, **kwargs), Future[Any]()
        with self._lock:
            self._open.add(future)
        inner.add_done_callback(lambda done: self._finish(future, done))
        return future

    def _finish(self, future: Future, done: Future) -> None:
        with self._lock:
            self._open.discard(future)
        with contextlib.suppress(InvalidStateError):  # it was given up before
            if done.cancelled():
                if future.cancel():
                    future.set_running_or_notify_cancel()
            elif done.exception() is not None:
                future.set_exception(done.exception())
            else:
                future.set_result(done.result())

    def share(self, value: Any) -> Any:
        """Send value to the scheduler once; workers fetch it from each other, once each.

        It is the result of a job rather than scattered data, so that it can be had again when a worker dies.
        """
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
            return self._client.submit(_itself, value, pure=False)

    def _watch(self) -> None:
        seen = time.monotonic()
        while not self._closing.wait(WATCH_SECONDS):
            if self._client.status in ("closing", "closed"):  # the client has cancelled everything
                return
            try:
                if self._client.sync(self._client.scheduler.ncores, callback_timeout=LOST_SECONDS):
                    seen = time.monotonic()
            except Exception as error:  # of any kind: what counts is that there was no answer
                if self._closing.is_set():
                    return
                reason = f"the dask scheduler does not answer ({type(error).__name__})"
            else:
                reason = "the dask scheduler has no worker left"
            if time.monotonic() - seen > LOST_SECONDS:
                return self._give_up(f"{reason}, for {LOST_SECONDS} s now: the jobs were given up")

    def _give_up(self, reason: str) -> None:
        with self._lock:
            self._lost, lost = reason, list(self._open)
            self._open.clear()
        for future in lost:
            with contextlib.suppress(InvalidStateError):
                future.set_exception(ConnectionError(reason))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Close the client and our own cluster; jobs on a foreign cluster that have begun run to their end."""
        if wait and not cancel_futures:
            self._wait_for_jobs()
        self._disconnect()

    def _wait_for_jobs(self) -> None:
        with self._lock:
            jobs = list(self._open)
        wait(jobs)

    def _disconnect(self) -> None:
        """Also when nothing answers: what was to be said has been said."""
        self._closing.set()
        with contextlib.suppress(TimeoutError, OSError):
            if self._client is not None:
                self._client.close(timeout=5)  # the scheduler forgets what no client wants any more
        if self._cluster is not None:
            _close(self._cluster)


def _close(cluster: Any) -> None:
    """Close a cluster of ours.

    dask kills the processes of a worker one by one and fails, with the rest alive, where one has just ended by itself.
    """
    import psutil  # comes with dask.distributed

    left: list[psutil.Process] = []
    for program in (*cluster.workers.values(), cluster.scheduler):
        started = getattr(getattr(program, "process", None), "pid", None)  # only a program of its own has one
        with contextlib.suppress(psutil.NoSuchProcess):
            if started is not None:
                left += [*psutil.Process(started).children(recursive=True), psutil.Process(started)]
    with contextlib.suppress(TimeoutError, OSError, psutil.NoSuchProcess):
        cluster.close(timeout=30)
    for process in left:  # psutil tells them from later ones of the same number
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _itself(value: Any) -> Any:
    return value


def _local_cluster(workers: int) -> Any:
    """A scheduler and workers as programs of their own, which do not run the caller's script again as new interpreters do."""
    options: dict[str, Any] = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": ":0"}
    if sys.platform == "win32":
        from distributed import LocalCluster

        return LocalCluster(**options)
    from distributed.deploy.subprocess import SubprocessCluster

    variables = {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),  # workers import what we can import
        "DASK_LOGGING__DISTRIBUTED": "error",  # nobody reads the scheduler's pipe: full of warnings, it would stop it
    }
    with _environment(variables):
        return SubprocessCluster(**options, worker_kwargs={"memory_limit": 0})


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ |= variables
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _knock(address: str) -> None:
    """Raise OSError or ValueError unless something accepts connections at `[tcp://]host:port`."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("expected an address such as tcp://host:8786")
    socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
