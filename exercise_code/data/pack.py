"""Write one part of a data set as plain arrays: `python -m exercise_code.data.pack --out DIR ...`.

Staff tools run this as a program of its own, so that they need not import the course's package.  DIR gets
images.npy (N, H, W, C) uint8, labels.npy (N,) uint8 and, last, pack.json: where it is, all is there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from exercise_code.data.errors import CommandLine, DatasetError, exit_code
from exercise_code.data.readers import Images, parts_of, read_folder

PRIVATE = 0o600  # labels may become hidden labels
STAND_IN_PARTS = ("train", "test")


def public_name(folder: Path) -> str:
    """The folder's own name, never its path, as one word that may stand on a public page.

    >>> public_name(Path("/home/somebody/My photos (new)"))
    'My-photos-new'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-._")[:64] or "folder"


def write_pack(out: Path, data: Images, *, source: str, stand_in: bool) -> None:
    """Write images, labels and their description to the folder `out`; the same input gives the same bytes.

    Args:
        out: folder, made if it is not there.
        data: images (N, H, W, C) uint8, labels (N,) integers, names of the classes.
        source: name of the data set, for the description.
        stand_in: whether a program drew the images.

    Raises:
        DatasetError: more classes than a byte can tell apart, or `out` cannot be written.

    >>> import tempfile
    >>> data = np.zeros((2, 4, 4, 1), np.uint8), np.array([0, 1]), ("cat", "dog")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_pack(Path(folder), data, source="pets", stand_in=False)
    ...     sorted(os.listdir(folder))
    ['images.npy', 'labels.npy', 'pack.json']
    """
    images, labels, classes = data
    if len(classes) > 256:
        raise DatasetError(f"{source}: expected at most 256 classes, got {len(classes)}.")
    description = {"classes": list(classes), "source": source, "stand_in": stand_in}
    text = json.dumps(description, indent=1, sort_keys=True) + "\n"
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "pack.json").unlink(missing_ok=True)
        _replace(out / "images.npy", lambda sink: np.save(sink, np.ascontiguousarray(images)))
        _replace(out / "labels.npy", lambda sink: np.save(sink, labels.astype(np.uint8)), PRIVATE)
        _replace(out / "pack.json", lambda sink: sink.write(text.encode()))
    except OSError as problem:
        raise DatasetError(f"{out}: expected a folder that can be written, got: {problem}.") from problem


def _replace(path: Path, write: Callable[[IO[bytes]], object], mode: int = 0o644) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as sink:
            write(sink)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _pack(args: argparse.Namespace) -> None:
    out = Path(args.out)
    if args.stand_in is not None:
        _pack_stand_in(args, out)
        return
    if args.dataset is not None:
        from exercise_code.data.registry import fetch

        part = args.part or "test"
        folder, source = fetch(args.dataset, (part,), progress=False), args.dataset
    else:
        folder = Path(args.folder)
        source = public_name(folder)
        part = args.part
        if part is None and folder.is_dir():
            part = "all" if parts_of(folder) == ("all",) else "test"
    data = read_folder(folder, (part,), limit=args.n, size=args.size)
    write_pack(out, data, source=source, stand_in=False)


def _pack_stand_in(args: argparse.Namespace, out: Path) -> None:
    from exercise_code.data import synthetic
    from exercise_code.data.registry_file import load_registry

    names = [name for name, info in load_registry().items() if info.stand_in]
    part = args.part or "test"
    for option, given, known in (("stand-in", args.stand_in, names), ("part", part, STAND_IN_PARTS)):
        if given not in known:
            raise DatasetError(f"--{option}: expected one of {', '.join(known)}, got {given!r}.")
    data = synthetic.make(args.stand_in, part, n=args.n, seed=args.seed)
    write_pack(out, data, source=args.stand_in, stand_in=True)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, or 2 after one line on stderr."""
    parser = CommandLine(prog="python -m exercise_code.data.pack", description="Write a part of a data set as arrays.")
    parser.add_argument("--out", required=True, help="folder for images.npy, labels.npy and pack.json")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--dataset", help="name in the registry; never replaced by a stand-in")
    what.add_argument("--folder", help="folder in a layout that exercise_code.data.readers understands")
    what.add_argument("--stand-in", help="name of a procedural stand-in")
    parser.add_argument("--part", help="train, test, ... (default: test; all of a folder without parts)")
    parser.add_argument("--n", type=_positive, help="at most so many images; of a stand-in exactly so many")
    parser.add_argument("--seed", type=int, help="of a stand-in; another seed draws other images")
    parser.add_argument("--size", type=_positive, help="scale images of class folders to this side in pixels")
    args = parser.parse_args(argv)
    return exit_code(lambda: _pack(args))


if __name__ == "__main__":
    sys.exit(main())
