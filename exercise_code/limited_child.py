"""A child process with its own number of BLAS threads: several at a time share the cores instead of fighting over them."""

import os
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from exercise_code.jobs import in_child

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def in_limited_child(
    threads: int, function: Callable[..., Any], /, *args: Any, timeout: float | None = None, **kwargs: Any
) -> Any:
    """`in_child` with at most so many BLAS threads.

    >>> in_limited_child(1, os.environ.get, "OMP_NUM_THREADS")
    '1'
    """
    load_thread_control()  # before the fork, so that every child has it
    return in_child(function, *args, timeout=timeout, setup=partial(limit_threads, threads), **kwargs)


def load_thread_control() -> None:
    """Import threadpoolctl if it is there: it can change the threads of a BLAS that is already loaded."""
    try:
        import threadpoolctl  # noqa: F401 -- for sys.modules
    except ImportError:
        return


def limit_threads(threads: int) -> None:
    """Let libraries of this process use at most so many threads, or fewer where the environment says so."""
    for variable in THREAD_VARIABLES:
        current = os.environ.get(variable, "")
        threads = min(threads, int(current)) if current.isdecimal() and int(current) else threads
    os.environ |= dict.fromkeys(THREAD_VARIABLES, str(threads))
    load_thread_control()
    if "threadpoolctl" in sys.modules:
        sys.modules["threadpoolctl"].threadpool_limits(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    if "tqdm" in sys.modules:  # its lock may have been taken in the parent at the moment of the fork
        sys.modules["tqdm"].tqdm.set_lock(threading.RLock())
