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
    height, width, channels = _common_shape([path for path, _ in files], size)
    images = np.empty((len(files), height, width, channels), np.uint8)
    for i, (path, _) in enumerate(files):
        images[i] = _decode(path, height, width, channels)
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


def _common_shape(paths: Sequence[Path], size: int | tuple[int, int] | None) -> tuple[int, int, int]:
    """Return (H, W, C) from the headers of the files, without decoding them."""
    from PIL import Image

    grey = True
    first: tuple[int, int] | None = None
    for path in paths:
        try:
            with Image.open(path) as picture:
                found = (picture.height, picture.width)
                grey = grey and picture.mode in ("1", "L")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as problem:
            raise _unreadable(path, problem) from problem
        first = first or found
        if size is None and found != first:
            raise DatasetError(
                f"{path}: expected {first[0]} x {first[1]} pixels as in {paths[0].name}, "
                f"got {found[0]} x {found[1]}. Give a size to scale all images to."
            )
    assert first is not None  # _files never returns an empty list for a positive limit
    height, width = first if size is None else (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise DatasetError(f"size: expected at least 1 pixel, got {size!r}.")
    return height, width, 1 if grey else 3


def _decode(path: Path, height: int, width: int, channels: int) -> np.ndarray:
    """Return the pixels (H, W, C) uint8 of one file, scaled when they have another size."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            pixels = picture.convert("L" if channels == 1 else "RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as problem:
        raise _unreadable(path, problem) from problem
    if (pixels.height, pixels.width) != (height, width):
        pixels = pixels.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(pixels, np.uint8).reshape(height, width, channels)


def _unreadable(path: Path, problem: Exception) -> DatasetError:
    return DatasetError(f"{path}: expected a readable image, got: {problem}. Replace or remove the file.")
