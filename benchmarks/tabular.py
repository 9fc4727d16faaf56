"""Train the course's network with many configurations and keep every epoch: tables on which searchers can be compared in seconds.

    DATASETS_DIR=/path python benchmarks/tabular.py [--only cifar10_random ...]

`*_random`: 81 random configurations for 81 epochs; `*_architectures`: every combination of a grid of architectures for a few
epochs.  One CSV per table in benchmarks/tabular/, a row per run with its validation losses and accuracies by epoch.  A table
grows row by row, so a stopped script goes on where it was; a finished one is left alone.  One core needs about 20 minutes.
"""

import argparse
import csv
import itertools
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, the repository is not on the path

import numpy as np

FOLDER = Path(__file__).with_name("tabular")
ARCHITECTURES: dict[str, list[Any]] = {
    "num_layer": [1, 2, 3, 4],
    "hidden_size": [16, 32, 64, 128],
    "activation": ["Sigmoid", "Tanh", "Relu", "LeakyRelu"],
    "batch_norm": [False, True],
    "dropout": [0.0, 0.3],
    "learning_rate": [3e-4, 3e-3],
}


@dataclass(frozen=True)
class TableSpec:
    """What a table is made of: the first `train` images train, the next `validation` ones judge."""

    dataset: str
    train: int
    validation: int
    epochs: int
    kind: str  # "random" or "architectures"


SPECS = {
    "cifar10_random": TableSpec("cifar10", 4000, 2000, 81, "random"),
    "mnist_random": TableSpec("mnist", 2000, 4000, 81, "random"),
    "mnist_architectures": TableSpec("mnist", 2000, 4000, 12, "architectures"),
    "cifar10_architectures": TableSpec("cifar10", 2000, 2000, 12, "architectures"),
}


@dataclass(frozen=True)
class Table:
    """configs: one dict per run; losses and accuracies: (runs, epochs) float, inf and nan after a run has diverged."""

    configs: list[dict[str, Any]]
    losses: np.ndarray
    accuracies: np.ndarray

    def best_errors(self) -> np.ndarray:
        """Lowest validation error (1 - accuracy) up to each epoch, (runs, epochs); 1 for a run that diverged at once."""
        errors = np.where(np.isfinite(self.accuracies), 1 - self.accuracies, 1.0)
        return np.minimum.accumulate(errors, axis=1)


def random_configs(count: int) -> list[dict[str, Any]]:
    """Configurations of the random tables; ranges are as wide as a first guess would be, so some runs learn nothing."""
    rng = np.random.default_rng(2026)
    return [
        {
            "learning_rate": float(10 ** rng.uniform(-4.5, -0.5)),
            "optimizer": ["Adam", "SGDMomentum"][rng.integers(2)],
            "lr_decay": float(rng.uniform(0.9, 1.0)),
            "batch_size": [32, 64, 128, 256][rng.integers(4)],
            "num_layer": int(rng.integers(2, 4, endpoint=True)),
            "hidden_size": int(round(2 ** rng.uniform(4, 7))),
            "activation": ["Sigmoid", "Tanh", "Relu"][rng.integers(3)],
            "batch_norm": bool(rng.integers(2)),
            "dropout": float(rng.uniform(0.0, 0.5)),
            "reg": float(10 ** rng.uniform(-6, -2)),
        }
        for _ in range(count)
    ]


def configs_of(spec: TableSpec) -> list[dict[str, Any]]:
    """Every configuration of a table, in the order of its rows."""
    if spec.kind == "random":
        return random_configs(81)
    return [dict(zip(ARCHITECTURES, row, strict=True)) for row in itertools.product(*ARCHITECTURES.values())]


def arrays(spec: TableSpec) -> tuple[Any, Any]:
    """Training and validation part as (images (N, D) float32, labels (N,)), normalised by the training part's mean and std."""
    from exercise_code.data.readers import read_folder
    from exercise_code.data.registry import fetch

    images, labels, _ = read_folder(fetch(spec.dataset), limit=spec.train + spec.validation)
    flat = images.reshape(len(images), -1).astype(np.float32)
    flat = (flat - flat[: spec.train].mean()) / flat[: spec.train].std()
    cut = spec.train
    return (flat[:cut], labels[:cut]), (flat[cut:], labels[cut:])


def run(
    config: Mapping[str, Any], seed: Sequence[int], train: Any, validation: Any, epochs: int
) -> tuple[list[float], list[float]]:
    """Validation loss and accuracy after each epoch; shorter lists when the run diverges."""
    from exercise_code.callbacks import Callback
    from exercise_code.data import ArrayDataset, DataLoader
    from exercise_code.networks import ClassificationNet, layer, optimizer
    from exercise_code.solver import Solver

    class Accuracy(Callback):
        def epoch_end(self, solver: Any) -> None:
            accuracies.append(solver.get_dataset_accuracy(solver.val_dataloader))

    accuracies: list[float] = []
    weights, order = np.random.default_rng(list(seed)).spawn(2)
    net = ClassificationNet(
        getattr(layer, config["activation"])(),
        config["num_layer"],
        train[0].shape[1],
        config["hidden_size"],
        "he",
        reg=config.get("reg", 0.0),
        batch_norm=config["batch_norm"],
        dropout=config["dropout"],
        rng=weights,
    )
    solver = Solver(
        net,
        DataLoader(ArrayDataset(*train), config.get("batch_size", 64), shuffle=True, drop_last=True, rng=order),
        DataLoader(ArrayDataset(*validation), 2000),
        learning_rate=config["learning_rate"],
        optimizer=getattr(optimizer, config.get("optimizer", "Adam")),
        lr_decay=config.get("lr_decay", 1.0),
        callbacks=[Accuracy()],
        verbose=False,
    )
    solver.train(epochs)
    return solver.val_loss_history, accuracies


def columns(spec: TableSpec) -> list[str]:
    """Header of a table: run, the settings, then loss and accuracy of every epoch."""
    numbers = range(1, spec.epochs + 1)
    return ["run", *configs_of(spec)[0], *(f"loss_{i}" for i in numbers), *(f"accuracy_{i}" for i in numbers)]


def grow(name: str) -> None:
    """Train what the table does not hold yet, and append it."""
    from tqdm.auto import tqdm

    spec, path = SPECS[name], FOLDER / f"{name}.csv"
    configs, header = configs_of(spec), columns(SPECS[name])
    rows = _whole_rows(path, header)
    if len(rows) == len(configs):
        return
    train, validation = arrays(spec)
    with path.open("w", newline="") as file:  # drops a half-written last row
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([header, *rows])
        file.flush()
        remaining = range(len(rows), len(configs))
        for i in tqdm(remaining, initial=len(rows), total=len(configs), desc=name, unit="run", mininterval=10):
            losses, accuracies = run(configs[i], (7, i), train, validation, spec.epochs)
            writer.writerow([i, *configs[i].values(), *_padded(losses, spec), *_padded(accuracies, spec)])
            file.flush()


def _whole_rows(path: Path, header: list[str]) -> list[list[str]]:
    if not path.exists():
        return []
    text = path.read_text()
    rows = list(csv.reader(text[: text.rfind("\n") + 1].splitlines()))
    if not rows or rows[0] != header:
        raise SystemExit(f"error: {path} has other columns than this script writes: remove it to make it anew")
    return [row for row in rows[1:] if len(row) == len(header)]


def _padded(values: Sequence[float], spec: TableSpec) -> list[str]:
    """Four decimals; empty cells for a loss that is not finite and for epochs after the divergence."""
    cells = [f"{value:.4f}" if math.isfinite(value) else "" for value in values]
    return cells + [""] * (spec.epochs - len(cells))


def load(name: str) -> Table:
    """Read a finished table.

    Raises:
        FileNotFoundError: it has not been made.
    """
    spec = SPECS[name]
    configs, header = configs_of(spec), columns(spec)
    rows = _whole_rows(FOLDER / f"{name}.csv", header)
    if len(rows) != len(configs):
        raise FileNotFoundError(
            f"expected {len(configs)} runs in {name}.csv, got {len(rows)}: run benchmarks/tabular.py"
        )
    curves = np.array([[float(cell or "nan") for cell in row[-2 * spec.epochs :]] for row in rows])
    losses, accuracies = curves[:, : spec.epochs], curves[:, spec.epochs :]
    return Table(configs, np.where(np.isnan(losses), np.inf, losses), np.where(np.isnan(losses), np.nan, accuracies))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(SPECS), default=list(SPECS))
    FOLDER.mkdir(exist_ok=True)
    for name in parser.parse_args().only:
        grow(name)


if __name__ == "__main__":
    main()
