"""Cost of the search loop itself, side by side in one run.

    python benchmarks/bench_search.py [--rounds 5] [--quick]

(a) The slides' grid, 5 learning rates x 3 regularisation strengths, 10 epochs each on 1,000 images with a validation pass over
500 after every epoch (3072-100-10, ReLU, batch 256, Adam, no early stopping): `grid_search` in this process, with two
workers, and a plain serial loop over `benchmarks.per_sample`, whose images lie in memory in float64.  Each side runs in a process of its own with its BLAS threads
pinned; sides take turns, and the figure is the median over rounds of their ratio.  The plain loop has one BLAS thread, and
in one row two where that makes it faster; two workers of ours have one each.  With DATASETS_DIR the images are CIFAR-10's, otherwise random ones; time does not depend on it.

(d) One trial record: a line of the trial log, appended and fsync'd, with the fsync and with none, beside a bare write and fsync.

Wall times mean something on a quiet machine only: the load before and after is printed with the table.  CPU times hold up
better on a busy one.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, the repository is not on the path

GRID = {"learning_rate": [1e-2, 1e-3, 1e-4, 1e-5, 1e-6], "reg": [1e-4, 1e-5, 1e-6]}
EPOCHS, TRAIN, VAL, BATCH = 10, 1000, 500, 256
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of CIFAR-10's channels
SIDES = {  # name -> (function, BLAS threads)
    "plain loop, 1 thread": ("plain", 1),
    "plain loop, 2 threads": ("plain", 2),
    "grid_search, 1 core": ("ours", 1),
    "grid_search, 1 worker process": ("one_worker", 1),
    "grid_search, 2 workers": ("two_workers", 1),
}


def images() -> tuple[Any, Any]:
    """uint8 (1500, 32, 32, 3) and int64 (1500,)."""
    import numpy as np

    if os.environ.get("DATASETS_DIR"):
        from exercise_code.data import ImageFolderDataset
        from exercise_code.data.registry import fetch_or_stand_in

        source = fetch_or_stand_in("cifar10")
        data = ImageFolderDataset(None, "train", TRAIN + VAL, {"train": 1.0}, root=source)
        return data.pixels(), np.array([data[i]["label"] for i in range(len(data))])
    rng = np.random.default_rng(0)
    return rng.integers(256, size=(TRAIN + VAL, 32, 32, 3), dtype=np.uint8), rng.integers(10, size=TRAIN + VAL)


def plain(grid: dict[str, list[float]], epochs: int) -> list[float]:
    """Best validation loss of every configuration, by the plain loop."""
    import numpy as np

    from benchmarks.per_sample import Flatten, Images, Loader, Net, Normalize, Rescale, Training

    pixels, labels = images()
    pixels = pixels.astype(float)  # as the exercise's data set in memory holds them
    chain = [Rescale(), Normalize(MEAN, STD), Flatten()]
    best = []
    for learning_rate in grid["learning_rate"]:
        for reg in grid["reg"]:
            np.random.seed(0)
            train = Loader(Images(pixels[:TRAIN], labels[:TRAIN], chain), BATCH, shuffle=True)
            val = Loader(Images(pixels[TRAIN:], labels[TRAIN:], chain), BATCH, shuffle=False)
            training = Training(Net(100, 10, reg=reg), train)
            training.adam.lr = learning_rate
            losses = []
            for _ in range(epochs):
                training.epoch()
                batches = [(training.step(b["image"], b["label"], learn=False), len(b["label"])) for b in val]
                losses.append(sum(loss * size for loss, size in batches) / VAL)
            best.append(min(losses))
    return best


def ours(grid: dict[str, list[float]], epochs: int, **running: Any) -> list[float]:
    """The same by `grid_search`."""
    from exercise_code.data import (
        ArrayDataset,
        ComposeTransform,
        DataLoader,
        FlattenTransform,
        NormalizeTransform,
        RescaleTransform,
    )
    from exercise_code.hyperparameter_tuning import grid_search
    from exercise_code.networks import ClassificationNet
    from exercise_code.networks.layer import Relu

    pixels, labels = images()
    chain = ComposeTransform([RescaleTransform(), NormalizeTransform(MEAN, STD), FlattenTransform()])
    train = DataLoader(ArrayDataset(pixels[:TRAIN].copy(), labels[:TRAIN], chain), BATCH, shuffle=True)
    val = DataLoader(ArrayDataset(pixels[TRAIN:].copy(), labels[TRAIN:], chain), BATCH)
    spaces = grid | {"std": [1e-2], "activation": [Relu()]}
    result = grid_search(train, val, spaces, ClassificationNet, epochs, None, verbose=False, **running)
    return [trial.val_loss for trial in result.trials]


def one_worker(grid: dict[str, list[float]], epochs: int) -> list[float]:
    return ours(grid, epochs, workers=1, threads=1)


def two_workers(grid: dict[str, list[float]], epochs: int) -> list[float]:
    return ours(grid, epochs, workers=2, threads=1)


FUNCTIONS: dict[str, Callable[..., list[float]]] = {
    "plain": plain,
    "ours": ours,
    "one_worker": one_worker,
    "two_workers": two_workers,
}


def run_side(name: str) -> None:
    """Warm up, time the grid once, print seconds and losses; what the processes of `measure` do."""
    function = FUNCTIONS[name]
    function({"learning_rate": [1e-3], "reg": [1e-4]}, 1)
    begin, before = time.perf_counter(), cpu_seconds()
    losses = function(GRID, EPOCHS)
    print(json.dumps({"seconds": time.perf_counter() - begin, "cpu": cpu_seconds() - before, "losses": losses}))


def cpu_seconds() -> float:
    """CPU time of this process and of the children it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def measure(name: str) -> dict[str, Any]:
    """Time one side in a new process."""
    function, threads = SIDES[name]
    pinned = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    root = str(Path(__file__).resolve().parents[1])
    command = [sys.executable, __file__, "--side", function]
    done = subprocess.run(
        command, env=os.environ | pinned | {"PYTHONPATH": root}, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def bench_grid(rounds: int) -> None:
    """Part (a)."""
    times: dict[str, list[float]] = {name: [] for name in SIDES}
    cpu: dict[str, list[float]] = {name: [] for name in SIDES}
    losses: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name in SIDES:
            found = measure(name)
            times[name].append(found["seconds"])
            cpu[name].append(found["cpu"])
            losses[name] = found["losses"]
    print(f"\n(a) {len(GRID['learning_rate']) * len(GRID['reg'])} configurations x {EPOCHS} epochs, median of {rounds}")
    for name, seconds in times.items():
        used = statistics.median(cpu[name])
        print(f"  {name:32} {statistics.median(seconds):7.2f} s   fastest {min(seconds):6.2f} s   CPU {used:6.2f} s")
    plain_two = [min(pair) for pair in zip(times["plain loop, 1 thread"], times["plain loop, 2 threads"], strict=True)]
    rows = [
        ("one core: plain / grid_search", times["plain loop, 1 thread"], times["grid_search, 1 core"], 4.0),
        ("plain loop / grid_search, 2 workers", times["plain loop, 1 thread"], times["grid_search, 2 workers"], 7.0),
        ("the same, two BLAS threads for the plain loop", plain_two, times["grid_search, 2 workers"], None),
        ("2 workers over 1 core", times["grid_search, 1 core"], times["grid_search, 2 workers"], 1.8),
        (
            "2 workers over 1 worker process",
            times["grid_search, 1 worker process"],
            times["grid_search, 2 workers"],
            1.8,
        ),
    ]
    for name, slow, fast, target in rows:
        ratios = [a / b for a, b in zip(slow, fast, strict=True)]
        wanted = "no target   " if target is None else f"target {target} x"
        print(f"  {name:46} {statistics.median(ratios):5.2f} x   {wanted}   range {min(ratios):.2f}-{max(ratios):.2f}")
    ratios = [a / b for a, b in zip(cpu["plain loop, 1 thread"], cpu["grid_search, 1 core"], strict=True)]
    print(f"  {'one core, CPU time instead of wall time':46} {statistics.median(ratios):5.2f} x")
    one = losses["grid_search, 1 core"]
    same = losses["grid_search, 1 worker process"] == losses["grid_search, 2 workers"] == one
    print(f"  losses of grid_search the same to the last bit for 1 core, 1 and 2 workers: {same}")
    ranks = [sorted(range(len(side)), key=side.__getitem__)[0] for side in (losses["plain loop, 1 thread"], one)]
    print(f"  best configuration: plain loop number {ranks[0]}, grid_search number {ranks[1]} (initial weights differ)")


def bench_record(events: int, folder: Path | None) -> None:
    """Part (d)."""
    from exercise_code.hyperparameter_tuning.outcome import to_event
    from exercise_code.hyperparameter_tuning.record import TrialLog, encode
    from exercise_code.hyperparameter_tuning.searcher import Result

    curve = tuple((epoch, 1.0 / epoch) for epoch in range(1, 11))
    config = {"learning_rate": 1e-3, "reg": 1e-4, "activation": "relu"}
    results = [Result(i, config, 10, 0.5, "ok", "", {"val_accuracy": 0.5}, 0, curve, 1.0) for i in range(events)]
    size = len(encode(to_event(results[0], None, 1.0)))
    fsync = os.fsync

    def record(order: list[int], sync: Callable[[int], None]) -> list[float]:
        times = []
        os.fsync = sync
        try:
            with tempfile.TemporaryDirectory(dir=folder) as home, TrialLog(Path(home, "log"), {}) as log:
                log.expect([{"trial": i} for i in range(events)])
                for i in order:
                    begin = time.perf_counter()
                    log.add(to_event(results[i], None, 1.0))
                    times.append(time.perf_counter() - begin)
        finally:
            os.fsync = fsync
        return times

    def bare() -> list[float]:
        times = []
        with tempfile.TemporaryDirectory(dir=folder) as home:
            file = os.open(Path(home, "bare"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            for _ in range(events):
                begin = time.perf_counter()
                os.write(file, b"x" * size)
                fsync(file)
                times.append(time.perf_counter() - begin)
            os.close(file)
        return times

    swapped = [i ^ 1 for i in range(events)]  # every other trial ends before its turn
    rows = [
        ("record, in order", record(list(range(events)), fsync)),
        ("record, every other one early", record(swapped, fsync)),
        ("record, without fsync", record(list(range(events)), lambda file: None)),
        ("bare write and fsync", bare()),
    ]
    print(f"\n(d) one trial record of {size} bytes in {folder or tempfile.gettempdir()}, {events} events; target 1 ms")
    for name, times in rows:
        print(
            f"  {name:32} median {1e3 * statistics.median(times):.3f} ms   mean {1e3 * statistics.fmean(times):.3f} ms   "
            f"10 % below {1e3 * sorted(times)[len(times) // 10]:.3f}, 99 % below {1e3 * sorted(times)[int(0.99 * len(times))]:.3f} ms"
        )


def load() -> str:
    return ", ".join(f"{value:.1f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round, and 200 records in place of 1,000")
    parser.add_argument(
        "--folder", type=Path, help="where to write the logs of (d); the system's temporary folder if left out"
    )
    parser.add_argument("--side", choices=list(FUNCTIONS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        return run_side(options.side)
    print(f"{os.cpu_count()} cores, load {load()}")
    bench_record(200 if options.quick else 1000, options.folder)
    bench_grid(1 if options.quick else options.rounds)
    print(f"load now {load()}")


if __name__ == "__main__":
    main()
