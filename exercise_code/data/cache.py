"""Decode the image files of a folder once; afterwards map one uint8 array from the disk into memory.

A PNG or JPEG file takes from a twentieth of a millisecond (32 x 32 pixels) to several to decode, in every run again.
The decoded pixels are kept as an .npy file, which opens in milliseconds and takes memory only once however many
programs use it.  CIFAR-10's binary batches and MNIST's idx files are not kept: reading them takes a fraction of a
second.

An entry belongs to one state of the folder, told by the names, sizes and times of its files, so a change of the folder
makes a new entry and drops the old one.  Entries are written aside and moved into place in one step, carry a checksum,
and are made again when they are damaged.  The cache may be deleted at any time.

Environment: DATASETS_CACHE (a folder for the cache, or "off"); without it, the cache folder of the user.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from exercise_code.data.download import locked
from exercise_code.data.readers import IMAGE_SUFFIXES, Images, read_folder

SCHEMA = 1  # of an entry; a new number leaves the entries of older versions aside
DEPTH = 3  # part/class/file, or MNIST/raw/file
FILES = ("images.npy", "labels.npy", "classes.npy")
CHECKSUMS = "crc32.json"


def read_images(
    root: Path | str, parts: Sequence[str] = ("train",), size: int | tuple[int, int] | None = None
) -> Images:
    """Return what `readers.read_folder` returns, from the cache if these files were decoded before.

    Folders that cannot be cached (no room, no permission, switched off) are just read.

    Args:
        root: folder in a layout that `exercise_code.data.readers` understands.
        parts: "train", "test", "validation", in the order in which they are wanted.
        size: side, or (H, W), to which image files are scaled.

    Returns:
        images (N, H, W, C) uint8 and labels (N,) int64, which must not be written to, and the class names.  Asked for
        again in the same program, the same arrays.

    Raises:
        DatasetError: as `readers.read_folder`.

    >>> import tempfile
    >>> from unittest.mock import patch
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, DATASETS_CACHE=f"{folder}/cache"):
    ...     for name in ("cat", "dog"):
    ...         (Path(folder) / "pets" / name).mkdir(parents=True)
    ...         Image.new("RGB", (6, 4)).save(Path(folder) / "pets" / name / "1.png")
    ...     images, labels, classes = read_images(Path(folder) / "pets")
    >>> images.shape, labels.tolist(), classes
    ((2, 4, 6, 3), [0, 1], ('cat', 'dog'))
    """
    root = Path(root)
    files = sorted(_listing(root)) if root.is_dir() else []
    has_image_files = any(name.lower().endswith(IMAGE_SUFFIXES) for name, _, _ in files)
    parts = (parts,) if isinstance(parts, str) else tuple(parts)
    return _read_once(root.resolve(), parts, size, _digest(files), cache_folder() if has_image_files else None)


def fingerprint(root: Path | str) -> str:
    """Return a sha256 over the path, size and modification time (ns) of every file of a folder; no file is opened.

    Hidden folders are left out, as the readers do.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     before = fingerprint(folder)
    ...     size = Path(folder, "1.png").write_bytes(b"pixels")
    ...     before == fingerprint(folder)
    False
    """
    return _digest(sorted(_listing(Path(root))))


def cache_folder() -> Path | None:
    """Return the folder of the cache, which need not exist, or None when DATASETS_CACHE is "off".

    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, DATASETS_CACHE="off"):
    ...     print(cache_folder())
    None
    """
    given = os.environ.get("DATASETS_CACHE", "")
    if given.lower() in ("off", "0"):
        return None
    if given:
        return Path(given).expanduser().absolute()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "exercise_code"


def _listing(folder: Path, depth: int = DEPTH, above: str = "") -> Iterator[tuple[str, int, int]]:
    """Yield (path inside the folder, bytes, mtime in ns) of every file down to DEPTH levels."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                if depth > 1 and not entry.name.startswith("."):
                    yield from _listing(Path(entry.path), depth - 1, f"{above}{entry.name}/")
            elif entry.is_file():
                status = entry.stat()
                yield above + entry.name, status.st_size, status.st_mtime_ns


def _digest(files: Sequence[tuple[str, int, int]]) -> str:
    return hashlib.sha256(ascii(files).encode()).hexdigest()


@lru_cache(maxsize=2)  # train, val and test of one data set share one copy of the pixels
def _read_once(
    root: Path, parts: tuple[str, ...], size: int | tuple[int, int] | None, state: str, cache: Path | None
) -> Images:
    if cache is None:
        return read_folder(root, parts, size=size)
    what = hashlib.sha256(ascii((SCHEMA, str(root), parts, size)).encode()).hexdigest()
    place = cache / f"{root.name}-{what[:16]}"
    entry = place / state[:16]
    found = _open(entry)
    if found is not None:
        return found
    decoded = None
    try:
        with locked(cache / f"{place.name}.lock"):
            found = _open(entry)  # made by another program while this one waited
            if found is not None:
                return found
            decoded = read_folder(root, parts, size=size)
            if fingerprint(root) == state:  # else files changed under our hands
                _store(entry, decoded)
                return _open(entry) or decoded
    except OSError:
        pass  # no room or no permission for a cache: a pity, not an error
    return decoded or read_folder(root, parts, size=size)


def _open(entry: Path) -> Images | None:
    """Return the arrays of an entry, the images mapped and read-only; None when it is not there or damaged."""
    try:
        expected = json.loads((entry / CHECKSUMS).read_text(encoding="ascii"))
        if expected != {name: _checksum(entry / name) for name in FILES}:
            return None
        images, labels, classes = (np.lib.format.open_memmap(entry / name, mode="r") for name in FILES)
    except (OSError, ValueError):
        return None
    # Plain arrays on top of the maps: np.memmap costs more at every indexing.
    return np.asarray(images), np.array(labels), tuple(classes.tolist())


def _store(entry: Path, decoded: Images) -> None:
    """Write an entry aside and move it into place; the caller holds the lock."""
    place = entry.parent
    shutil.rmtree(place, ignore_errors=True)  # earlier states of the folder, and what a killed program left
    aside = place / f"part-{os.getpid()}"
    aside.mkdir(parents=True)
    try:
        for name, values in zip(FILES, decoded, strict=True):
            np.save(aside / name, np.asarray(values), allow_pickle=False)
        checksums = {name: _checksum(aside / name) for name in FILES}
        (aside / CHECKSUMS).write_text(json.dumps(checksums), encoding="ascii")
        os.replace(aside, entry)
    except OSError:
        shutil.rmtree(place, ignore_errors=True)  # give back the room that was not enough
        raise


def _checksum(path: Path) -> int:
    """CRC-32 of a file (7 GB/s); ValueError when it is empty."""
    return zlib.crc32(np.memmap(path, np.uint8, mode="r").data)
