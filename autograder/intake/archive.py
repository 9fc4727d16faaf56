"""What a submission zip may contain, decided over its bytes before anything in it is used.

Nothing is ever extracted to a path taken from the zip: the only result is a dictionary from the names that
the exercise expects to their bytes. Modes, times and owners in the zip are ignored.
"""

from __future__ import annotations

import io
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autograder.records.rows import clean

if TYPE_CHECKING:
    from autograder.course.manifest import Exercise

CLAIM_NAME = "submission.json"
MAX_NOTEBOOK_BYTES = 25_000_000
MAX_CLAIM_BYTES = 64_000
MAX_ENTRIES = 64  # expected names plus the noise a file manager adds
MAX_DIRECTORY_BYTES = 256_000  # bounds what zipfile parses before a single entry can be counted
FREE_BYTES = 1_000_000  # an inflation ratio means nothing below this size
MAX_RATIO = 200
CHUNK = 1 << 16

_NOISE = {".ds_store", "thumbs.db", "desktop.ini"}
_ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst")
_PICKLE_SUFFIXES = (".pkl", ".pickle", ".p", ".pt", ".pth", ".joblib", ".npy", ".npz", ".h5")
_END = b"PK\x05\x06"
_END_SIZE = 22


class Rejected(Exception):
    """Refused at intake, nothing of it ran; `code` is for programs, `detail` for the student."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = clean(detail)


class Claim(BaseModel):
    """`submission.json`: what the student's side says about itself. Never believed, only shown."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    schema_: Annotated[int, Field(alias="schema", ge=1, le=1)]
    exercise: Annotated[str, Field(max_length=100)]
    claimed: dict[str, Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]]
    package_version: Annotated[str, Field(max_length=100)] = ""
    data: Annotated[str, Field(max_length=100)] = ""


@dataclass(frozen=True)
class Opened:
    """An accepted submission: expected name -> bytes, its claim, and what was tolerated (for the report)."""

    files: dict[str, bytes]
    claim: Claim
    notes: tuple[str, ...]


def size_limits(exercise: Exercise) -> dict[str, int]:
    """Every name that the exercise expects, with the most bytes it may inflate to."""
    return {
        exercise.notebook: MAX_NOTEBOOK_BYTES,
        **{model.file: model.max_bytes for model in exercise.models},
        CLAIM_NAME: MAX_CLAIM_BYTES,
    }


def max_archive_bytes(exercise: Exercise) -> int:
    """The largest zip worth reading: everything stored uncompressed, with headers and noise."""
    return sum(size_limits(exercise).values()) + FREE_BYTES


def open_submission(data: bytes, exercise: Exercise) -> Opened:
    """Check a submission zip completely and return its files.

    Raises:
        Rejected: with code `archive`, `missing_file`, `unexpected_file`, `too_large` or `submission_json`.
    """
    if len(data) > max_archive_bytes(exercise):
        raise Rejected("too_large", f"the zip has {len(data):,} bytes, at most {max_archive_bytes(exercise):,}")
    _check_frame(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members, notes = _select(archive.infolist(), size_limits(exercise))
            files = _inflate_all(archive, members, size_limits(exercise))
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError) as error:
        raise Rejected("archive", f"the zip is damaged ({error}); make it again and upload it again") from None
    except (NotImplementedError, RuntimeError, OverflowError) as error:
        raise Rejected("archive", f"the zip uses a feature that is not accepted ({error})") from None
    for name in files:
        if not name.endswith(".onnx") and files[name].startswith(b"PK\x03\x04"):
            raise Rejected("archive", f"{name} is itself a zip")
    return Opened(files, read_claim(files[CLAIM_NAME], exercise), notes)


def read_claim(data: bytes, exercise: Exercise) -> Claim:
    """Validate `submission.json`.

    Raises:
        Rejected: with code `submission_json` when a field is missing, of the wrong type or out of range.
    """
    try:
        claim = Claim.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise Rejected("submission_json", f"{CLAIM_NAME}, {where}: {first['msg']}") from None
    if claim.exercise != exercise.id:
        raise Rejected("submission_json", f"{CLAIM_NAME} is for exercise {claim.exercise!r}, expected {exercise.id!r}")
    unknown = sorted(set(claim.claimed) - {model.file for model in exercise.models})
    if unknown:
        raise Rejected("submission_json", f"{CLAIM_NAME} claims an accuracy for {unknown[0]!r}, no such model")
    return claim


def _check_frame(data: bytes) -> None:
    """One plain zip from the first byte to the last, with a directory small enough to parse."""
    if not data:
        raise Rejected("archive", "the file is empty")
    if not data.startswith(b"PK\x03\x04"):
        raise Rejected("archive", "not a zip file")
    # zipfile looks in the same places: at the very end, then backwards over the longest possible comment
    end = len(data) - _END_SIZE
    if end < 0 or data[end : end + 4] != _END or data[-2:] != b"\0\0":
        end = data.rfind(_END, max(0, len(data) - _END_SIZE - 0xFFFF))
    if end < 0 or end + _END_SIZE > len(data):
        raise Rejected("archive", "the zip is truncated; upload it again")
    directory, offset, comment = struct.unpack("<LLH", data[end + 12 : end + _END_SIZE])
    if end + _END_SIZE + comment != len(data):
        raise Rejected("archive", "there are bytes after the end of the zip")
    if data[max(0, end - 20) : end].startswith(b"PK\x06\x07"):
        raise Rejected("archive", "zip64 is not accepted; the files of a submission are far smaller than 4 GB")
    if directory > MAX_DIRECTORY_BYTES:
        raise Rejected("archive", f"too many entries, at most {MAX_ENTRIES}")
    if offset + directory != end:
        raise Rejected("archive", "the zip is damaged or has bytes that belong to no entry")


def _select(infos: list[zipfile.ZipInfo], limits: dict[str, int]) -> tuple[dict[str, zipfile.ZipInfo], tuple[str, ...]]:
    """Map each expected name to its entry, or refuse; also says what was tolerated."""
    if len(infos) > MAX_ENTRIES:
        raise Rejected("archive", f"{len(infos)} entries, at most {MAX_ENTRIES}")
    seen: set[str] = set()
    for info in infos:
        _check_entry(info)
        key = unicodedata.normalize("NFC", info.filename).casefold()
        if key in seen:
            raise Rejected("archive", f"{show(info.filename)} is in the zip twice")
        seen.add(key)
    _check_overlap(infos)

    notes = []
    files = [info for info in infos if not info.is_dir()]
    wanted = [info for info in files if not _is_noise(info.filename)]
    if len(wanted) < len(files):
        notes.append(f"ignored {len(files) - len(wanted)} files that a file manager added")
    tops = {info.filename.split("/")[0] for info in wanted if "/" in info.filename}
    folder = tops.pop() if len(tops) == 1 and all("/" in info.filename for info in wanted) else ""
    if folder:
        notes.append(f"everything is inside the folder {show(folder)}")
    members = {info.filename.removeprefix(f"{folder}/" if folder else ""): info for info in wanted}
    _check_names(members, limits)
    return members, tuple(notes)


def _check_entry(info: zipfile.ZipInfo) -> None:
    """Refuse whatever no honest submission contains; names are never repaired."""
    name = info.orig_filename  # zipfile cuts `filename` at a NUL
    parts = name.removesuffix("/").split("/")
    if not name.isprintable() or len(name) > 255:  # also refuses bidi and zero-width characters
        raise Rejected("archive", f"a name with control characters or over 255 characters: {show(name)}")
    if "\\" in name or name.startswith("/") or re.match(r"[A-Za-z]:", name) or set(parts) & {"", ".", ".."}:
        raise Rejected("archive", f"the name {show(name)} points outside the zip")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or (kind == stat.S_IFDIR) > info.is_dir():
        raise Rejected("archive", f"{show(name)} is not a regular file (a link or a device)")
    if info.flag_bits & (0x1 | 0x20 | 0x40 | 0x2000):
        raise Rejected("archive", f"{show(name)} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Rejected("archive", f"{show(name)} is packed with a method other than store or deflate")
    if info.is_dir() and info.file_size:
        raise Rejected("archive", f"the folder {show(name)} has content of its own")


def _check_overlap(infos: list[zipfile.ZipInfo]) -> None:
    """Two entries that share bytes inflate to more than they weigh (the quine and overlap bombs)."""
    ordered = sorted(infos, key=lambda info: info.header_offset)
    for first, second in zip(ordered, ordered[1:], strict=False):
        if first.header_offset + 30 + first.compress_size > second.header_offset:
            raise Rejected("archive", f"{show(first.filename)} and {show(second.filename)} overlap")


def _check_names(members: Iterable[str], limits: dict[str, int]) -> None:
    """Exactly the expected names; one message says both what is too much and what is missing."""
    members = set(members)
    unexpected, missing = sorted(members - set(limits)), sorted(set(limits) - members)
    for name in unexpected:
        if name.casefold().endswith(_ARCHIVE_SUFFIXES):
            raise Rejected("archive", f"{show(name)}: an archive inside the zip; hand in the files themselves")
    if unexpected:
        name = unexpected[0]
        text = f"{show(name)} does not belong to the submission ({', '.join(limits)})"
        if missing:
            text += f"; missing: {', '.join(missing)}"
            close = get_close_matches(name, missing, n=1, cutoff=0.7)
            text += f"; did you mean {close[0]}?" if close else ""
        if name.casefold().endswith(_PICKLE_SUFFIXES):
            text += "; models are handed in as ONNX, see exercise_code.submit"
        raise Rejected("unexpected_file", text)
    if missing:
        raise Rejected("missing_file", f"missing: {', '.join(missing)}")


def _inflate_all(
    archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], limits: dict[str, int]
) -> dict[str, bytes]:
    """Inflate with the sizes counted as they come: what the headers promise is not trusted."""
    total, packed, files = 0, sum(info.compress_size for info in members.values()), {}
    for name in limits:  # a fixed order, so that one zip always gives the same verdict
        parts, size = [], 0
        with archive.open(members[name]) as stream:
            while chunk := stream.read(CHUNK):
                size, total = size + len(chunk), total + len(chunk)
                if size > limits[name]:
                    raise Rejected("too_large", f"{name} has more than {limits[name]:,} bytes")
                if total > FREE_BYTES + MAX_RATIO * packed:
                    raise Rejected("too_large", f"{name} inflates to more than {MAX_RATIO} times its packed size")
                parts.append(chunk)
        if size != members[name].file_size:
            raise Rejected("archive", f"{name} has {size:,} bytes, its header says {members[name].file_size:,}")
        files[name] = b"".join(parts)
    return files


def _is_noise(name: str) -> bool:
    parts = name.casefold().split("/")
    return parts[0] == "__macosx" or parts[-1] in _NOISE or parts[-1].startswith("._")


def show(name: str) -> str:
    """A name from outside, safe to print: escaped and cut."""
    text = ascii(name)
    return text if len(text) <= 80 else text[:76] + "...'"
