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
    """Runs every job at once in the calling thread.

    >>> SerialExecutor().submit(abs, -3).result()
    3
    """

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
        ConnectionError: nothing answers at the address within five seconds, or no worker joins within another five.  Later,
            the result of every open job raises it when there has been no worker for a minute.
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
        from exercise_code.dask_engine import DaskExecutor

        pool = DaskExecutor(workers, address)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    pool.shutdown()


def usable_cores() -> int:
    """Cores that this process may use.

    >>> usable_cores() >= 1
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
