"""Check that a folder holds a data set, whole and right."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from exercise_code.data.errors import DatasetError, IncompleteDataset
from exercise_code.data.registry_file import DatasetInfo, FileInfo

COMMAND = "python -m exercise_code.data.registry"
IMAGE_NAME = re.compile(r"[^/\\]+\.(?:jpe?g|png)", re.IGNORECASE)

_checked: set[tuple[str, int, int, str]] = set()  # path, mtime in ns, bytes, sha256: hashed once per process


def holds(folder: Path, info: DatasetInfo, part: str) -> bool:
    """Return whether `folder` holds `part`; False when nothing of it is there.

    Raises:
        IncompleteDataset: some files of the part are there and some are not.
        DatasetError: a file is truncated or wrong, or the class folders are not those of the registry.

    >>> from exercise_code.data.registry_file import load_registry
    >>> holds(Path("no such folder"), load_registry()["mnist"], "train")
    False
    """
    if info.layout == "class-folders":
        return _holds_class_folders(folder, info, part)
    wanted = [file for file in info.files if part in file.parts]
    lacking = [file for file in wanted if not (folder / file.path).is_file()]
    if all(file in lacking for file in wanted if file.parts == (part,)):
        return False
    for file in wanted:
        if file not in lacking:
            _verify(folder / file.path, file, info, part)
    if lacking:
        names = ", ".join(file.path for file in lacking)
        raise IncompleteDataset(
            f"{info.name}: expected {len(wanted)} files of the {part} part in {folder}, missing: {names}. "
            f"{remedy(info, (part,))}",
            folder,
        )
    return True


def _holds_class_folders(folder: Path, info: DatasetInfo, part: str) -> bool:
    if not (folder / part).is_dir():
        return False
    found = sorted(path.name for path in (folder / part).iterdir() if path.is_dir())
    repair = f"Move {folder / part} away. {remedy(info, (part,))}"
    if found != sorted(info.classes):
        raise DatasetError(
            f"{info.name}: expected the folders {', '.join(sorted(info.classes))} in {folder / part}, "
            f"got {', '.join(found) or 'none'}. {repair}"
        )
    images = [p for name in found for p in (folder / part / name).iterdir() if IMAGE_NAME.fullmatch(p.name)]
    empty = [path for path in images if path.stat().st_size == 0]
    if empty:
        raise DatasetError(f"{info.name}: expected an image, got the empty file {empty[0]}. {repair}")
    if len(images) != info.counts[part]:
        raise DatasetError(
            f"{info.name}: expected {info.counts[part]} images in {folder / part}, got {len(images)}. {repair}"
        )
    return True


def _verify(path: Path, file: FileInfo, info: DatasetInfo, part: str) -> None:
    repair = f"Remove that file. {remedy(info, (part,))}"
    status = path.stat()
    if file.size is not None and status.st_size != file.size:
        kind = "truncated" if status.st_size < file.size else "too long"
        raise DatasetError(f"{info.name}: {path} is {kind}: expected {file.size} bytes, got {status.st_size}. {repair}")
    if file.holds == "class names":
        words = path.read_text(encoding="ascii", errors="replace").split()
        if words != list(info.classes):
            raise DatasetError(
                f"{info.name}: {path}: expected {' '.join(info.classes)}, got {' '.join(words)[:120]!r}. {repair}"
            )
    key = (str(path), status.st_mtime_ns, status.st_size, file.sha256 or "")
    if file.sha256 is None or key in _checked:
        return
    with path.open("rb") as stream:
        got = hashlib.file_digest(stream, "sha256").hexdigest()
    if got != file.sha256:
        raise DatasetError(f"{info.name}: {path} has wrong content: expected sha256 {file.sha256}, got {got}. {repair}")
    _checked.add(key)


def remedy(info: DatasetInfo, parts: Sequence[str]) -> str:
    """Return the sentence that tells how to get `parts`.

    >>> from exercise_code.data.registry_file import load_registry
    >>> remedy(load_registry()["cifar10"], ["train"])      # doctest: +ELLIPSIS
    'To get it: python -m exercise_code.data.registry download cifar10 --part train (... MB), or set DATASETS_DIR to ...'
    """
    size = sum(download.size or 0 for download in info.downloads if set(download.parts) & set(parts))
    wanted = " ".join(f"--part {part}" for part in parts)
    return (
        f"To get it: {COMMAND} download {info.name} {wanted} ({size / 1e6:.0f} MB), "
        f"or set DATASETS_DIR to a folder that holds {info.folders[0]}/."
    )
