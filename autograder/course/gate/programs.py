"""Start the gate's own programs: the catalogues and the one-task-open run of this checkout, and our worker processes."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import TypeVar

_In = TypeVar("_In")
_Out = TypeVar("_Out")
# One thread per program: two of them run side by side. No network: a check must not depend on a download.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MPLBACKEND": "agg",
    "EXERCISE_FAST": "1",
    "DATASETS_OFFLINE": "1",
    "PYTHONHASHSEED": "0",
}


def run_python(arguments: Sequence[str], *, cwd: Path, timeout_s: float, path: Path | None = None) -> tuple[str, str]:
    """Run this interpreter and return (stdout, stderr); a program over its time has no stdout.

    Args:
        path: the only entry of PYTHONPATH, so that the right `exercise_code` is imported.
    """
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DATASETS_DIR")}
    environment |= _ENVIRONMENT | ({"PYTHONPATH": str(path)} if path else {})
    try:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "", f"took longer than {timeout_s:.0f} s"
    return done.stdout, done.stderr


def side_by_side(work: Callable[[_In], _Out], items: Iterable[_In], jobs: int) -> Iterator[_Out]:
    """Yield work(item) as they come, in processes of their own: nbgrader changes the working directory as it runs."""
    # not forked: the parent may hold threads of a progress bar
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(work, item) for item in items]):
            yield future.result()
