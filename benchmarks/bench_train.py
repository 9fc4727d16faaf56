"""Time per training epoch, side by side in one run: our Solver against torch and against the textbook way.

    python benchmarks/bench_train.py [--images 20000] [--rounds 7] [--threads 2] [--hidden 100 512] [--cpu] [--quick]

Every side runs in a process of its own with its threads pinned, and the parent lets one side at a time work, in turns
A B C A B C ...; the figure is the median over rounds of the ratio ours / theirs.  Same network (3072-H-10, ReLU), batch 256, Adam, float32
pixels made from the same uint8 images; one epoch includes the loader.  `--cpu` counts CPU time instead of time on the clock, on
one thread: other programs on the machine disturb that less.

- torch in memory: images normalised once and kept as floats, batches by index, eager mode, fused Adam
- torch DataLoader: the same tensors through torch.utils.data.DataLoader without workers
- floor: the four large matrix products of a step, fetching a batch of shuffled uint8 images and making it float32 (two
  passes), and one pass over the seven arrays of Adam
- one by one: `benchmarks.per_sample`.  "with validation" adds a pass over a third as many images for validation on both
  sides, which is what the exercise's split of 60, 20 and 20 % makes of an epoch
- PNG files: ours decodes a folder once and maps the pixels afterwards; one by one decodes in every epoch.  The first
  epoch opens the folder, decodes it, writes the cache and trains

The last column is how near to a side the floor alone would be, by the same arithmetic: no NumPy program can get a lower
ratio on that machine.  (The floor has no validation in it.)
"""

import argparse
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, the repository is not on the path

BATCH = 256
CLASSES = 10
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of CIFAR-10's channels
VALIDATION = 3  # a validation image for so many training images


def images(count: int) -> tuple[Any, Any]:
    """uint8 (N, 32, 32, 3) and int64 (N,): time does not depend on what is in the picture."""
    import numpy as np

    rng = np.random.default_rng(0)
    return rng.integers(256, size=(count, 32, 32, 3), dtype=np.uint8), rng.integers(CLASSES, size=count)


def _solver(train: Any, val: Any, hidden: int) -> Any:
    from exercise_code.data import DataLoader
    from exercise_code.networks import ClassificationNet
    from exercise_code.networks.layer import Relu
    from exercise_code.solver import Solver

    net = ClassificationNet(Relu(), 2, hidden_size=hidden, std="he")
    return Solver(net, DataLoader(train, BATCH, shuffle=True), DataLoader(val, BATCH), verbose=False)


def _chain() -> Any:
    from exercise_code.data import ComposeTransform, FlattenTransform, NormalizeTransform, RescaleTransform

    return ComposeTransform([RescaleTransform(), NormalizeTransform(MEAN, STD), FlattenTransform()])


def _our_images(count: int) -> Any:
    from exercise_code.data import ArrayDataset

    return ArrayDataset(*images(count), _chain())


def ours(count: int, hidden: int, root: Path) -> Callable[[], float]:
    return _solver(_our_images(count), _our_images(BATCH), hidden)._train_epoch


def ours_with_validation(count: int, hidden: int, root: Path) -> Callable[[], None]:
    solver = _solver(_our_images(count), _our_images(count // VALIDATION), hidden)
    return lambda: solver.train(epochs=1)


def _our_folder(root: Path) -> Any:
    from exercise_code.data import ImageFolderDataset

    return ImageFolderDataset(_chain(), split={"train": 1.0}, root=root)


def ours_files(count: int, hidden: int, root: Path) -> Callable[[], float]:
    os.environ["DATASETS_CACHE"] = str(root.parent / "cache")
    return _solver(_our_folder(root), _our_images(BATCH), hidden)._train_epoch


def ours_first(count: int, hidden: int, root: Path) -> Callable[[], float]:
    from exercise_code.data import cache

    empty = root.parent / "first"
    os.environ["DATASETS_CACHE"] = str(empty)

    def epoch() -> float:
        cache._read_once.cache_clear()  # as a program that has just started
        shutil.rmtree(empty, ignore_errors=True)
        return _solver(_our_folder(root), _our_images(BATCH), hidden)._train_epoch()

    return epoch


def _torch_net(hidden: int) -> tuple[Any, Any, Any]:
    import torch

    net = torch.nn.Sequential(torch.nn.Linear(3072, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, CLASSES))
    return net, torch.optim.Adam(net.parameters(), lr=1e-3, fused=True), torch.nn.CrossEntropyLoss()


def _torch_epoch(hidden: int, batches: Callable[[], Iterator[tuple[Any, Any]]]) -> Callable[[], float]:
    net, optimizer, loss_func = _torch_net(hidden)

    def epoch() -> float:
        losses = []
        for x, y in batches():
            optimizer.zero_grad()
            loss = loss_func(net(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return statistics.fmean(losses)

    return epoch


def _torch_tensors(count: int) -> tuple[Any, Any]:
    import torch

    pixels, labels = images(count)
    tensors = (torch.from_numpy(pixels).float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    return tensors.reshape(count, -1), torch.from_numpy(labels)


def torch_in_memory(count: int, hidden: int, root: Path) -> Callable[[], float]:
    import torch

    x, y = _torch_tensors(count)

    def batches() -> Iterator[tuple[Any, Any]]:
        order = torch.randperm(count)
        for start in range(0, count, BATCH):
            chosen = order[start : start + BATCH]
            yield x[chosen], y[chosen]

    return _torch_epoch(hidden, batches)


def torch_dataloader(count: int, hidden: int, root: Path) -> Callable[[], float]:
    from torch.utils.data import DataLoader, TensorDataset

    loader = DataLoader(TensorDataset(*_torch_tensors(count)), batch_size=BATCH, shuffle=True)
    return _torch_epoch(hidden, lambda: iter(loader))


def write_pngs(count: int, root: Path) -> None:
    """The images as PNG files, a folder per class."""
    from PIL import Image

    for i, (image, label) in enumerate(zip(*images(count), strict=True)):
        path = root / f"class{label}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)


def _per_sample(train_images: Any, train_labels: Any, hidden: int, validation: bool = False) -> Callable[[], float]:
    from benchmarks.per_sample import Flatten, Images, Loader, Net, Normalize, Rescale, Training

    transforms = [Rescale(), Normalize(MEAN, STD), Flatten()]
    pixels, labels = images(len(train_labels) // VALIDATION)
    return Training(
        Net(hidden, CLASSES),
        Loader(Images(train_images, train_labels, transforms), BATCH, shuffle=True),
        Loader(Images(pixels, labels, transforms), BATCH, shuffle=False) if validation else None,
    ).epoch


def per_sample(count: int, hidden: int, root: Path) -> Callable[[], float]:
    return _per_sample(*images(count), hidden)


def per_sample_with_validation(count: int, hidden: int, root: Path) -> Callable[[], float]:
    return _per_sample(*images(count), hidden, validation=True)


def per_sample_files(count: int, hidden: int, root: Path) -> Callable[[], float]:
    files = sorted(root.glob("*/*"))
    return _per_sample(files, [int(path.parent.name[-1]) for path in files], hidden)


def floor(count: int, hidden: int, root: Path) -> Callable[[], float]:
    import numpy as np

    pixels = images(count)[0].reshape(count, 3072)
    rng, x = np.random.default_rng(0), np.empty((BATCH, 3072), np.float32)
    w1, w2 = np.ones((3072, hidden), np.float32), np.ones((hidden, CLASSES), np.float32)
    h, d = np.ones((BATCH, hidden), np.float32), np.ones((BATCH, CLASSES), np.float32)
    dw1, out = np.empty_like(w1), np.empty((BATCH, hidden), np.float32)
    adam = [np.ones_like(w1) for _ in range(4)]

    def epoch() -> float:
        order = rng.permutation(count)
        for step in range(-(-count // BATCH)):
            chosen = pixels[order[step * BATCH : (step + 1) * BATCH]]
            np.copyto(x[: len(chosen)], chosen)
            np.matmul(x, w1, out=out)
            np.matmul(h, w2, out=d)
            np.matmul(x.T, h, out=dw1)
            _ = h.T @ d, d @ w2.T
            np.copyto(adam[0], adam[1])  # three copies move six of the seven arrays
            np.copyto(adam[2], adam[3])
            np.copyto(adam[1], dw1)
        return 0.0

    return epoch


# name -> (what makes its epoch, the side of ours that it is compared with)
SIDES: dict[str, tuple[Callable[..., Any], str]] = {
    "ours": (ours, "ours"),
    "torch in memory": (torch_in_memory, "ours"),
    "torch DataLoader": (torch_dataloader, "ours"),
    "floor": (floor, "ours"),
    "one by one": (per_sample, "ours"),
    "ours, with validation": (ours_with_validation, "ours, with validation"),
    "one by one, with validation": (per_sample_with_validation, "ours, with validation"),
    "ours, PNG files": (ours_files, "ours, PNG files"),
    "ours, PNG files, first": (ours_first, "ours, PNG files, first"),
    "one by one, PNG files": (per_sample_files, "ours, PNG files"),
}
FIRST = ("ours, PNG files, first", "one by one, PNG files")


def _libraries() -> str:
    """The matrix libraries that this process has loaded, their kernels and threads."""
    from threadpoolctl import threadpool_info

    used = [library for library in threadpool_info() if library["user_api"] == "blas"]
    named = [
        f"{library['internal_api']} {library['version']} {library.get('architecture') or ''} x {library['num_threads']}"
        for library in used
    ]
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        named.append(f"torch {torch.__version__} {torch.backends.cpu.get_cpu_capability()} x {torch.get_num_threads()}")
    return ", ".join(named)


def _work(pipe: Any, side: str, count: int, hidden: int, threads: int, root: Path, cpu: bool) -> None:
    clock = time.process_time if cpu else time.perf_counter
    if side.startswith("torch"):
        import torch

        torch.set_num_threads(threads)
    epoch = SIDES[side][0](count, hidden, root)
    epoch()  # warm
    pipe.send(_libraries())
    while pipe.recv() == "go":
        started = clock()
        epoch()
        pipe.send(clock() - started)


def measure(
    count: int, hidden: int, rounds: int, threads: int, root: Path, cpu: bool = False
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Seconds per epoch of every side, by round, and the libraries that each side runs on."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # a side that waits must not spin on the other's cores
    context = multiprocessing.get_context("spawn")
    workers, libraries = {}, {}
    for side in SIDES:
        mine, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, side, count, hidden, threads, root, cpu), daemon=True)
        process.start()
        theirs.close()  # so that a side that fails ends the run instead of leaving it waiting
        libraries[side] = mine.recv()
        workers[side] = (process, mine)
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side, (_, pipe) in workers.items():
            time.sleep(0.2)  # the last side's BLAS threads spin for a while before they sleep
            pipe.send("go")
            seconds[side].append(pipe.recv())
    for process, pipe in workers.values():
        pipe.send("stop")
        process.join(10)
    return seconds, libraries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--hidden", type=int, nargs="+", default=[100, 512])
    parser.add_argument("--cpu", action="store_true", help="CPU time, on one thread")
    parser.add_argument("--quick", action="store_true", help="4,000 images, three rounds")
    options = parser.parse_args()
    count, rounds = (4000, 3) if options.quick else (options.images, options.rounds)
    threads = 1 if options.cpu else options.threads
    clock = "CPU seconds" if options.cpu else "seconds"
    print(f"{count:,} images per epoch, batch {BATCH}, {threads} threads, {rounds} rounds, {clock}")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "images"
        write_pngs(count, root)
        for i, hidden in enumerate(options.hidden):
            seconds, libraries = measure(count, hidden, rounds, threads, root, options.cpu)
            if not i:
                print(f"ours: {libraries['ours']}; torch: {libraries['torch in memory']}")
                print(f"{'hidden':>6}  {'side':<28} {'s / epoch':>9}  {'ours / theirs':>13}  {'floor / theirs':>14}")

            def ratio(mine: str, theirs: str, seconds: dict[str, list[float]] = seconds) -> float:
                return statistics.median(a / b for a, b in zip(seconds[mine], seconds[theirs], strict=True))

            for side, times in seconds.items():
                shares = f"{ratio(SIDES[side][1], side):>13.3f}  {ratio('floor', side):>14.3f}"
                print(f"{hidden:>6}  {side:<28} {statistics.median(times):>9.3f}  {shares}")
            print(f"{hidden:>6}  {'first epoch from files':<28} {'':>9}  {ratio(*FIRST):>13.3f}")


if __name__ == "__main__":
    main()
