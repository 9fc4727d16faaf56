"""Read trees of the form <class>/*.png or *.jpg with Pillow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np

from exercise_code.data.errors import DatasetError
from exercise_code.data.readers import IMAGE_SUFFIXES, Images, numeric_order


def read_class_folders(
    folders: Sequence[Path], limit: int | None = None, size: int | tuple[int, int] | None = None
) -> Images:
    """Read one tree of class folders, or several with the same classes, one after the other.

    Labels follow the sorted class names.  Images are grey (C = 1) when every file is, else RGB (C = 3).
    A limit takes files from the classes in turn, so that few images still cover all classes.

    Raises:
        DatasetError: no classes, an empty class, other classes in another folder, an unreadable image, or
            differing sizes without `size`.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("cat", "dog"):
    ...         (Path(folder) / "train" / name).mkdir(parents=True)
    ...         Image.new("RGB", (6, 4)).save(Path(folder) / "train" / name / "1.png")
    ...     images, labels, classes = read_class_folders([Path(folder) / "train"])
    >>> images.shape, labels.tolist(), classes
    ((2, 4, 6, 3), [0, 1], ('cat', 'dog'))
    """
    classes = _class_names(folders[0])
    files: list[tuple[Path, int]] = []
    for folder in folders:
        if _class_names(folder) != classes:
            raise DatasetError(
                f"{folder}: expected the classes {', '.join(classes)} of {folders[0]}, "
                f"got {', '.join(_class_names(folder))}. Make the folders alike."
            )
        files += _files(folder, classes, None if limit is None else limit - len(files))
    images = _decode_all([path for path, _ in files], size)
    return images, np.array([label for _, label in files], np.int64), classes


def _class_names(folder: Path) -> tuple[str, ...]:
    names = tuple(sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")))
    if not names:
        raise DatasetError(f"{folder}: expected a folder per class, got none. Put the images into class folders.")
    return names


def _files(folder: Path, classes: Sequence[str], limit: int | None) -> list[tuple[Path, int]]:
    """Return (file, label) sorted by class, then by name; with a limit, a share of each class."""
    by_class = []
    for label, name in enumerate(classes):
        found = [p for p in (folder / name).iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()]
        if not found:
            raise DatasetError(
                f"{folder / name}: expected {' or '.join(IMAGE_SUFFIXES)} files, got none. "
                "Add images or remove the folder."
            )
        by_class.append([(path, label) for path in sorted(found, key=numeric_order)])
    if limit is None:
        return list(chain.from_iterable(by_class))
    in_turn = [item for row in zip_longest(*by_class) for item in row if item is not None]
    share = Counter(label for _, label in in_turn[: max(limit, 0)])
    return [item for label, items in enumerate(by_class) for item in items[: share[label]]]


def _decode_all(paths: Sequence[Path], size: int | tuple[int, int] | None) -> np.ndarray:
    """Return the pixels (N, H, W, C) uint8 of files that are opened once each; grey until the first in colour."""
    first = _decode(paths[0], size)  # _files never returns an empty list for a positive limit
    images = np.empty((len(paths), *first.shape), np.uint8)
    for i, path in enumerate(paths):
        pixels = _decode(path, size) if i else first
        if pixels.shape[:2] != first.shape[:2]:
            raise DatasetError(
                f"{path}: expected {first.shape[0]} x {first.shape[1]} pixels as in {paths[0].name}, "
                f"got {pixels.shape[0]} x {pixels.shape[1]}. Give a size to scale all images to."
            )
        if pixels.shape[2] > images.shape[3]:
            images = np.repeat(images, 3, axis=3)
        images[i] = pixels
    return images


def _decode(path: Path, size: int | tuple[int, int] | None) -> np.ndarray:
    """Return the pixels (H, W, C) uint8 of one file, C = 1 when it is grey, else 3; scaled to size if there is one."""
    from PIL import Image

    target = (size, size) if isinstance(size, int) else size  # (H, W)
    if target is not None and min(target) < 1:
        raise DatasetError(f"size: expected at least 1 pixel, got {size!r}.")
    try:
        with Image.open(path) as picture:
            mode = "L" if picture.mode in ("1", "L") else "RGB"
            picture.load()
            pixels = picture if picture.mode == mode else picture.convert(mode)
            if target is not None and (picture.height, picture.width) != target:
                pixels = pixels.resize(target[::-1], Image.Resampling.BILINEAR)
            return np.asarray(pixels, np.uint8).reshape(pixels.height, pixels.width, -1)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as problem:
        raise _unreadable(path, problem) from problem


def _unreadable(path: Path, problem: Exception) -> DatasetError:
    return DatasetError(f"{path}: expected a readable image, got: {problem}. Replace or remove the file.")
