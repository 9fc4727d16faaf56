"""4d: what a zip can do to whoever opens it, and files that take the place of libraries."""

import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest

NAMES = [
    "numpy.py",
    "torch/__init__.py",
    "sitecustomize.py",
    "conftest.py",
    "evil.pth",
    "json.py",
    "exercise_code/checks.py",
]


ARCHIVE, TOO_LARGE, UNEXPECTED = "REJECTED(archive)", "REJECTED(too_large)", "REJECTED(unexpected_file)"
ESCAPES = [
    "../../outside/pwned",
    "/tmp/pwned",
    "C:\\pwned",
    "..\\..\\pwned",
    "a/../../pwned",
    "./model.onnx",
    "a//b",
    "con/../x",
]
ODD_NAMES = {
    "case": "MODEL.ONNX",
    "accents apart": "cafe\u0301.txt",
    "newline": "a\nb",
    "long": "x" * 300,
    "backwards": "gpj.\u202enoxe",
    "zero width": "model\u200b.onnx",
    "tab": "a\tb",
    "escape": "\x1b[31mred",
    "lone": "a\x7fb",
}
BOMBS = ["ratio", "model", "nested", "many", "duplicate", "size in header", "overlap", "zip64", "trailing", "leading"]
KINDS = [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK]
METHODS = {"encrypted": zipfile.ZIP_DEFLATED, "bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}


def special(name, kind):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    return info


def packed(tools, house, kind):
    data = tools.pack(house.files("x"), METHODS.get(kind, zipfile.ZIP_DEFLATED))
    at = data.rindex(b"model.onnx") - 46
    if kind == "encrypted":
        return data[: at + 8] + struct.pack("<H", 1) + data[at + 10 :]
    return data[: at + 10] + struct.pack("<H", 93) + data[at + 12 :] if kind == "unknown" else data


def bomb(tools, house, kind):
    """(entries or bytes) that inflate to far more than they weigh."""
    zeros = bytes(30_000_000)
    files = house.files("x")
    if kind == "ratio":
        return tools.pack(files | {house.exercise.notebook: bytes(24_000_000)})
    if kind == "model":
        return tools.pack(files | {"model.onnx": zeros})
    if kind == "nested":
        inner = tools.pack({"a": zeros})
        return tools.pack(files | {"inner.zip": tools.pack({"b.zip": inner})})
    if kind == "many":
        return tools.pack([*files.items(), *((f"__MACOSX/{n}", b"") for n in range(5000))])
    data = tools.pack(files)
    if kind == "duplicate":
        with pytest.warns(UserWarning):
            return tools.pack([*files.items(), ("model.onnx", b"second")])
    at = data.rindex(b"model.onnx") - 46
    if kind == "size in header":
        return data[: at + 24] + struct.pack("<L", 5) + data[at + 28 :]
    if kind == "overlap":  # two names, one set of bytes
        first = struct.unpack("<L", data[data.rindex(house.exercise.notebook.encode()) - 46 + 42 :][:4])
        return data[: at + 42] + struct.pack("<L", *first) + data[at + 46 :]
    if kind == "zip64":
        end = data.rindex(b"PK\x05\x06")
        locator = b"PK\x06\x07" + bytes(16)
        return data[:end] + locator + data[end:]
    if kind == "trailing":
        return data + b"#!/bin/sh\n"
    assert kind == "leading"
    return b"GIF89a" + data


def hostile(house, tools):
    """name -> (zip, the verdicts that are right)."""
    files = house.files("x")
    others = {name: data for name, data in files.items() if name != "model.onnx"}
    accents = [("\u00e9.txt", b"a"), ("e\u0301.txt", b"b")]
    return {
        **{f"library {n}": (tools.pack([*files.items(), (n, b"exit()")]), {UNEXPECTED}) for n in NAMES},
        **{f"escape {n}": (tools.pack([*files.items(), (n, b"hacked")]), {ARCHIVE}) for n in ESCAPES},
        **{
            f"special {kind}": (tools.pack([*others.items(), (special("model.onnx", kind), b"../x")]), {ARCHIVE})
            for kind in KINDS
        },
        **{f"bomb {kind}": (bomb(tools, house, kind), {ARCHIVE, TOO_LARGE}) for kind in BOMBS},
        **{
            f"name {which}": (tools.pack([*files.items(), (name, b"x")]), {ARCHIVE, UNEXPECTED})
            for which, name in ODD_NAMES.items()
        },
        "two spellings": (tools.pack([*files.items(), *accents]), {ARCHIVE}),
        **{f"packed {kind}": (packed(tools, house, kind), {ARCHIVE}) for kind in (*METHODS, "unknown")},
    }


@pytest.mark.attack(45, 46, 47, 48, 49, 50, 53, 8, verdict="REJECTED(archive | too_large | unexpected_file)")
def test_zips_that_no_honest_student_makes_are_refused_without_a_trace(house, tools):
    listed = hostile(house, tools)
    for name, (data, _) in listed.items():
        house.hand_in(name, data)
    house.grade()
    assert {name: house.verdict(name) for name, (_, right) in listed.items() if house.verdict(name) not in right} == {}
    assert all(house.detail(name).isprintable() for name in listed)
    assert not list(Path("/tmp").glob("pwned*"))


@pytest.mark.attack(45, verdict="SCORED by the runtime's own libraries")
def test_programs_of_ours_start_isolated_from_the_folder_they_are_in(box, tools):
    code = "import os, sys; open('/tmp/json.py','w').write('raise SystemExit(9)'); os.chdir('/tmp'); "
    code += (
        "os.execv(sys.executable, [sys.executable, '-I', '-c', 'import json, sys; print(json.__file__, sys.path[0])'])"
    )
    done = box.run([box.python, "-I", "-c", code], limits=tools.limits())
    assert done.reason == "ok" and b"/tmp" not in done.stdout


@pytest.mark.attack(47, verdict="ignored, not followed")
@pytest.mark.parametrize("what", ["link", "pipe", "link to a folder", "hidden set"])
def test_links_and_pipes_in_the_drop_are_not_followed(house, what):
    target = {"hidden set": house.hidden / "labels.npy"}.get(what, house.outside / "precious")
    house.hand_in("honest")
    place = house.drop / f"{house.student('mallory')}.zip"
    if what == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(house.outside if what == "link to a folder" else target)
    house.grade()
    assert house.rows("mallory") == []


@pytest.mark.attack(51, 62, verdict="SCORED; modes and times are ignored")
def test_modes_and_times_in_a_zip_are_ignored(house, tools):
    entries = []
    for name, data in house.files("x").items():
        info = zipfile.ZipInfo(name, (2099, 12, 31, 23, 59, 58))
        info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o6777) << 16
        entries.append((info, data))
    house.hand_in("odd", tools.pack(entries))
    house.grade()
    assert house.verdict("odd") == f"SCORED({tools.HONEST})"
    (row,) = house.rows("odd")
    assert row.received_at.startswith("2026-12-15")
    stored = house.course_dir / "store" / row.sha256[:2] / f"{row.sha256}.zip"
    assert stat.S_IMODE(stored.stat().st_mode) == 0o444
    assert not any(path.stat().st_mode & 0o6022 for path in house.course_dir.rglob("*") if path.is_file())
