"""Where the course's data sets are: find, verify and download them, or fall back to a labelled stand-in.

`datasets/registry.toml` names every file with its size and checksum.  Folders are searched in this order:
those under DATASETS_DIR, then those beside the registry file, which is also where downloads land.
Environment: DATASETS_DIR (a folder that already holds data sets), DATASETS_OFFLINE=1 (never download),
DATASETS_REGISTRY (another registry file).
Command line: `python -m exercise_code.data.registry list | locate NAME | download NAME`.
"""

from __future__ import annotations

import difflib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from exercise_code.data.archives import unpack
from exercise_code.data.download import locked, retrieve
from exercise_code.data.errors import (
    CommandLine,
    DatasetError,
    DownloadError,
    IncompleteDataset,
    MissingDataset,
    exit_code,
)
from exercise_code.data.registry_file import DatasetInfo, Download, FileInfo, load_registry, registry_path
from exercise_code.data.verify import COMMAND, IMAGE_NAME, holds, remedy

__all__ = [
    "DatasetError",
    "DatasetInfo",
    "Source",
    "download_archive",
    "fetch",
    "fetch_or_stand_in",
    "load_registry",
    "locate",
]

SPLIT_NAMES = ("train", "test", "validation", "val", "valid")

_announced: set[str] = set()  # stand-ins that this process has already spoken of


@dataclass(frozen=True)
class Source:
    """What a notebook trains on: `root` is the verified folder or None, `label` is its name in results.

    >>> Source("mnist", None, stand_in=True, label="mnist stand-in").label
    'mnist stand-in'
    """

    name: str
    root: Path | None
    stand_in: bool
    label: str
    stand_in_size: int | None = None  # images of the stand-in; None is its usual size


def locate(name: str, parts: Sequence[str] = ("train",)) -> Path:
    """Return the folder that holds `parts` of the data set, after checking size and sha256 of their files.

    Raises:
        MissingDataset: no folder holds these parts.
        DatasetError: unknown name or part, or a folder with a truncated, wrong or missing file.

    >>> locate("cifar100")      # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    exercise_code.data.errors.DatasetError: expected a data set out of ..., got 'cifar100'. Did you mean 'cifar10'?
    """
    info, parts = _request(name, parts)
    lacks = []
    for folder in _candidates(info):
        absent = [part for part in parts if not holds(folder, info, part)]
        if not absent:
            return folder
        lacks.append(f"{folder}" + (f" (no {' and no '.join(absent)} part)" if folder.is_dir() else ""))
    raise MissingDataset(
        f"{name}: expected the {' and '.join(parts)} part in one of these folders, found it in none: "
        f"{', '.join(lacks)}. {remedy(info, parts)}"
    )


def fetch(name: str, parts: Sequence[str] = ("train",), *, offline: bool | None = None, progress: bool = True) -> Path:
    """Return the verified folder of the data set, downloading what is missing.

    An interrupted download is resumed by the next call.

    Args:
        offline: True forbids the download; None follows DATASETS_OFFLINE.
        progress: show a bar on stderr.

    Raises:
        MissingDataset: not here and offline.
        DownloadError: not here and no mirror answered.
        DatasetError: as `locate`, or every mirror that answered sent a wrong file.

    >>> fetch("cifar10", ["dev"])
    Traceback (most recent call last):
    ...
    exercise_code.data.errors.DatasetError: cifar10: expected parts out of train, test, got 'dev'. Choose one of them.
    """
    info, parts = _request(name, parts)
    target = registry_path().parent / info.folders[0]
    try:
        return locate(name, parts)
    except (MissingDataset, IncompleteDataset) as problem:
        if isinstance(problem, IncompleteDataset) and problem.folder != target:
            raise  # not our download area: its owner decides what to do
        if _offline(offline):
            kind = MissingDataset if isinstance(problem, MissingDataset) else DatasetError
            raise kind(f"{problem} Downloads are off: DATASETS_OFFLINE=1 or offline=True forbids them.") from None
    store = target.parent / ".downloads" / name
    try:
        with locked(store.with_suffix(".lock")):
            for download in info.downloads:
                if set(parts) & set(download.parts) and not _installed(target, info, download):
                    _install(target, info, download, store, progress)
            shutil.rmtree(store, ignore_errors=True)
    except OSError as problem:
        raise DatasetError(
            f"{name}: expected to write {target}, got: {problem}. Free space or set permissions, and repeat."
        ) from problem
    return locate(name, parts)


def fetch_or_stand_in(
    name: str,
    parts: Sequence[str] = ("train",),
    *,
    offline: bool | None = None,
    progress: bool = True,
    stand_in_size: int | None = None,
) -> Source:
    """Return the real data set if it is here or can be downloaded, else its stand-in, saying so on stdout.

    stand_in_size limits the stand-in to so many images, which are then quick to draw; real data is never cut.

    A folder with a wrong, truncated or missing file, or a mirror that sends a wrong one, is an error and
    never becomes a stand-in.

    Raises:
        DatasetError: as `fetch`, or the data set is out of reach and has no stand-in.

    >>> from contextlib import redirect_stdout
    >>> from unittest.mock import patch
    >>> with tempfile.TemporaryDirectory() as folder, redirect_stdout(None):      # a course folder without data
    ...     elsewhere = {"DATASETS_REGISTRY": shutil.copy(registry_path(), folder), "DATASETS_DIR": folder}
    ...     with patch.dict(os.environ, elsewhere):
    ...         source = fetch_or_stand_in("mnist", offline=True)
    >>> source.stand_in, source.label
    (True, 'mnist stand-in')
    """
    info, parts = _request(name, parts)
    try:
        return Source(name, fetch(name, parts, offline=offline, progress=progress), False, name)
    except (MissingDataset, DownloadError) as problem:
        if not info.stand_in:
            raise
        if name not in _announced:
            _announced.add(name)
            why = "no mirror answered" if isinstance(problem, DownloadError) else "not found here, and offline"
            print(
                f"{name}: using the procedural STAND-IN, not the real images ({why}). {remedy(info, parts)}",
                flush=True,
            )
        return Source(name, None, True, f"{name} stand-in", stand_in_size)


def download_archive(url: str, folder: Path, *, progress: bool = True) -> Path:
    """Download a zip or tar archive of unknown checksum and unpack it as `folder`, unless that exists.

    One folder around everything in the archive is left out, unless it is named like a part (train, ...).

    Raises:
        DatasetError: offline, unreachable, not an archive, or a member that would land outside `folder`.

    >>> with tempfile.TemporaryDirectory() as folder:      # it is here already, so nothing is asked of the network
    ...     download_archive("https://example.org/photos.zip", Path(folder)) == Path(folder)
    True
    """
    folder = Path(folder)
    if folder.exists():
        return folder
    if _offline(None):
        raise MissingDataset(
            f"{folder}: expected a folder, got none, and DATASETS_OFFLINE forbids the download of {url}. "
            "Unset it or copy the files."
        )
    file = PurePosixPath(url.partition("?")[0]).name or "archive"
    archive = folder.parent / f".{folder.name}-{file}"
    with locked(archive.with_suffix(".lock")):
        if folder.exists():  # another program was faster
            return folder
        retrieve([url], archive, size=None, sha256=None, progress=progress)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpack-") as tmp:
            tree = Path(tmp) / "tree"
            tree.mkdir()
            unpack(archive, "zip" if file.lower().endswith(".zip") else "tar", tree, Path)
            top = list(tree.iterdir())
            wrapped = len(top) == 1 and top[0].is_dir() and top[0].name not in SPLIT_NAMES
            os.replace(top[0] if wrapped else tree, folder)
        archive.unlink()
    return folder


def _info(name: str) -> DatasetInfo:
    registry = load_registry()
    if name not in registry:
        near = difflib.get_close_matches(str(name).lower(), registry, n=1, cutoff=0.4)
        hint = f"Did you mean {near[0]!r}?" if near else f"Add it to {registry_path()} first."
        raise DatasetError(f"expected a data set out of {', '.join(registry)}, got {name!r}. {hint}")
    return registry[name]


def _request(name: str, parts: Sequence[str]) -> tuple[DatasetInfo, tuple[str, ...]]:
    info = _info(name)
    parts = (parts,) if isinstance(parts, str) else tuple(parts)
    for part in parts or ("",):
        if part not in info.counts:
            raise DatasetError(
                f"{name}: expected parts out of {', '.join(info.counts)}, got {part!r}. Choose one of them."
            )
    return info, parts


def _candidates(info: DatasetInfo) -> list[Path]:
    roots = [registry_path().parent]
    given = os.environ.get("DATASETS_DIR")
    if given:
        roots.insert(0, Path(os.path.abspath(Path(given).expanduser())))
        if not roots[0].is_dir():
            raise DatasetError(f"DATASETS_DIR: expected a folder, got {given!r}. Correct or unset it.")
    return [root / folder for root in roots for folder in info.folders]


def _offline(offline: bool | None) -> bool:
    return os.environ.get("DATASETS_OFFLINE", "") not in ("", "0") if offline is None else offline


def _served(info: DatasetInfo, download: Download) -> list[FileInfo]:
    """The registered files that come out of one download."""
    if download.unpack:
        return [file for file in info.files if set(file.parts) <= set(download.parts)]
    return [file for file in info.files if file.path == download.file]


def _installed(target: Path, info: DatasetInfo, download: Download) -> bool:
    if info.layout == "class-folders":
        return all(holds(target, info, part) for part in download.parts)
    return all((target / file.path).is_file() for file in _served(info, download))


def _install(target: Path, info: DatasetInfo, download: Download, store: Path, progress: bool) -> None:
    """Download one file and move what is expected of it into `target`."""
    store.mkdir(parents=True, exist_ok=True)
    target.mkdir(parents=True, exist_ok=True)
    archive = store / download.file
    retrieve(download.urls, archive, size=download.size, sha256=download.sha256, progress=progress)
    if not download.unpack:
        os.replace(archive, target / download.file)
        return
    with tempfile.TemporaryDirectory(dir=store, prefix="unpack-") as tmp:
        fresh = Path(tmp)
        unpack(archive, download.unpack, fresh, _wanted(info, download))
        for part in download.parts:
            if not holds(fresh, info, part):
                raise DatasetError(
                    f"{info.name}: expected the {part} part in {archive}, got nothing of it. Correct {registry_path()}."
                )
        for entry in sorted(fresh.iterdir()):
            os.replace(entry, target / entry.name)


def _wanted(info: DatasetInfo, download: Download) -> Callable[[str], Path | None]:
    """Return the filter that lets only the expected members out of an archive."""
    names = {file.path for file in _served(info, download)}

    def member(name: str) -> Path | None:
        inner = name.removeprefix(f"{download.strip}/") if download.strip else name
        if info.layout != "class-folders":
            return Path(inner) if inner in names else None
        pieces = inner.split("/")
        expected = len(pieces) == 3 and pieces[0] in download.parts and pieces[1] in info.classes
        return Path(inner) if expected and IMAGE_NAME.fullmatch(pieces[2]) else None

    return member


def _print_list() -> None:
    for name, info in load_registry().items():
        counts = ", ".join(f"{part} {count:,}" for part, count in info.counts.items())
        print(f"{name:10} {info.title}: {len(info.classes)} classes, {counts}. Licence: {info.licence}")
        for part in info.counts:
            try:
                print(f"{'':10} {part}: {locate(name, (part,))}")
            except MissingDataset:
                print(f"{'':10} {part}: not here")
            except DatasetError as problem:
                print(f"{'':10} {part}: {problem}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, or 2 after one line on stderr."""
    parser = CommandLine(prog=COMMAND, description="Find, verify and download the course's data sets.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="the data sets, their licences and what is on this machine")
    for verb, text, default in (
        ("locate", "print the verified folder", "train"),
        ("download", "download, verify, unpack", "all"),
    ):
        command = verbs.add_parser(verb, help=text)
        command.add_argument("name", help="for example cifar10")
        command.add_argument("--part", action="append", help=f"train, test, ...; repeatable (default: {default})")
    args = parser.parse_args(argv)
    if args.verb == "list":
        return exit_code(_print_list)
    if args.verb == "locate":
        return exit_code(lambda: print(locate(args.name, args.part or ("train",))))
    return exit_code(lambda: print(fetch(args.name, args.part or tuple(_info(args.name).counts))))


if __name__ == "__main__":
    sys.exit(main())
