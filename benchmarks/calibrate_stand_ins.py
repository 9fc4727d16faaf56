"""Measure how hard the stand-ins are: train a few models on each and print a table of accuracies.

    python benchmarks/calibrate_stand_ins.py [--data cifar10 mnist beans] [--quick] [--runs 3] [--threads 1]

Every run trains with Adam on 80 % of the default training images, keeps the epoch that is best on the other 20 % and
tests it on fresh images.  The full table takes about six minutes on one core; `--quick` keeps the three models of each
data set that the difficulty is calibrated on and takes about two.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, the repository is not on the path

import torch
from torch import nn

from exercise_code.data import synthetic

Split = tuple[torch.Tensor, torch.Tensor]  # images (N, C, H, W) float32, labels (N,) int64
TEST_IMAGES = {"cifar10": 5_000, "mnist": 5_000, "beans": 900}


@dataclass(frozen=True)
class Data:
    """Images normalised by channel with the training part's mean and standard deviation."""

    train: Split
    validation: Split
    test: Split


@dataclass(frozen=True)
class Recipe:
    """How to train one model."""

    label: str
    build: Callable[[], nn.Module]
    epochs: int
    learning_rate: float = 1e-3
    batch: int = 128
    weight_decay: float = 0.0
    flip: bool = False
    images: int | None = None  # of the training part, validation included; None: all
    core: bool = False  # one of the three models that the difficulty is calibrated on


@dataclass(frozen=True)
class Result:
    """Accuracies in percent of the best epoch on the validation images (train: of the last), and seconds."""

    train: float
    validation: float
    test: float
    best_epoch: float
    seconds: float


def fully_connected(
    inputs: int, hidden: Sequence[int], classes: int, activation: type[nn.Module] = nn.ReLU
) -> nn.Module:
    """Linear layers with an activation between them; no hidden layer: a linear softmax model."""
    layers: list[nn.Module] = [nn.Flatten()]
    for width in hidden:
        layers += [nn.Linear(inputs, width), activation()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, classes))


def convolutional(channels: int, side: int, widths: Sequence[int], classes: int) -> nn.Module:
    """3x3 convolutions, each followed by ReLU and 2x2 pooling, then one linear layer."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        channels, side = width, side // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * side**2, classes))


def pooled_convolutional(widths: Sequence[int], classes: int) -> nn.Module:
    """As `convolutional`, with batch norm and a mean over places: for few images and marks that lie anywhere."""
    layers: list[nn.Module] = []
    channels = 3
    for width in widths:
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


RECIPES: dict[str, tuple[Recipe, ...]] = {
    "cifar10": (
        Recipe("linear", lambda: fully_connected(3072, (), 10), epochs=8, learning_rate=3e-4, core=True),
        Recipe("course net 200-100", lambda: fully_connected(3072, (200, 100), 10), epochs=12, core=True),
        Recipe("small CNN 16-32-64", lambda: convolutional(3, 32, (16, 32, 64), 10), 10, 2e-3, core=True),
        Recipe("course net, lr 1e-2", lambda: fully_connected(3072, (200, 100), 10), 12, 1e-2),
        Recipe("course net, lr 3e-4", lambda: fully_connected(3072, (200, 100), 10), 15, 3e-4),
        Recipe("course net, lr 1e-4", lambda: fully_connected(3072, (200, 100), 10), 12, 1e-4),
        Recipe("course net, lr 1e-5", lambda: fully_connected(3072, (200, 100), 10), 12, 1e-5),
        Recipe("course net, 2 epochs", lambda: fully_connected(3072, (200, 100), 10), 2),
        Recipe("course net, sigmoid", lambda: fully_connected(3072, (200, 100), 10, nn.Sigmoid), 12),
        Recipe("course net, 2,000 images", lambda: fully_connected(3072, (200, 100), 10), 15, images=2_000),
        Recipe("course net, flips", lambda: fully_connected(3072, (200, 100), 10), 15, flip=True),
        Recipe("512-256, flips", lambda: fully_connected(3072, (512, 256), 10), 25, 5e-4, weight_decay=1e-4, flip=True),
    ),
    "mnist": (
        Recipe("linear", lambda: fully_connected(784, (), 10), epochs=10, core=True),
        Recipe("784-50-10", lambda: fully_connected(784, (50,), 10), epochs=20, batch=64, core=True),
        Recipe("small CNN 16-32", lambda: convolutional(1, 28, (16, 32), 10), epochs=8, learning_rate=2e-3, core=True),
    ),
    "beans": (
        Recipe("linear, 32 px", lambda: fully_connected(3072, (), 3), 10, 3e-4, batch=32, core=True),
        Recipe("100 units, 32 px", lambda: fully_connected(3072, (100,), 3), 10, 3e-4, batch=32, core=True),
        Recipe(
            "small CNN 16-32-64, 32 px", lambda: pooled_convolutional((16, 32, 64), 3), 15, 2e-3, batch=32, core=True
        ),
    ),
}


def load(name: str) -> Data:
    """Draw a stand-in; beans are scaled from 128 to 32 pixels by averaging."""
    parts: list[Split] = []
    for part, count in (("train", None), ("test", TEST_IMAGES[name])):
        images, numbers, _ = synthetic.make(name, part, n=count)
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255  # (N, C, H, W)
        if name == "beans":
            pixels = nn.functional.avg_pool2d(pixels, 4)
        parts.append((pixels, torch.from_numpy(numbers)))
    (pixels, labels), (test_pixels, test_labels) = parts
    mean, std = pixels.mean((0, 2, 3), keepdim=True), pixels.std((0, 2, 3), keepdim=True)
    pixels, test_pixels = (pixels - mean) / std, (test_pixels - mean) / std
    cut = len(labels) * 4 // 5
    return Data((pixels[:cut], labels[:cut]), (pixels[cut:], labels[cut:]), (test_pixels, test_labels))


def train(recipe: Recipe, data: Data, seed: int = 0) -> Result:
    """Train one model from one seed, without touching torch's global random state."""
    started = time.perf_counter()
    (x, y), validation = data.train, data.validation
    if recipe.images is not None:
        x, y = x[: recipe.images * 4 // 5], y[: recipe.images * 4 // 5]
        validation = (validation[0][: recipe.images // 5], validation[1][: recipe.images // 5])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = recipe.build()
        adam = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        best = (0.0, 0.0, 0.0)
        for epoch in range(1, recipe.epochs + 1):
            model.train()
            for chosen in torch.randperm(len(x)).split(recipe.batch):
                images = x[chosen]
                if recipe.flip:
                    mirrored = torch.rand(len(chosen)) < 0.5
                    images[mirrored] = images[mirrored].flip(-1)
                adam.zero_grad()
                nn.functional.cross_entropy(model(images), y[chosen]).backward()
                adam.step()
            accuracy = percent_right(model, validation)
            if accuracy > best[0]:
                best = (accuracy, percent_right(model, data.test), float(epoch))
        return Result(percent_right(model, (x, y)), *best, time.perf_counter() - started)


@torch.no_grad()
def percent_right(model: nn.Module, split: Split) -> float:
    """Accuracy in percent."""
    model.eval()
    guesses = torch.cat([model(images).argmax(1) for images in split[0].split(1000)])
    return 100 * (guesses == split[1]).float().mean().item()


def core_recipes(name: str) -> tuple[Recipe, ...]:
    """The linear model, the fully connected net and the CNN that a stand-in is calibrated on, in that order."""
    return tuple(recipe for recipe in RECIPES[name] if recipe.core)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure how hard the stand-ins are.")
    parser.add_argument("--data", nargs="+", choices=tuple(RECIPES), default=tuple(RECIPES))
    parser.add_argument("--quick", action="store_true", help="only the three models the difficulty is calibrated on")
    parser.add_argument("--runs", type=int, default=1, help="seeds per model; the table shows means")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    args = parser.parse_args(argv)
    if args.runs < 1 or args.threads < 1:
        parser.error("--runs and --threads: expected at least 1")
    torch.set_num_threads(args.threads)
    for name in args.data:
        data = load(name)
        sizes = ", ".join(f"{len(split[1])} {part}" for part, split in vars(data).items())
        print(f"\n{name} stand-in: {sizes}\n{'':28}  test  valid. train  best epoch   s/run")
        for recipe in core_recipes(name) if args.quick else RECIPES[name]:
            results = [train(recipe, data, seed) for seed in range(args.runs)]
            mean = Result(*(statistics.fmean(values) for values in zip(*map(astuple, results), strict=True)))
            print(
                f"{recipe.label:28} {mean.test:5.1f}  {mean.validation:5.1f}  {mean.train:5.1f}"
                f"  {mean.best_epoch:10.0f} {mean.seconds:7.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
