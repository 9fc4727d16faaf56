"""Batches of real models in the real sandbox, killed at random moments until they are through; then looked at.

    python -m tests.autograder.killed_batch [--kills 300] [--submissions 60] [--workers 2] [--seed 1]

Each run of `score` is a process of its own, forked from this one, which ends it with SIGKILL after a random time. When a
batch is through before enough kills have fallen, the next one begins. Each finished batch must be as an undisturbed run
left it: every submission graded once, none lost, none twice, the same rows, the same published page, nothing left over.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from autograder.course.manifest import load
from autograder.grading import control_groups
from autograder.grading.batch import Engine
from autograder.grading.sandbox import Sandbox
from autograder.grading.score import score
from autograder.records.gradebook import Gradebook
from tests.autograder.small_course import (
    EXERCISE,
    assert_graded_once,
    by_submission,
    make_course,
    outcome,
    published,
    tiny_model,
)


def models(number):
    """(student, model): nine of ten are good, the others have to fail."""
    bad = [b"\x80\x04K\x01.", tiny_model(1, scale=float("nan")), tiny_model(2)[:-30]]
    return [(f"student{n}", bad[n // 10 % 3] if n % 10 == 7 else tiny_model(n)) for n in range(number)]


def start(folder, workers):
    """The process id of a run of `score` on that course."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        engine = Engine("local", workers)
        score(load(folder / "course.toml"), EXERCISE, folder / "course", progress=False, engine=engine)
        code = 0
    finally:
        os._exit(code)


def ended(pid, patience_s):
    """Its exit code, None when it still runs after so many seconds."""
    deadline = time.monotonic() + patience_s
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            return None
        time.sleep(0.005)


def still_waiting(folder):
    with Gradebook(folder / "course") as book:
        return sum(row.state not in ("scored", "FAILED") for row in book.submissions())


def sandboxes():
    """Command lines of living sandboxes of the courses' models, found without asking the product."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes()
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if b"judge_inside.py" in words and parent in (1, os.getpid()):
            found.append(words)
    return found


def left_over(folder, dead):
    """Drafts, sandboxes and control groups of the dead."""
    groups = [path.name for place in control_groups.places() for path in place.glob("autograder-*")]
    groups = [name for name in groups if int(name.split("-")[1]) in dead]
    return [*(folder / "course" / "predictions").glob("*/.*"), *sandboxes(), *groups]


def kill_often(root, kills, submissions, workers, seed):
    """How many kills fell and how many batches they fell into."""
    chance, fallen, batches, longest = random.Random(seed), 0, 0, 0.3
    handed_in = models(submissions)
    dead = set()
    calm = make_course(root / "calm", handed_in)
    assert ended(start(calm, workers), 3600) == 0
    expected = outcome(calm)[0], by_submission(outcome(calm)[1]), published(calm)
    while fallen < kills:
        batches += 1
        folder = make_course(root / f"batch{batches}", handed_in)
        waiting = submissions
        while waiting:
            pid = start(folder, workers)
            # enough kills for this batch: a run may grade a submission or two, not more
            code = ended(pid, chance.uniform(0, longest)) if fallen < kills else ended(pid, 3600)
            if code is None:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                fallen += 1
                dead.add(pid)
            assert code in (None, 0), f"score ended with {code}"
            before, waiting = waiting, still_waiting(folder)
            longest *= 1.15 if waiting == before else 0.85 if before - waiting > 1 else 1.0
            longest = min(longest, 60.0)
        assert ended(start(folder, workers), 3600) == 0  # a last run finds nothing to do, and clears up
        assert_graded_once(folder)
        states, results = outcome(folder)
        assert (states, by_submission(results), published(folder, names_of=calm)) == expected
        deadline = time.monotonic() + 90  # a group whose process id was given again is swept when it is a minute old
        while (left := left_over(folder, dead)) and time.monotonic() < deadline:
            time.sleep(0.5)
            Sandbox.detect()  # whoever makes a group sweeps those of the dead
        assert left == [], f"left over after {fallen} kills: {left}"
        print(f"batch {batches} is through after {fallen} kills", file=sys.stderr, flush=True)
    return fallen, batches


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--submissions", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="killed-batch-") as root:
        fallen, batches = kill_often(Path(root), options.kills, options.submissions, options.workers, options.seed)
    print(
        f"{fallen} kills in {batches} batches of {options.submissions}: zero lost, zero double, record and page as "
        f"undisturbed, nothing left; {time.monotonic() - begin:.0f} s"
    )


if __name__ == "__main__":
    main()
