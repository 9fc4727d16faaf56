"""Time and memory of the data path, beside torch's DataLoader and a loader that works sample by sample.

    python benchmarks/bench_data.py [--quick]

All programs run in turn, several rounds, in one process on one core; a ratio is the median of the ratios of the rounds
(ours / theirs, so below 1 is faster).  It is CPU time that counts: nothing here uses a second thread or waits for a
disk, and other programs on the machine disturb it less.  With DATASETS_DIR set to a folder that holds CIFAR-10, its
images are used, else images of noise, which cost the same but compress worse.  The sample-by-sample loader is that of
`benchmarks.per_sample`.
"""

import argparse
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, the repository is not on the path
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from numpy.typing import NDArray

from benchmarks import per_sample
from exercise_code.data import (
    ArrayDataset,
    ComposeTransform,
    Cutout,
    DataLoader,
    FlattenTransform,
    ImageFolderDataset,
    NormalizeTransform,
    RandomCrop,
    RandomHorizontalFlip,
    RescaleTransform,
    cache,
)
from exercise_code.data.errors import DatasetError
from exercise_code.data.registry import locate

BATCH = 256
MEAN, STD = np.array([0.4914, 0.4822, 0.4465]), np.array([0.2470, 0.2435, 0.2616])
PREPARE = [RescaleTransform(), NormalizeTransform(MEAN, STD), FlattenTransform()]


def sample_by_sample(images: Sequence[Any], labels: NDArray, flip: bool = False) -> per_sample.Loader:
    steps = [per_sample.Rescale(), per_sample.Normalize(MEAN, STD), per_sample.Flatten()]
    if flip:
        steps.insert(0, per_sample.Flip())
    return per_sample.Loader(per_sample.Images(images, labels, steps), BATCH, shuffle=True)


def seconds(work: Callable[[], Any]) -> float:
    """CPU seconds of one call."""
    gc.collect()
    start = time.process_time()
    work()
    return time.process_time() - start


def epoch(batches: Iterable[Any]) -> Callable[[], None]:
    """An epoch as a training loop sees it: one batch at a time, then let go."""

    def run() -> None:
        for _ in batches:
            pass

    return run


def in_turn(programs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each program in each round; a first round that warms up is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in programs}
    for i in range(rounds + 1):
        for name, work in programs.items():
            elapsed = seconds(work)
            if i:
                taken[name].append(elapsed)
    return taken


def show(title: str, taken: dict[str, list[float]], per: int, unit: str, reference: str) -> None:
    print(f"\n{title}; ratio: '{reference}' / the line's\n{'':52} {unit:>12}   {'ratio':>7}")
    for name, times in taken.items():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(taken[reference], times, strict=True))
        print(f"{name:52} {statistics.median(times) / per * 1e3:9.3f} ms   {ratio:7.2f}")


def bench_steps(images: NDArray, rounds: int) -> None:
    """What the steps of one batch cost, and the alternatives that were not taken."""
    rng = np.random.default_rng(0)
    orders = [rng.permutation(len(images))[:BATCH] for _ in range(50)]
    stack = images[orders[0]]
    floats = np.ascontiguousarray(stack, np.float32)
    scale, shift = (1 / 255 / STD).astype(np.float32), (-MEAN / STD).astype(np.float32)
    table = (np.arange(256)[None] * scale[:, None] + shift[:, None]).astype(np.float32)  # (C, 256)
    flat_table, offsets = table.ravel(), np.tile(np.arange(3, dtype=np.int16) * 256, stack[0].size // 3)
    buffer, float_buffer = np.empty_like(stack), np.empty_like(floats)
    prepare, whole = ComposeTransform(PREPARE), ComposeTransform([RandomHorizontalFlip(), *PREPARE])
    dataset = ArrayDataset(images, np.zeros(len(images), np.int64), whole)
    flip, crop, cut = RandomHorizontalFlip(), RandomCrop(), Cutout()

    def for_each(step: Callable[[NDArray], Any]) -> Callable[[], None]:
        def run() -> None:
            for indices in orders:
                step(indices)

        return run

    def per_channel(_: NDArray) -> NDArray:
        out = np.empty(stack.shape, np.float32)
        for c in range(3):
            out[..., c] = table[c][stack[..., c]]
        return out

    def over_channels(_: NDArray) -> NDArray:
        return np.multiply(stack, scale, dtype=np.float32) + shift

    taken = in_turn(
        {
            "whole batch: gather, flip, normalise, flatten": for_each(dataset.batch),
            "physical copy of the float32 batch": for_each(lambda _: np.copyto(float_buffer, floats)),
            "gather: images[indices], new array": for_each(lambda indices: images[indices]),
            "gather: np.take(out=buffer)": for_each(
                lambda indices: np.take(images, indices, axis=0, out=buffer, mode="clip")
            ),
            "normalise: convert, multiply, add on rows (taken)": for_each(lambda _: prepare.batch(stack)),
            "normalise: one table for all channels, flat": for_each(
                lambda _: flat_table.take(stack.reshape(BATCH, -1) + offsets)
            ),
            "normalise: a table per channel": for_each(per_channel),
            "normalise: multiply, add over (C,)": for_each(over_channels),
            "flip on uint8 (taken)": for_each(lambda _: flip.batch(stack)),
            "flip on float32": for_each(lambda _: flip.batch(floats)),
            "crop on uint8": for_each(lambda _: crop.batch(stack)),
            "cutout on uint8": for_each(lambda _: cut.batch(stack)),
        },
        rounds,
    )
    reference = "whole batch: gather, flip, normalise, flatten"
    show(f"One batch of {BATCH} images {stack.shape[1:]}", taken, len(orders), "per batch", reference)


def bench_epochs(images: NDArray, labels: NDArray, rounds: int) -> None:
    import torch

    torch.set_num_threads(1)
    tensors = torch.from_numpy(ComposeTransform(PREPARE).batch(images))
    prepared = torch.utils.data.TensorDataset(tensors, torch.from_numpy(labels))
    augmented = ComposeTransform([RandomCrop(4), RandomHorizontalFlip(), Cutout(8), *PREPARE])

    def ours(transform: Any) -> DataLoader:
        return DataLoader(ArrayDataset(images, labels, transform), BATCH, shuffle=True)

    programs: dict[str, Callable[[], Any]] = {
        "ours": epoch(ours(ComposeTransform(PREPARE))),
        "ours with flips": epoch(ours(ComposeTransform([RandomHorizontalFlip(), *PREPARE]))),
        "ours with crops, flips and cutout": epoch(ours(augmented)),
        "torch DataLoader, 0 workers, normalised beforehand": epoch(
            torch.utils.data.DataLoader(prepared, BATCH, shuffle=True, num_workers=0)
        ),
        "sample by sample": epoch(sample_by_sample(images, labels)),
        "sample by sample with flips": epoch(sample_by_sample(images, labels, flip=True)),
    }
    taken = in_turn(programs, rounds)
    batches = -(-len(labels) // BATCH)
    show(f"An epoch over {len(labels):,} images in memory", taken, batches, "per batch", "ours")
    ratio = statistics.median(
        ours / theirs
        for ours, theirs in zip(taken["ours with flips"], taken["sample by sample with flips"], strict=True)
    )
    print(f"with flips on both sides: {ratio:.3f} of sample by sample")


def bench_files(images: NDArray, labels: NDArray, rounds: int) -> None:
    """From PNG files: our first epoch decodes and writes the cache, later programs map it."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "images"
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = root / f"class{label}" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
        files = sorted(root.glob("*/*"))
        slow = sample_by_sample(files, np.zeros(len(files), np.int64))

        def ours() -> None:
            cache._read_once.cache_clear()  # as a program that has just started
            dataset = ImageFolderDataset(ComposeTransform(PREPARE), split={"train": 1.0}, root=root)
            epoch(DataLoader(dataset, BATCH, shuffle=True))()

        def ours_first() -> None:
            os.environ["DATASETS_CACHE"] = tempfile.mkdtemp(dir=folder)  # later rounds of `ours` read this one
            ours()

        taken = in_turn(
            {
                "ours, nothing decoded yet": ours_first,
                "ours, decoded by an earlier program": ours,
                "sample by sample": epoch(slow),
            },
            rounds,
        )
        cache._read_once.cache_clear()
    show(
        f"An epoch over {len(labels):,} PNG files, data set opened anew",
        taken,
        1,
        "per epoch",
        "ours, decoded by an earlier program",
    )
    ratio = statistics.median(
        ours / theirs
        for ours, theirs in zip(taken["ours, nothing decoded yet"], taken["sample by sample"], strict=True)
    )
    print(f"first epoch, decoding and writing the cache included: {ratio:.2f} of sample by sample")


MEMORY = """
import gc, sys
sys.path.insert(0, sys.argv[2])
from benchmarks.bench_data import *
def kilobytes(key):
    return int(next(line for line in open("/proc/self/status") if line.startswith(key)).split()[1])
import exercise_code.data.cache
before = kilobytes("VmRSS")
dataset = ImageFolderDataset(ComposeTransform([RandomHorizontalFlip(), *PREPARE]), split={"train": 1.0}, root=sys.argv[1])
opened = kilobytes("VmHWM")
epoch(DataLoader(dataset, BATCH, shuffle=True))()
gc.collect()
size = dataset.images.nbytes / 1024
print((kilobytes("VmRSS") - before) / size, (opened - before) / size, size / 1024)
"""


def bench_memory(root: Path) -> None:
    if not Path("/proc/self/status").exists():
        print("\nMemory is measured on Linux only.")
        return
    top = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, root, top], capture_output=True, text=True, check=True, cwd=top
    )
    resident, peak, size = map(float, done.stdout.split())
    print(f"\nMemory of {root.name}, {size:.0f} MiB as uint8, beyond the program without data")
    print(f"resident after an epoch {resident:.2f} times that, highest while opening {peak:.2f} times")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer images and rounds: about twenty seconds")
    quick = parser.parse_args().quick
    rounds = 3 if quick else 7
    try:
        root = locate("cifar10")
    except DatasetError:
        root = None
    if root is not None:
        images, labels, _ = cache.read_images(root)
    else:
        rng = np.random.default_rng(0)
        images = rng.integers(256, size=(50_000, 32, 32, 3), dtype=np.uint8)
        labels = rng.integers(10, size=len(images))
    some = 10_000 if quick else len(images)
    print(f"{'CIFAR-10' if root else 'noise'}, NumPy {np.__version__}, Python {sys.version.split()[0]}, one thread")
    bench_steps(images, rounds)
    bench_epochs(images[:some], labels[:some], rounds)
    bench_files(images[: 1000 if quick else 5000], labels[: 1000 if quick else 5000], rounds)
    if root is not None:
        bench_memory(root)


if __name__ == "__main__":
    main()
