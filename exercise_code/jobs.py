"""Independent jobs on one machine or many: an executor, and child processes for what may crash or hang.

`executor(engine)` gives a `concurrent.futures.Executor`, so a program is the same for every engine:

- "serial": in the calling process, one job after the other
- "local": threads of this process.  They are meant for jobs that wait for a process: `in_child` or a subprocess
- "dask": dask.distributed, a cluster of local processes or the scheduler at an address

`in_child(function, *arguments)` runs a function in a process of its own, wherever the job itself runs, so that neither a crash
nor an endless loop costs any other job its result, and no worker ever has to be replaced.

>>> with executor("local", workers=2) as pool:
...     list(pool.map(abs, [-1, -2]))
[1, 2]
>>> in_child(divmod, 7, 2)
(3, 1)
"""

import contextlib
import os
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

from exercise_code.child_process import Children, JobCrashed, JobError, JobTimeout, adopt, in_child

__all__ = ["ENGINES", "JobCrashed", "JobError", "JobTimeout", "SharingExecutor", "executor", "in_child", "usable_cores"]

ENGINES = ("serial", "local", "dask")


class SharingExecutor(Executor):
    """An executor with `workers`, how many jobs run at once, and `share`, which hands a large object to all jobs once.

    workers_per_host: of them, how many share the cores of one machine.
    """

    workers: int = 1
    workers_per_host: int = 1

    def share(self, value: Any) -> Any:
        """Return what to pass to `submit` in place of value; jobs get value itself, not copied unless it must travel."""
        return value


class SerialExecutor(SharingExecutor):
    """Runs every job at once in the calling thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Run the job and return its finished future."""
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class LocalExecutor(SharingExecutor):
    """Threads, each of which usually waits for a child process; leaving by an exception kills those children."""

    def __init__(self, workers: int):
        self.workers = self.workers_per_host = workers
        self._children = Children()
        self._threads = ThreadPoolExecutor(workers, "job", initializer=adopt, initargs=(self._children,))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Hand the job to the next free thread."""
        return self._threads.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads; with cancel_futures the jobs that have not begun are dropped and running children killed."""
        if cancel_futures:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._children.kill()
        self._threads.shutdown(wait=wait)


class DaskExecutor(SharingExecutor):
    """dask.distributed's executor, its client and, if it is ours, its cluster."""

    def __init__(self, client: Any, cluster: Any = None):
        self._client, self._cluster = client, cluster
        self._pool = client.get_executor(pure=False, retries=0)
        threads: dict[str, int] = {}
        for worker in client.scheduler_info(n_workers=-1)["workers"].values():
            threads[worker["host"]] = threads.get(worker["host"], 0) + worker["nthreads"]
        self.workers = sum(threads.values())
        self.workers_per_host = max(threads.values())

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """Send the job to the scheduler."""
        return self._pool.submit(fn, *args, **kwargs)

    def share(self, value: Any) -> Any:
        """Send value to the scheduler once; workers fetch it from each other, once each.

        It is the result of a job rather than scattered data, so that it can be had again when a worker dies.
        """
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
            return self._client.submit(_itself, value, pure=False)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Close the client and our own cluster; jobs on a foreign cluster that have begun run to their end."""
        if wait and not cancel_futures:
            self._pool.shutdown(wait=True)
        self._client.close(timeout=5)  # the scheduler forgets what no client wants any more
        if self._cluster is not None:
            self._cluster.close(timeout=10)


@contextlib.contextmanager
def executor(
    engine: str = "local", workers: int | None = None, address: str | None = None
) -> Iterator[SharingExecutor]:
    """Open an executor; leaving the block waits for its jobs, leaving it by an exception stops them.

    Args:
        engine: "serial", "local" or "dask".
        workers: jobs at a time, >= 1; None means one per usable core.  The workers of an address are what they are.
        address: of a dask scheduler ("tcp://host:8786"); None starts a cluster of local processes.

    Raises:
        ValueError: an unknown engine, workers below 1, an address for another engine than dask.
        ConnectionError: nothing answers at the address within five seconds, or no worker joins within another five.
    """
    if engine not in ENGINES:
        raise ValueError(f"expected an engine out of {', '.join(ENGINES)}, got {engine!r}")
    if address is not None and engine != "dask":
        raise ValueError(f'an address of a scheduler is for engine="dask", got engine={engine!r}')
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
        raise ValueError(f"workers must be a whole number of at least 1, got {workers!r}")
    workers = usable_cores() if workers is None else workers
    pool: SharingExecutor
    if engine == "serial":
        pool = SerialExecutor()
    elif engine == "local":
        pool = LocalExecutor(workers)
    else:
        pool = _dask(workers, address)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    pool.shutdown()


def _itself(value: Any) -> Any:
    return value


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _local_cluster(workers: int) -> Any:
    """A scheduler and workers as programs of their own, which do not run the caller's script again as new interpreters do."""
    options: dict[str, Any] = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": ":0"}
    if sys.platform == "win32":
        from distributed import LocalCluster

        return LocalCluster(**options)
    from distributed.deploy.subprocess import SubprocessCluster

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)  # workers import what we can import
    try:
        return SubprocessCluster(**options, worker_kwargs={"memory_limit": 0})
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


def _knock(address: str) -> None:
    """Raise OSError or ValueError unless something accepts connections at `[tcp://]host:port`."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("expected an address such as tcp://host:8786")
    socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()


def _dask(workers: int, address: str | None) -> DaskExecutor:
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError('engine="dask" needs dask.distributed: pip install distributed') from error
    if address is None:
        cluster = _local_cluster(workers)
        client = Client(cluster)
        client.wait_for_workers(workers, timeout=60)
        return DaskExecutor(client, cluster)
    try:
        _knock(address)  # a Client that could not connect keeps trying from a thread of its own
        client = Client(address, timeout=5)
    except (OSError, ValueError, TypeError) as error:
        raise ConnectionError(
            f"no dask scheduler answers at {address} ({error}); start one with `dask scheduler`, and a "
            f"`dask worker {address}` on every machine"
        ) from error
    try:
        client.wait_for_workers(1, timeout=5)
        return DaskExecutor(client)
    except TimeoutError:
        client.close()
        raise ConnectionError(
            f"the dask scheduler at {address} has no worker; start one with `dask worker {address}`"
        ) from None
