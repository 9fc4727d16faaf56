"""Accuracy on a held-out fifth of CIFAR-10's training images: the stock network, and one with batch norm and friends.

    DATASETS_DIR=/path python benchmarks/cifar10_accuracy.py [--recipe stock|normalised] [--threads 2]

The first 40,000 images (batches 1 to 4) train, 2,000 of them choose the epoch; the last 10,000 (batch 5) are looked at once.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, the repository is not on the path

HELD_OUT = 10_000
VALIDATION = 2_000


def recipes(steps_per_epoch: int) -> dict[str, dict[str, Any]]:
    """Network, Solver settings, epochs and extra augmentation of each recipe."""
    import functools

    from exercise_code.data import RandomCrop
    from exercise_code.networks import ClassificationNet
    from exercise_code.networks.layer import Relu
    from exercise_code.schedules import OneCycle

    return {
        "stock": {
            "net": functools.partial(ClassificationNet, Relu(), 3, hidden_size=512, std="he", reg=1e-3),
            "solver": {"learning_rate": 4e-4, "lr_decay": 0.88},
            "epochs": 20,
            "batch_size": 128,
            "extra": [],
        },
        "normalised": {
            "net": functools.partial(
                ClassificationNet, Relu(), 3, hidden_size=1024, std="he", batch_norm=True, dropout=0.2
            ),
            "solver": {"learning_rate": 2e-3, "schedule": OneCycle(2e-3, 50 * steps_per_epoch)},
            "epochs": 50,
            "batch_size": 256,
            "extra": [RandomCrop(padding=2)],
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", choices=["stock", "normalised"], action="append")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(options.threads)

    from exercise_code.callbacks import ProgressBar
    from exercise_code.data import (
        ArrayDataset,
        ComposeTransform,
        DataLoader,
        FlattenTransform,
        NormalizeTransform,
        RandomHorizontalFlip,
        RescaleTransform,
        compute_image_mean_and_std,
    )
    from exercise_code.data.readers import read_folder
    from exercise_code.data.registry import fetch
    from exercise_code.solver import Solver

    images, labels, _ = read_folder(fetch("cifar10"))
    cut = len(images) - HELD_OUT
    start = cut - VALIDATION
    mean, std = compute_image_mean_and_std(images[:start])
    prepare = [RescaleTransform(), NormalizeTransform(mean / 255, std / 255), FlattenTransform()]
    plain = ComposeTransform(prepare)

    def loader(part: slice, transform: Any, batch_size: int = 256, **settings: Any) -> DataLoader:
        return DataLoader(ArrayDataset(images[part], labels[part], transform), batch_size, **settings)

    for name in options.recipe or ["stock", "normalised"]:
        recipe = recipes(start // 256)[name]
        chain = ComposeTransform([RandomHorizontalFlip(), *recipe["extra"], *prepare])
        train = loader(slice(0, start), chain, recipe["batch_size"], shuffle=True, drop_last=True)
        val, held_out = loader(slice(start, cut), plain), loader(slice(cut, None), plain)
        solver = Solver(recipe["net"](), train, val, verbose=False, callbacks=[ProgressBar()], **recipe["solver"])
        began = time.perf_counter()
        solver.train(recipe["epochs"])
        seconds = time.perf_counter() - began
        print(
            f"{name}: held-out accuracy {solver.get_dataset_accuracy(held_out):.2%} of {HELD_OUT:,}, "
            f"best epoch {solver.best_model_stats['epoch']} of {recipe['epochs']}, {seconds:.0f} s, {options.threads} threads"
        )


if __name__ == "__main__":
    main()
