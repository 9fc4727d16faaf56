"""How fast models are scored, sandbox included.

    python benchmarks/bench_grading.py [--quick] [--submissions 40] [--workers 2] [--rounds 6]

Submissions are the course's net (3072-100-10, random weights) on 10,000 random images of 32x32x3. `score` is timed as a
whole with each engine, from the queue to the committed results; dask's workers have started before. Then one
submission's job alone, in the sandbox and without it, the two taking turns: the difference is the sandbox's share.
Wall times mean something on a quiet machine only; the load is printed beside them.
"""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, the repository is not on the path

from scoring_term import EXERCISE_ID, hand_in, make_term, network

from autograder.grading.batch import Engine
from autograder.grading.judge import Inputs, Judged, judge_model
from autograder.grading.score import score
from exercise_code.jobs import SharingExecutor


class Started(Engine):
    """An engine whose workers run already when `score` opens it."""

    def start(self) -> contextlib.ExitStack:
        """Start them; leaving the stack ends them."""
        stack = contextlib.ExitStack()
        object.__setattr__(self, "pool", stack.enter_context(super().open()))
        return stack

    @contextlib.contextmanager
    def open(self) -> Iterator[SharingExecutor]:
        """What runs."""
        yield self.pool  # type: ignore[attr-defined]


def measure(engine: Engine, number: int) -> float:
    """Submissions a second of one `score`."""
    with tempfile.TemporaryDirectory() as folder:
        term = make_term(Path(folder))
        hand_in(term, [("first", network(10_000))])
        started = Started(engine.name, engine.workers)
        with started.start():
            score(term.course, EXERCISE_ID, term.dir, progress=False, engine=started)
            hand_in(term, [(f"student{n:04d}", network(n)) for n in range(number)])
            begin = time.perf_counter()
            report = score(term.course, EXERCISE_ID, term.dir, progress=False, engine=started)
            passed = time.perf_counter() - begin
    assert len(report.scored) == number and not report.failed
    return number / passed


def share(rounds: int) -> tuple[float, float]:
    """Median seconds of one job in the sandbox and without."""
    times: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder:
        term, data = make_term(Path(folder)), network(0)
        inputs = Inputs(term.dir / "hidden" / EXERCISE_ID / "inputs.npy", 10_000, "bench")
        for _ in range(rounds + 1):
            for unsafe in times:
                begin = time.perf_counter()
                judged = judge_model(inputs, unsafe, data, term.exercise.models[0])
                times[unsafe].append(time.perf_counter() - begin)
                assert isinstance(judged, Judged), judged
    safe, plain = (statistics.median(times[unsafe][1:]) for unsafe in (False, True))
    return safe, plain


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="ten submissions, two rounds")
    parser.add_argument("--submissions", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    number, rounds = (10, 2) if options.quick else (options.submissions, options.rounds)
    print(
        f"scoring, {number} submissions, 3072-100-10 on 10,000 images; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    for engine in (Engine(), Engine("local", options.workers), Engine("dask", options.workers)):
        name = engine.name if engine.workers is None else f"{engine.name}, {engine.workers} workers"
        print(f"  {name:20}  {measure(engine, number):5.1f} submissions/s", flush=True)
    safe, plain = share(rounds)
    print(
        f"  one job: {1e3 * safe:.0f} ms in the sandbox, {1e3 * plain:.0f} ms without; share {100 * (1 - plain / safe):.0f} %"
    )


if __name__ == "__main__":
    main()
