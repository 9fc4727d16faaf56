"""Write images in the file layouts of CIFAR-10 (binary), MNIST (idx) and beans (a folder per class).

Labels are counted from 0, images are (N, H, W, C) uint8.  The same images give the same bytes.
"""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exercise_code.data.errors import DatasetError

CIFAR_BATCH = 10_000  # images per file of the training part
CIFAR_NAMES = "batches.meta.txt"  # belongs to both parts, so it may be there already
JPEG_QUALITY = 92


def write_layout(
    name: str, part: str, images: NDArray, labels: NDArray, classes: Sequence[str], out: Path
) -> list[str]:
    """Write one part of a data set into the folder `out` and return the names of the files and folders in it.

    All of it is written or nothing, and nothing is overwritten.

    Args:
        name: "cifar10", "mnist" or "beans", which chooses the layout.
        part: "train" or "test".
        images: (N, H, W, C) uint8.
        labels: (N,) integers, counted from 0.
        classes: their names.

    Raises:
        DatasetError: a file or folder of that name is there already, or the folder cannot be written.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_layout("cifar10", "test", np.zeros((1, 32, 32, 3), np.uint8), np.array([0]), ("cat",), Path(folder))
    ['batches.meta.txt', 'test_batch.bin']
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=out) as unfinished:
            _WRITERS[name](Path(unfinished), part, images, labels, classes)
            entries = sorted(Path(unfinished).iterdir())
            for entry in entries:
                if entry.name != CIFAR_NAMES and (out / entry.name).exists():
                    raise DatasetError(
                        f"{out / entry.name}: expected nothing of that name, got one. Remove it or name another folder."
                    )
            for entry in entries:
                entry.replace(out / entry.name)
    except OSError as problem:
        raise DatasetError(f"{out}: expected a folder to write into, got: {problem.strerror or problem}.") from problem
    return [entry.name for entry in entries]


def _write_cifar(folder: Path, part: str, images: NDArray, labels: NDArray, classes: Sequence[str]) -> None:
    """Each record is a label byte, then the red, the green and the blue plane, row by row."""
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)  # (N, C * H * W)
    records = np.concatenate([labels[:, None].astype(np.uint8), planes], axis=1)
    if part == "test":
        records.tofile(folder / "test_batch.bin")
    else:
        for start in range(0, len(records), CIFAR_BATCH):
            batch = folder / f"data_batch_{start // CIFAR_BATCH + 1}.bin"
            records[start : start + CIFAR_BATCH].tofile(batch)
    (folder / CIFAR_NAMES).write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")


def _write_mnist(folder: Path, part: str, images: NDArray, labels: NDArray, classes: Sequence[str]) -> None:
    """Header, big-endian: 0x0000 08 (unsigned bytes), number of dimensions, each length; then the bytes."""
    prefix = "train" if part == "train" else "t10k"
    for kind, items in (("images", images[..., 0]), ("labels", labels.astype(np.uint8))):
        header = bytes((0, 0, 8, items.ndim)) + np.array(items.shape, ">u4").tobytes()
        path = folder / f"{prefix}-{kind}-idx{items.ndim}-ubyte.gz"
        path.write_bytes(gzip.compress(header + items.tobytes(), compresslevel=6, mtime=0))


def _write_class_folders(folder: Path, part: str, images: NDArray, labels: NDArray, classes: Sequence[str]) -> None:
    """<part>/<class>/<class>_<part>_<number>.jpg"""
    from PIL import Image

    for label, name in enumerate(classes):
        (folder / part / name).mkdir(parents=True)
        for number, image in enumerate(images[labels == label]):
            path = folder / part / name / f"{name}_{part}_{number:04d}.jpg"
            Image.fromarray(image).save(path, quality=JPEG_QUALITY)


_WRITERS = {"cifar10": _write_cifar, "mnist": _write_mnist, "beans": _write_class_folders}
