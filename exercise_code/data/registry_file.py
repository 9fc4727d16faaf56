"""Read `datasets/registry.toml` into frozen dataclasses, refusing what is misspelt or incomplete."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from exercise_code.data.errors import DatasetError

LAYOUTS = ("cifar-binary", "mnist-idx", "class-folders")


@dataclass(frozen=True)
class Download:
    """One file to fetch: an archive (unpack "tar" or "zip") or a file that is used as it is (unpack "").

    size is in bytes, sha256 has 64 hexadecimal digits; strip is a folder around everything in the archive, left out.
    """

    file: str
    parts: tuple[str, ...]
    urls: tuple[str, ...]
    size: int | None = None
    sha256: str | None = None
    unpack: str = ""
    strip: str = ""


@dataclass(frozen=True)
class FileInfo:
    """One file that must lie in the data set's folder; size in bytes."""

    path: str
    parts: tuple[str, ...]
    size: int | None = None
    sha256: str | None = None
    holds: str = ""


@dataclass(frozen=True)
class DatasetInfo:
    """One data set: shape is (H, W, C) as distributed, counts are images per part."""

    name: str
    title: str
    folders: tuple[str, ...]
    layout: str
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    counts: Mapping[str, int]
    homepage: str
    licence: str
    citation: str
    stand_in: bool = False
    downloads: tuple[Download, ...] = ()
    files: tuple[FileInfo, ...] = ()


_DATASET: dict[str, type] = {
    "title": str,
    "folders": list,
    "layout": str,
    "shape": list,
    "classes": list,
    "counts": dict,
    "homepage": str,
    "licence": str,
    "citation": str,
}
_DATASET_OPTIONAL: dict[str, type] = {"stand_in": bool, "download": list, "file": list}
_OPTIONAL: dict[str, type] = {"size": int, "sha256": str}


def registry_path() -> Path:
    """Return the registry file: DATASETS_REGISTRY, else datasets/registry.toml beside the package.

    >>> registry_path().suffix
    '.toml'
    """
    given = os.environ.get("DATASETS_REGISTRY")
    if given:
        return Path(given).expanduser().absolute()
    return Path(__file__).resolve().parents[2] / "datasets" / "registry.toml"


def load_registry(path: Path | str | None = None) -> dict[str, DatasetInfo]:
    """Return the data sets of the registry by name.

    Raises:
        DatasetError: unreadable file, unknown or missing key, wrong type, malformed checksum, unsafe path.

    >>> registry = load_registry()
    >>> registry["cifar10"].shape, registry["cifar10"].counts["train"]
    ((32, 32, 3), 50000)
    """
    path = registry_path() if path is None else Path(path)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise DatasetError(
            f"{path}: expected the data set registry, got: {problem.strerror}. "
            "Unpack the course again or correct DATASETS_REGISTRY."
        ) from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise DatasetError(f"{path}: expected TOML, got {problem}. Correct that line.") from problem
    return {name: _dataset(name, table, f"{path}: [{name}]") for name, table in tables.items()}


def _dataset(name: str, table: Any, where: str) -> DatasetInfo:
    row = _checked(table, where, _DATASET, _DATASET_OPTIONAL)
    if row["layout"] not in LAYOUTS:
        raise DatasetError(f"{where} layout: expected one of {', '.join(LAYOUTS)}, got {row['layout']!r}.")
    parts = set(row["counts"])
    downloads = tuple(
        Download(
            **_entry(
                entry,
                parts,
                f"{where} download",
                {"file": str, "parts": list, "urls": list},
                {"unpack": str, "strip": str},
            )
        )
        for entry in row.pop("download", [])
    )
    files = tuple(
        FileInfo(**_entry(entry, parts, f"{where} file", {"path": str, "parts": list}, {"holds": str}))
        for entry in row.pop("file", [])
    )
    for download in downloads:
        if download.unpack not in ("", "tar", "zip"):
            raise DatasetError(f"{where} unpack: expected tar or zip, got {download.unpack!r}.")
        if not download.urls:
            raise DatasetError(f"{where} urls of {download.file}: expected at least one address, got none.")
    for text in (
        *row["folders"],
        *(d.file for d in downloads),
        *(d.strip for d in downloads),
        *(f.path for f in files),
    ):
        if PurePosixPath(text).is_absolute() or ".." in PurePosixPath(text).parts or "\\" in text:
            raise DatasetError(f"{where}: expected a path below the data set's folder, got {text!r}.")
    return DatasetInfo(
        **(row | {key: tuple(row[key]) for key in ("folders", "shape", "classes")}),
        name=name,
        downloads=downloads,
        files=files,
    )


def _entry(
    table: Any, parts: set[str], where: str, required: dict[str, type], optional: dict[str, type]
) -> dict[str, Any]:
    row = _checked(table, where, required, _OPTIONAL | optional)
    if not row["parts"] or not set(row["parts"]) <= parts:
        raise DatasetError(f"{where} parts: expected some of {', '.join(sorted(parts))}, got {row['parts']}.")
    if "sha256" in row and not re.fullmatch(r"[0-9a-f]{64}", row["sha256"]):
        raise DatasetError(f"{where} sha256: expected 64 lower-case hexadecimal digits, got {row['sha256']!r}.")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


def _checked(table: Any, where: str, required: dict[str, type], optional: dict[str, type]) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise DatasetError(f"{where}: expected a table, got {table!r}.")
    for key in required:
        if key not in table:
            raise DatasetError(f"{where}: expected the key {key!r}, got {', '.join(table) or 'no keys'}.")
    for key, value in table.items():
        kind = (required | optional).get(key)
        if kind is None:
            raise DatasetError(f"{where}: expected keys out of {', '.join(required | optional)}, got {key!r}.")
        if type(value) is not kind:
            raise DatasetError(f"{where} {key}: expected {kind.__name__}, got {value!r}.")
    return dict(table)
