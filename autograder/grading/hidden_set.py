"""Makes the hidden test set of an exercise in a secret order, and is the only module that reads its labels.

Layout: <course_dir>/hidden/<exercise>/{inputs.npy, labels.npy, meta.json}. Both folders are closed to others
(0700), labels and meta too (0600); inputs.npy is 0644 because it alone is mounted, as a single file, in the
sandbox, whose code is another user. The order is secret so that nothing known about the source data (classes
one after the other, a public order) tells a label.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from autograder.errors import HiddenSetError
from autograder.grading.accuracy import NO_CLASS
from autograder.grading.hidden_place import refuse_unsafe_place

_REPOSITORY = Path(__file__).resolve().parents[2]
_STAND_IN_SIZE = 2000
_EXERCISE_ID = re.compile(r"\d\d_[a-z0-9]+(?:_[a-z0-9]+)*")


class HiddenSetMeta(TypedDict):
    """meta.json; `built_from` is ours alone, the rest may be shown."""

    schema: int
    exercise: str
    version: str  # first 12 hex digits of sha256 over the inputs' and then the labels' values
    size: int
    num_classes: int
    shape: list[int]  # [C, H, W]
    source: str
    standin: bool
    built_from: dict[str, Any]


def build(
    course_dir: Path,
    exercise_id: str,
    *,
    dataset: str | None = None,
    part: str = "test",
    folder: Path | None = None,
    stand_in: str | None = None,
    n: int | None = None,
    side: int | None = None,
    rng_seed: int | None = None,
    replace: bool = False,
) -> HiddenSetMeta:
    """Build the set from exactly one of a registry data set, a folder of images or a procedural stand-in.

    Building the same again changes nothing and returns what is there.

    Args:
        part: which part of the data set or folder.
        n: take so many at random; of a stand-in, draw so many (2000).
        side: scale photographs in class folders to so many pixels a side, as the models expect them.
        rng_seed: for tests only: makes order, choice and stand-in predictable. Without it they come from the
            system's random source and are written nowhere.
        replace: put the new set in place of a different one; old results keep the old version.
    Raises:
        HiddenSetError: the place is not safe, another set is there, or the data cannot be had.
    """
    if sum(source is not None for source in (dataset, folder, stand_in)) != 1:
        raise HiddenSetError("hidden set: expected exactly one of a data set, a folder or a stand-in")
    if n is not None and n < 1:
        raise HiddenSetError(f"hidden set: expected at least 1 image, got {n}")
    target = _folder(course_dir, exercise_id)
    refuse_unsafe_place(target)
    request = {
        "dataset": dataset,
        "part": None if stand_in else part,
        "folder": str(folder.resolve()) if folder else None,
        "stand_in": stand_in,
        "n": (n or _STAND_IN_SIZE) if stand_in else n,
        "rng_seed": rng_seed,
    }
    if side is not None and not stand_in:  # stand-ins have their size
        request["side"] = side
    present = _present(course_dir, exercise_id)
    if stand_in and present and _without_fingerprint(present["built_from"]) == request:
        return present  # its random source is secret, so there is nothing to compare
    if stand_in and target.exists() and not replace:
        raise _other_set(target)

    target.parent.mkdir(parents=True, exist_ok=True)
    target.parent.chmod(0o700)
    scratch = Path(tempfile.mkdtemp(prefix=".building-", dir=target.parent))  # mode 0700
    try:
        images, labels, description = _pack(request, scratch / "pack")
        fingerprint = None if stand_in else _sha256(images, labels)
        built_from = {**request, "fingerprint": fingerprint}
        if present and present["built_from"] == built_from:
            return present
        if target.exists() and not replace:
            raise _other_set(target)
        if n is not None and n > len(images):
            raise HiddenSetError(f"hidden set: expected at most {len(images)} images from this source, got {n}")
        rng = np.random.default_rng(secrets.randbits(128) if rng_seed is None else rng_seed)
        order = rng.permutation(len(images))[:n]
        inputs = np.ascontiguousarray(images[order].transpose(0, 3, 1, 2))  # (N, C, H, W)
        labels = labels[order]
        meta = HiddenSetMeta(
            schema=1,
            exercise=exercise_id,
            version=_sha256(inputs, labels)[:12],
            size=len(inputs),
            num_classes=len(description["classes"]),
            shape=[int(size) for size in inputs.shape[1:]],
            source=str(description["source"]),
            standin=bool(description["stand_in"]),
            built_from=built_from,
        )
        fresh = scratch / "set"
        fresh.mkdir(mode=0o700)
        _save(fresh / "inputs.npy", 0o644, inputs)
        _save(fresh / "labels.npy", 0o600, labels)
        _save(fresh / "meta.json", 0o600, meta)
        if target.exists():
            target.rename(scratch / "old")
        fresh.rename(target)
        return meta
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def load_meta(course_dir: Path, exercise_id: str) -> HiddenSetMeta:
    """Read meta.json.

    Raises:
        HiddenSetError: there is no hidden set, or its meta.json is damaged.
    """
    path = _folder(course_dir, exercise_id) / "meta.json"
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise HiddenSetError(
            f"{exercise_id} has no hidden set: expected {path}; "
            f"run `python -m autograder hidden-set build {exercise_id}`"
        ) from None
    except (OSError, ValueError) as error:
        raise HiddenSetError(f"{path} cannot be read: {error}; build the hidden set again") from error
    kinds = {
        "schema": int,
        "version": str,
        "size": int,
        "num_classes": int,
        "shape": list,
        "source": str,
        "standin": bool,
    }
    wrong = [key for key, kind in kinds.items() if not isinstance(meta, dict) or not isinstance(meta.get(key), kind)]
    if wrong or meta["schema"] != 1 or meta.get("exercise") != exercise_id:
        raise HiddenSetError(f"{path}: expected schema 1 of {exercise_id}, got wrong {wrong or 'schema or exercise'}")
    return {**meta, "built_from": meta.get("built_from") or {}}  # type: ignore[typeddict-item]


def inputs_path(course_dir: Path, exercise_id: str) -> Path:
    """The one file of the set that a sandbox may see: uint8 (N, C, H, W)."""
    path = _folder(course_dir, exercise_id) / "inputs.npy"
    if not path.is_file():
        raise HiddenSetError(f"{exercise_id} has no hidden inputs: expected {path}; build the hidden set")
    return path


def load_labels(course_dir: Path, exercise_id: str) -> np.ndarray:
    """The hidden labels, uint8 (N,), in the order of the inputs. Only for the process that counts.

    Raises:
        HiddenSetError: missing, damaged, or not the set that meta.json describes.
    """
    meta = load_meta(course_dir, exercise_id)
    labels = _load(_folder(course_dir, exercise_id) / "labels.npy")
    inputs = _load(inputs_path(course_dir, exercise_id))
    if labels.shape != (meta["size"],) or inputs.shape != (meta["size"], *meta["shape"]):
        raise HiddenSetError(
            f"hidden set of {exercise_id}: {labels.shape} labels, {inputs.shape} inputs, not as meta.json"
        )
    if _sha256(inputs, labels)[:12] != meta["version"]:
        raise HiddenSetError(f"hidden set of {exercise_id} has changed since it was built (version {meta['version']})")
    return labels


def _folder(course_dir: Path, exercise_id: str) -> Path:
    if not _EXERCISE_ID.fullmatch(exercise_id):
        raise HiddenSetError(f"exercise: expected an id like 04_grid_search, got {exercise_id!r}")
    return Path(course_dir).absolute() / "hidden" / exercise_id


def _present(course_dir: Path, exercise_id: str) -> HiddenSetMeta | None:
    try:
        load_labels(course_dir, exercise_id)
        return load_meta(course_dir, exercise_id)
    except HiddenSetError:
        return None


def _without_fingerprint(built_from: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in built_from.items() if key != "fingerprint"}


def _other_set(target: Path) -> HiddenSetError:
    return HiddenSetError(
        f"{target} holds a different hidden set; replacing it makes earlier scores outdated: use --replace"
    )


def _pack(request: dict[str, Any], out: Path) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Images uint8 (N, H, W, C), labels uint8 (N,) and description, by the course package's own program."""
    words = [sys.executable, "-m", "exercise_code.data.pack", "--out", str(out)]
    if request["stand_in"]:
        seed = request["rng_seed"] if request["rng_seed"] is not None else secrets.randbits(32)
        words += ["--stand-in", request["stand_in"], "--n", str(request["n"]), "--seed", str(seed)]
    else:
        option = "--dataset" if request["dataset"] else "--folder"
        words += [option, request["dataset"] or request["folder"], "--part", request["part"]]
        if request.get("side"):
            words += ["--size", str(request["side"])]
    env = dict(os.environ)
    if env.get("DATASETS_DIR"):
        env["DATASETS_DIR"] = str(Path(env["DATASETS_DIR"]).expanduser().absolute())
    done = subprocess.run(words, cwd=_REPOSITORY, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise HiddenSetError(f"hidden set: {why.removeprefix('error: ')}")
    images, labels = _load(out / "images.npy"), _load(out / "labels.npy")
    try:
        description = json.loads((out / "pack.json").read_text(encoding="utf-8"))
        classes = len(description["classes"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise HiddenSetError(f"hidden set: {out / 'pack.json'} cannot be read: {error}") from error
    if images.ndim != 4 or labels.shape != images.shape[:1] or not len(images):
        raise HiddenSetError(
            f"hidden set: expected (N, H, W, C) images and N labels, got {images.shape}, {labels.shape}"
        )
    if not 0 < classes <= NO_CLASS or int(labels.max()) >= classes:
        raise HiddenSetError(f"hidden set: expected labels below {classes} and at most {NO_CLASS} classes")
    return images, labels, description


def _load(path: Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise HiddenSetError(f"{path} cannot be read: {error}; build the hidden set again") from error
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
        raise HiddenSetError(f"{path}: expected one uint8 array; build the hidden set again")
    return array


def _save(path: Path, mode: int, content: np.ndarray | HiddenSetMeta) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as sink:
        if isinstance(content, np.ndarray):
            np.save(sink, content, allow_pickle=False)
        else:
            sink.write((json.dumps(content, indent=1, sort_keys=True) + "\n").encode())
        os.fchmod(sink.fileno(), mode)  # whatever the umask is
        sink.flush()
        os.fsync(sink.fileno())


def _sha256(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
