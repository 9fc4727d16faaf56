"""Time per training epoch, side by side in one run: our Solver against torch and against the textbook way.

    python benchmarks/bench_train.py [--images 20000] [--rounds 7] [--threads 2] [--quick]

Every side runs in a process of its own with its threads pinned, and the parent lets one side at a time work, in turns
A B C A B C ...; the figure is the median over rounds of the ratio ours / theirs.  Same network (3072-H-10, ReLU), batch 256, Adam, float32
pixels made from the same uint8 images; one epoch includes the loader.

- torch in memory: images normalised once and kept as floats, batches by index, eager mode, fused Adam
- torch DataLoader: the same tensors through torch.utils.data.DataLoader without workers
- textbook: one image at a time through the loader, float64, the gradient of the pixels computed and thrown away
- floor: the four large matrix products of a step, reading the batch and one pass over the seven arrays of Adam
"""

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

BATCH = 256
CLASSES = 10


def images(count: int) -> tuple[Any, Any]:
    """uint8 (N, 32, 32, 3) and int64 (N,): time does not depend on what is in the picture."""
    import numpy as np

    rng = np.random.default_rng(0)
    return rng.integers(256, size=(count, 32, 32, 3), dtype=np.uint8), rng.integers(CLASSES, size=count)


def ours(count: int, hidden: int) -> Callable[[], float]:
    from exercise_code.data import (
        ArrayDataset,
        ComposeTransform,
        DataLoader,
        FlattenTransform,
        NormalizeTransform,
        RescaleTransform,
    )
    from exercise_code.networks import ClassificationNet
    from exercise_code.networks.layer import Relu
    from exercise_code.solver import Solver

    pixels, labels = images(count)
    chain = ComposeTransform([RescaleTransform(), NormalizeTransform(0.5, 0.25), FlattenTransform()])
    train = DataLoader(ArrayDataset(pixels, labels, chain), BATCH, shuffle=True)
    val = DataLoader(ArrayDataset(pixels[:BATCH].copy(), labels[:BATCH], chain), BATCH)
    solver = Solver(ClassificationNet(Relu(), 2, hidden_size=hidden, std="he"), train, val, verbose=False)
    return solver._train_epoch


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
    return ((torch.from_numpy(pixels).float() / 255 - 0.5) / 0.25).reshape(count, -1), torch.from_numpy(labels)


def torch_in_memory(count: int, hidden: int) -> Callable[[], float]:
    import torch

    x, y = _torch_tensors(count)

    def batches() -> Iterator[tuple[Any, Any]]:
        order = torch.randperm(count)
        for start in range(0, count, BATCH):
            chosen = order[start : start + BATCH]
            yield x[chosen], y[chosen]

    return _torch_epoch(hidden, batches)


def torch_dataloader(count: int, hidden: int) -> Callable[[], float]:
    from torch.utils.data import DataLoader, TensorDataset

    loader = DataLoader(TensorDataset(*_torch_tensors(count)), batch_size=BATCH, shuffle=True)
    return _torch_epoch(hidden, lambda: iter(loader))


def textbook(count: int, hidden: int) -> Callable[[], float]:
    import numpy as np

    pixels, labels = images(count)
    rng = np.random.default_rng(0)
    w1, w2 = 0.01 * rng.standard_normal((3072, hidden)), 0.01 * rng.standard_normal((hidden, CLASSES))
    params = [w1, np.zeros(hidden), w2, np.zeros(CLASSES)]
    m, v = [np.zeros_like(w) for w in params], [np.zeros_like(w) for w in params]
    step = 0

    def sample(i: int) -> dict[str, Any]:
        image = pixels[i].astype(np.float64)
        image = image / 255
        image = (image - 0.5) / 0.25
        return {"image": image.reshape(-1), "label": labels[i]}

    def epoch() -> float:
        nonlocal step
        order, losses = rng.permutation(count), []
        for start in range(0, count, BATCH):
            samples = [sample(i) for i in order[start : start + BATCH]]
            x, y = np.array([s["image"] for s in samples]), np.array([s["label"] for s in samples])
            hidden_in = x @ params[0] + params[1]
            h = np.maximum(0, hidden_in)
            logits = h @ params[2] + params[3]
            e = np.exp(logits - logits.max(axis=1, keepdims=True))
            p = e / e.sum(axis=1, keepdims=True)
            losses.append(float(np.mean(-np.log(p[np.arange(len(y)), y]))))
            d = p.copy()
            d[np.arange(len(y)), y] -= 1
            d /= len(y)
            dh = (d @ params[2].T) * (hidden_in > 0)
            grads = [x.T @ dh, dh.sum(axis=0), h.T @ d, d.sum(axis=0)]
            _ = dh @ params[0].T  # the gradient of the pixels, which nobody needs
            step += 1
            for i, grad in enumerate(grads):
                m[i] = 0.9 * m[i] + 0.1 * grad
                v[i] = 0.999 * v[i] + 0.001 * grad**2
                params[i] = params[i] - 1e-3 * (m[i] / (1 - 0.9**step)) / (np.sqrt(v[i] / (1 - 0.999**step)) + 1e-8)
        return float(np.mean(losses))

    return epoch


def floor(count: int, hidden: int) -> Callable[[], float]:
    import numpy as np

    x = np.random.default_rng(0).standard_normal((BATCH, 3072), dtype=np.float32)
    w1, w2 = np.ones((3072, hidden), np.float32), np.ones((hidden, CLASSES), np.float32)
    h, d, z = np.ones((BATCH, hidden), np.float32), np.ones((BATCH, CLASSES), np.float32), np.empty_like(x)
    dw1, out = np.empty_like(w1), np.empty((BATCH, hidden), np.float32)
    adam = [np.ones_like(w1) for _ in range(4)]

    def epoch() -> float:
        for _ in range(-(-count // BATCH)):
            np.copyto(z, x)
            np.matmul(x, w1, out=out)
            np.matmul(h, w2, out=d)
            np.matmul(x.T, h, out=dw1)
            _ = h.T @ d, d @ w2.T
            np.copyto(adam[0], adam[1])  # three copies move six of the seven arrays
            np.copyto(adam[2], adam[3])
            np.copyto(adam[1], dw1)
        return 0.0

    return epoch


SIDES = {
    "ours": ours,
    "torch in memory": torch_in_memory,
    "torch DataLoader": torch_dataloader,
    "textbook": textbook,
    "floor": floor,
}


def _work(pipe: Any, side: str, count: int, hidden: int, threads: int) -> None:
    if side.startswith("torch"):
        import torch

        torch.set_num_threads(threads)
    epoch = SIDES[side](count, hidden)
    epoch()  # warm
    pipe.send("ready")
    while pipe.recv() == "go":
        started = time.perf_counter()
        epoch()
        pipe.send(time.perf_counter() - started)


def measure(count: int, hidden: int, rounds: int, threads: int) -> dict[str, list[float]]:
    """Seconds per epoch of every side, by round."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # a side that waits must not spin on the other's cores
    context = multiprocessing.get_context("spawn")
    workers = {}
    for side in SIDES:
        mine, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, side, count, hidden, threads), daemon=True)
        process.start()
        mine.recv()
        workers[side] = (process, mine)
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side, (_, pipe) in workers.items():
            pipe.send("go")
            seconds[side].append(pipe.recv())
    for process, pipe in workers.values():
        pipe.send("stop")
        process.join(10)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="4,000 images, three rounds")
    options = parser.parse_args()
    count, rounds = (4000, 3) if options.quick else (options.images, options.rounds)
    print(f"{count:,} images per epoch, batch {BATCH}, {options.threads} threads, {rounds} rounds")
    print(f"{'hidden':>6}  {'side':<18} {'s / epoch':>9}  {'ours / theirs':>13}")
    for hidden in (100, 512):
        seconds = measure(count, hidden, rounds, options.threads)
        for side, times in seconds.items():
            ratio = statistics.median(a / b for a, b in zip(seconds["ours"], times, strict=True))
            print(f"{hidden:>6}  {side:<18} {statistics.median(times):>9.3f}  {ratio:>13.2f}")


if __name__ == "__main__":
    main()
