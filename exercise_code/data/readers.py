"""Read a folder of images into arrays: CIFAR-10 binary batches, MNIST idx files, or a folder per class.

Every reader returns images (N, H, W, C) uint8 in 0..255, labels (N,) int64 and the class names by label.
Pillow is imported only for class folders.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exercise_code.data.errors import DatasetError

Images = tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...]]

UNDERSTOOD = (
    "CIFAR-10 binary (data_batch_*.bin, test_batch.bin, batches.meta.txt), "
    "MNIST idx (train-images-idx3-ubyte.gz, ... here or in MNIST/raw), "
    "a folder per class with .png or .jpg files (class/*.png, or train/class/*.png)"
)
CIFAR_SIDE = 32
CIFAR_RECORD = 1 + 3 * CIFAR_SIDE * CIFAR_SIDE  # a label byte, then the red, green and blue planes
MNIST_PREFIX = {"train": "train", "test": "t10k"}
SPLIT_FOLDERS = {"train": ("train",), "validation": ("validation", "val", "valid"), "test": ("test",)}
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


def read_folder(
    root: Path | str,
    parts: Sequence[str] = ("train",),
    limit: int | None = None,
    size: int | tuple[int, int] | None = None,
) -> Images:
    """Read the images of a folder in any layout that is understood.

    Args:
        parts: "train", "test", "validation", in the order in which they are wanted; a tree of class folders
            without parts is read whole by the default or by "all".
        limit: at most so many images: the first ones, but taken in turn from the classes of class folders.
        size: side, or (H, W), to which images of class folders are scaled; needed when their sizes differ.

    Returns:
        images (N, H, W, C) uint8, labels (N,) int64, class names.

    Raises:
        DatasetError: unknown layout, empty folder, missing part, truncated or unreadable file, wrong label.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("cat", "dog"):
    ...         (Path(folder) / "train" / name).mkdir(parents=True)
    ...         Image.new("RGB", (6, 4)).save(Path(folder) / "train" / name / "1.png")
    ...     images, labels, classes = read_folder(folder, size=8)
    >>> images.shape, labels.tolist(), classes
    ((2, 8, 8, 3), [0, 1], ('cat', 'dog'))
    """
    root = Path(root)
    parts = (parts,) if isinstance(parts, str) else tuple(parts)
    if limit is not None and limit < 1:
        raise DatasetError(f"limit: expected at least 1 image or None, got {limit!r}.")
    layout, folder = _layout(root)
    available = parts_of(root)
    if available == ("all",) and parts == ("train",):
        parts = available
    for part in parts or ("",):
        if part not in available:
            raise DatasetError(
                f"{root}: expected parts out of {', '.join(available)}, got {part!r}. Choose one of them."
            )
    if layout == "cifar-binary":
        return _read_cifar(folder, parts, limit)
    if layout == "mnist-idx":
        return _read_mnist(folder, parts, limit)
    from exercise_code.data.class_folders import read_class_folders

    return read_class_folders([_part_folder(folder, part) for part in parts], limit, size)


def parts_of(root: Path | str) -> tuple[str, ...]:
    """Return the parts a folder holds: some of train, validation, test; ("all",) for plain class folders.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for part in ("test", "train"):
    ...         Path(folder, part).mkdir()
    ...     parts_of(folder)
    ('train', 'test')
    """
    layout, folder = _layout(Path(root))
    if layout == "cifar-binary":
        files = {"train": _cifar_files(folder, "train"), "test": _cifar_files(folder, "test")}
        return tuple(part for part, found in files.items() if found)
    if layout == "mnist-idx":
        return tuple(part for part in MNIST_PREFIX if _idx_file(folder, part, "images"))
    found = tuple(part for part in SPLIT_FOLDERS if _part_folder(folder, part) != folder)
    return found or ("all",)


def numeric_order(path: Path) -> list[tuple[int, int, str]]:
    """Sort key that puts data_batch_10 after data_batch_2.

    >>> names = ["data_batch_10.bin", "data_batch_2.bin"]
    >>> [path.name for path in sorted(map(Path, names), key=numeric_order)]
    ['data_batch_2.bin', 'data_batch_10.bin']
    """
    return [
        (0, int(piece), "") if piece.isdigit() else (1, 0, piece) for piece in re.split(r"(\d+)", path.name) if piece
    ]


def _layout(root: Path) -> tuple[str, Path]:
    """Return the layout and the folder that has it, `root` or the usual folder inside it."""
    if not root.is_dir():
        raise DatasetError(f"{root}: expected a folder of images, got {'a file' if root.exists() else 'nothing'}.")
    for folder in (root, root / "cifar-10-batches-bin"):
        if _cifar_files(folder, "train") or _cifar_files(folder, "test"):
            return "cifar-binary", folder
    for folder in (root, root / "MNIST" / "raw", root / "raw"):
        if any(_idx_file(folder, part, "images") for part in MNIST_PREFIX):
            return "mnist-idx", folder
    if any(_part_folder(root, part) != root for part in SPLIT_FOLDERS):
        return "class-folders", root
    inside = sorted(path for path in root.iterdir() if not path.name.startswith("."))
    if any(path.is_dir() and any(p.suffix.lower() in IMAGE_SUFFIXES for p in path.iterdir()) for path in inside):
        return "class-folders", root
    found = ", ".join(path.name for path in inside[:4]) + (", ..." if len(inside) > 4 else "") or "an empty folder"
    raise DatasetError(f"{root}: expected one of these layouts: {UNDERSTOOD}; got {found}.")


def _part_folder(folder: Path, part: str) -> Path:
    for name in SPLIT_FOLDERS.get(part, ()):
        if (folder / name).is_dir():
            return folder / name
    return folder


def _cifar_files(folder: Path, part: str) -> list[Path]:
    pattern = {"train": "data_batch_*.bin", "test": "test_batch.bin"}[part]
    return sorted(folder.glob(pattern), key=numeric_order)


def _read_cifar(folder: Path, parts: Sequence[str], limit: int | None) -> Images:
    meta = folder / "batches.meta.txt"
    if not meta.is_file():
        raise DatasetError(f"{meta}: expected the class names, got no such file. Unpack the archive again.")
    classes = tuple(meta.read_text(encoding="utf-8").split())
    files = []  # (path, records wanted)
    left = limit
    for path in (path for part in parts for path in _cifar_files(folder, part)):
        n_bytes = path.stat().st_size
        if n_bytes == 0 or n_bytes % CIFAR_RECORD:
            raise DatasetError(
                f"{path} is truncated: expected records of {CIFAR_RECORD} bytes, got {n_bytes} bytes: "
                f"{n_bytes // CIFAR_RECORD} records and {n_bytes % CIFAR_RECORD} bytes. Download it again."
            )
        count = n_bytes // CIFAR_RECORD if left is None else min(left, n_bytes // CIFAR_RECORD)
        files.append((path, count))
        if left is not None:
            left -= count
            if left == 0:
                break
    n = sum(count for _, count in files)
    images, labels = np.empty((n, CIFAR_SIDE, CIFAR_SIDE, 3), np.uint8), np.empty(n, np.int64)
    start = 0
    for path, count in files:  # one file at a time, so that there are never two copies of all pixels
        records = np.fromfile(path, np.uint8, count * CIFAR_RECORD).reshape(count, CIFAR_RECORD)
        _check_labels(path, records[:, 0], classes)
        labels[start : start + count] = records[:, 0]
        planes = records[:, 1:].reshape(-1, 3, CIFAR_SIDE, CIFAR_SIDE)  # (n, C, H, W)
        for channel in range(3):  # five times as fast as one assignment of the transposed block
            images[start : start + count, :, :, channel] = planes[:, channel]
        start += count
    return images, labels, classes


def _check_labels(path: Path, labels: NDArray[np.uint8], classes: Sequence[str]) -> None:
    wrong = np.flatnonzero(labels >= len(classes))
    if len(wrong):
        raise DatasetError(
            f"{path}: expected labels 0..{len(classes) - 1}, got {labels[wrong[0]]} in record {wrong[0]}. "
            "Download the file again."
        )


def _idx_file(folder: Path, part: str, kind: str) -> Path | None:
    """Return the images or labels file of a part, compressed or not, or None."""
    name = f"{MNIST_PREFIX[part]}-{kind}-idx{3 if kind == 'images' else 1}-ubyte"
    return next((path for path in (folder / f"{name}.gz", folder / name) if path.is_file()), None)


def _read_mnist(folder: Path, parts: Sequence[str], limit: int | None) -> Images:
    classes = tuple(str(digit) for digit in range(10))
    images, labels = [], []
    left = limit
    for part in parts:
        pictures, names = _idx_file(folder, part, "images"), _idx_file(folder, part, "labels")
        if pictures is None or names is None:
            raise DatasetError(f"{folder}: expected images and labels of the {part} part, got no labels file.")
        image_block, n_images = _read_idx(pictures, 3, left)
        label_block, n_labels = _read_idx(names, 1, left)
        if n_images != n_labels:
            raise DatasetError(f"{folder}: expected a label per image, got {n_images} images and {n_labels} labels.")
        _check_labels(names, label_block, classes)
        images.append(image_block[..., None])  # (n, H, W, 1)
        labels.append(label_block)
        if left is not None:
            left -= len(label_block)
            if left == 0:
                break
    return np.concatenate(images), np.concatenate(labels).astype(np.int64), classes


def _read_idx(path: Path, dimensions: int, limit: int | None) -> tuple[NDArray[np.uint8], int]:
    """Return the first `limit` items of an idx file, and how many items its header promises.

    Header, big-endian: 0x0000 08 (unsigned bytes) and the number of dimensions, then each length as 32 bits.
    """
    magic = bytes((0, 0, 8, dimensions))
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            header = stream.read(4 + 4 * dimensions)
            if len(header) < 4 + 4 * dimensions or header[:4] != magic:
                raise DatasetError(
                    f"{path}: expected an idx file starting with {magic.hex()}, "
                    f"got {header[:4].hex() or 'nothing'}. Download it again."
                )
            shape = [int(length) for length in np.frombuffer(header, ">u4", offset=4)]
            promised = shape[0]
            shape[0] = promised if limit is None else min(limit, promised)
            wanted = int(np.prod(shape))
            body = stream.read(wanted)
            more = stream.read(1) if shape[0] == promised else b""
    except (OSError, EOFError, zlib.error) as problem:
        raise DatasetError(f"{path}: expected a whole gzip file, got: {problem}. Download it again.") from problem
    if len(body) < wanted or more or not wanted:
        got = "more" if more else len(body)
        raise DatasetError(f"{path}: expected {wanted} bytes after the header, got {got}. Download it again.")
    return np.frombuffer(body, np.uint8).reshape(shape), promised
