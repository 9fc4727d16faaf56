"""Procedural offline stand-ins of CIFAR-10, MNIST and beans: same shapes and class counts, ordered difficulty.

Nothing is downloaded and only NumPy is needed.  The classes are invented (CIFAR-10), drawn (MNIST) or caricatured
(beans): an accuracy on a stand-in says nothing about the real data set.  What the stand-ins keep is the order in which
models and settings come out, so that a search for good ones has something to find.

Test accuracy in percent of the epoch that is best on validation images, mean of three seeds, trained on the default
training images less a fifth for validation (`python benchmarks/calibrate_stand_ins.py --runs 3`, Adam, batch 128
unless it says otherwise, learning rate 1e-3 unless it says otherwise, no weight decay):

    cifar10   linear softmax, lr 3e-4, 8 epochs              35
              200-100 ReLU, 12 epochs                        50   (training images 91: it overfits)
              the same, lr 3e-4 / 1e-4 / 1e-5 / 1e-2         52 / 51 / 31 / 19
              the same, 2 epochs / sigmoid / 2,000 images    44 / 37 / 37
              the same, 15 epochs with horizontal flips      55
              512-256 ReLU, lr 5e-4, flips, weight decay     56
              CNN 16-32-64, lr 2e-3, 10 epochs               67
    mnist     linear softmax, 10 epochs                      87
              784-50-10 ReLU, batch 64, 20 epochs            95
              CNN 16-32, lr 2e-3, 8 epochs                   99
    beans     linear softmax, 32 px, lr 3e-4, batch 32       50
              100 ReLU units, 32 px, lr 3e-4, batch 32       50
              CNN 16-32-64, 32 px, lr 2e-3, batch 32         87

Another seed moves these by about a point, the CNNs and beans by about two.  A pass mark belongs to a number of images:
with 40,000 cifar10 training images the 200-100 net reaches 61.

    python -m exercise_code.data.synthetic cifar10 --n 10000 --out folder    # in the official file layout
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exercise_code.data import synthetic_digits, synthetic_leaves, synthetic_shapes
from exercise_code.data.errors import CommandLine, DatasetError, exit_code

Draw = Callable[[np.random.Generator, NDArray], NDArray]

PARTS = ("train", "test")
MAX_SEED = 2**32 - 1


@dataclass(frozen=True)
class StandIn:
    """How to draw one stand-in: `chunk` images at a time, a multiple of the number of classes; sizes by part."""

    classes: tuple[str, ...]
    shape: tuple[int, int, int]  # height, width, channels
    draw: Draw
    chunk: int
    stream: int  # keeps the random numbers of the data sets apart
    sizes: dict[str, int]


STAND_INS = {
    "cifar10": StandIn(
        classes=synthetic_shapes.CLASS_NAMES,
        shape=synthetic_shapes.SHAPE,
        draw=synthetic_shapes.draw,
        chunk=250,
        stream=1,
        sizes={"train": 10_000, "test": 2_000},
    ),
    "mnist": StandIn(
        classes=synthetic_digits.CLASS_NAMES,
        shape=synthetic_digits.SHAPE,
        draw=synthetic_digits.draw,
        chunk=250,
        stream=2,
        sizes={"train": 10_000, "test": 2_000},
    ),
    "beans": StandIn(
        classes=synthetic_leaves.CLASS_NAMES,
        shape=synthetic_leaves.SHAPE,
        draw=synthetic_leaves.draw,
        chunk=30,
        stream=3,
        sizes={"train": 1_034, "test": 128},
    ),
}


def make(
    name: str, part: str = "train", n: int | None = None, seed: int | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...]]:
    """Draw a stand-in.

    The same arguments give the same bytes; the first k images of a larger n are those of n = k; other seeds and the
    other part give other images of the same classes.  Class counts differ by at most one, in random order.

    Args:
        name: a key of STAND_INS.
        part: "train" or "test".
        n: number of images, at least 1; by default the size in STAND_INS.
        seed: 0..2**32 - 1; by default the part's own.

    Returns:
        images (N, H, W, C) uint8, labels (N,) int64, class names.

    Raises:
        DatasetError: an unknown name or part, or a number out of range.

    >>> images, labels, classes = make("mnist", n=20)
    >>> images.shape, images.dtype.name, sorted(labels.tolist())[:4], len(classes)
    ((20, 28, 28, 1), 'uint8', [0, 0, 1, 1], 10)
    """
    for what, given, known in (("name", name, tuple(STAND_INS)), ("part", part, PARTS)):
        if given not in known:
            raise DatasetError(f"stand-in {what}: expected one of {', '.join(known)}, got {given!r}.")
    stand_in = STAND_INS[name]
    count = _whole("n", stand_in.sizes[part] if n is None else n, 1, sys.maxsize)
    seed = _whole("seed", PARTS.index(part) if seed is None else seed, 0, MAX_SEED)

    images = np.empty((count, *stand_in.shape), np.uint8)
    labels = np.empty(count, np.int64)
    each_class_once = np.tile(np.arange(len(stand_in.classes)), (stand_in.chunk // len(stand_in.classes), 1))
    for start in range(0, count, stand_in.chunk):
        stop = min(start + stand_in.chunk, count)
        rng = np.random.default_rng([stand_in.stream, PARTS.index(part), seed, start // stand_in.chunk])
        chunk_labels = rng.permuted(each_class_once, axis=1).ravel()
        # a chunk is always drawn whole: a shorter one would use the random numbers differently
        images[start:stop] = stand_in.draw(rng, chunk_labels)[: stop - start]
        labels[start:stop] = chunk_labels[: stop - start]
    return images, labels, stand_in.classes


def _whole(what: str, value: object, least: int, most: int) -> int:
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # refuses 3.0 and "3"
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or not least <= number <= most:
        limits = f"{least}..{most}" if most < sys.maxsize else f"at least {least}"
        raise DatasetError(f"stand-in {what}: expected a whole number, {limits}, got {value!r}.")
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, or 2 after one line on stderr."""
    parser = CommandLine(
        prog="python -m exercise_code.data.synthetic",
        description="Write a stand-in in the file layout of the data set it stands in for.",
    )
    parser.add_argument("name", choices=tuple(STAND_INS))
    parser.add_argument("--out", required=True, type=Path, help="folder to write into; nothing is overwritten")
    parser.add_argument("--part", choices=PARTS, default="train", help="default: train")
    parser.add_argument("--n", type=int, help="number of images (default: see STAND_INS)")
    parser.add_argument("--seed", type=int, help="another seed draws other images of the same classes")
    args = parser.parse_args(argv)

    def run() -> None:
        from exercise_code.data.synthetic_files import write_layout

        images, labels, classes = make(args.name, args.part, args.n, args.seed)
        written = write_layout(args.name, args.part, images, labels, classes, args.out)
        print(f"{args.out}: {len(labels)} images of the {args.name} stand-in, {args.part} part: {', '.join(written)}")

    return exit_code(run)


if __name__ == "__main__":
    sys.exit(main())
