"""What a submission zip may contain; every attack is made here as bytes, by struct and zipfile."""

import io
import json
import stat
import struct
import zipfile
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from autograder.course.manifest import Exercise, HiddenSetSpec, ModelContract, Task
from autograder.intake import archive
from autograder.intake.archive import Rejected, open_submission

NOTEBOOK = b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
MODEL = bytes(range(256)) * 40
CLAIM = {
    "schema": 1,
    "exercise": "04_grid_search",
    "claimed": {"model.onnx": 0.52},
    "package_version": "1.0",
    "data": "cifar10",
}
NAMES = ["04_grid_search.ipynb", "model.onnx", "submission.json"]


@pytest.fixture
def exercise():
    return Exercise(
        id="04_grid_search",
        title="Hyper-parameter search",
        due=datetime(2026, 12, 16, 15, tzinfo=UTC),
        cell_timeout_s=10,
        notebook_timeout_s=20,
        data=("cifar10",),
        tasks=(Task("tanh", 2),),
        models=(ModelContract("model.onnx", (3, 32, 32), 10, 1_000_000, 3_000_000),),
        hidden_set=HiddenSetSpec("cifar10", 48),
    )


def contents(**changes):
    files = dict(zip(NAMES, [NOTEBOOK, MODEL, json.dumps(CLAIM).encode()], strict=True))
    return files | changes


def make(entries, method=zipfile.ZIP_DEFLATED):
    """Zip (name or ZipInfo, bytes) pairs, repeats allowed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as target:
        for name, data in entries.items() if isinstance(entries, dict) else entries:
            target.writestr(name, data)
    return buffer.getvalue()


def good():
    return make(contents())


def refusal(data, exercise):
    with pytest.raises(Rejected) as caught:
        open_submission(data, exercise)
    assert "\n" not in caught.value.detail and caught.value.detail.isprintable()
    return caught.value.code, caught.value.detail


def patched(data, offset_in_entry, value, name=b"model.onnx"):
    """Overwrite bytes in the central directory entry of `name`."""
    at = data.rindex(name) - 46
    assert data[at : at + 4] == b"PK\x01\x02"
    at += offset_in_entry
    return data[:at] + value + data[at + len(value) :]


def entry(name, mode=None, system=3):
    info = zipfile.ZipInfo(name)
    info.create_system = system
    if mode is not None:
        info.external_attr = mode << 16
    return info


def test_a_good_zip_gives_exactly_the_expected_files_and_the_claim(exercise):
    opened = open_submission(good(), exercise)
    assert opened.files == contents()
    assert opened.claim.claimed == {"model.onnx": 0.52} and opened.notes == ()


def test_a_wrapping_folder_and_file_manager_noise_are_tolerated_and_reported(exercise):
    files = [(f"my work/{name}", data) for name, data in contents().items()]
    files += [("__MACOSX/my work/._model.onnx", b"x"), ("my work/.DS_Store", b"x"), ("my work/", b"")]
    opened = open_submission(make(files), exercise)
    assert opened.files == contents()
    assert len(opened.notes) == 2 and "'my work'" in opened.notes[1]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_both_common_packing_methods_are_read(exercise, method):
    assert open_submission(make(contents(), method), exercise).files == contents()


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named(exercise, name):
    files = contents()
    del files[name]
    code, detail = refusal(make(files), exercise)
    assert code == "missing_file" and name in detail


def test_a_pickle_instead_of_the_model_is_refused_with_both_names_and_a_hint(exercise):
    files = contents()
    files["model.pkl"] = files.pop("model.onnx")
    code, detail = refusal(make(files), exercise)
    assert code == "unexpected_file"
    assert "model.pkl" in detail and "missing: model.onnx" in detail and "ONNX" in detail


def test_a_renamed_notebook_gets_the_name_it_should_have(exercise):
    files = contents()
    files["04_grid_search (1).ipynb"] = files.pop("04_grid_search.ipynb")
    code, detail = refusal(make(files), exercise)
    assert code == "unexpected_file" and "did you mean 04_grid_search.ipynb?" in detail


@pytest.mark.parametrize(
    "name", ["numpy.py", "sitecustomize.py", "conftest.py", "x.pth", "torch/__init__.py", "Model.onnx"]
)
def test_anything_else_beside_the_expected_files_is_refused(exercise, name):
    files = contents()
    if name == "Model.onnx":
        del files["model.onnx"]
    assert refusal(make(files | {name: b"x"}), exercise)[0] == "unexpected_file"


@pytest.mark.parametrize(
    "name",
    [
        "../model.onnx",
        "a/../../model.onnx",
        "/etc/passwd",
        "C:evil.onnx",
        "C:/evil.onnx",
        "..\\evil",
        "dir\\evil",
        "./model.onnx",
        "a//b",
        "//server/share",
        "new\nline",
        "escape\x1b[2J",
        "right\u202eto left",
        "zero\u200bwidth",
        "n" * 300,
    ],
)
def test_names_that_escape_or_deceive_are_refused_and_shown_escaped(exercise, name):
    code, detail = refusal(make(contents() | {name: b"x"}), exercise)
    assert code == "archive" and len(detail) < 300 and detail.isascii()


def test_a_name_cut_by_a_nul_is_refused(exercise):
    data = make(contents() | {"model.onnxZ.py": b"x"}).replace(b"model.onnxZ.py", b"model.onnx\0.py")
    assert refusal(data, exercise)[0] == "archive"


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
@pytest.mark.parametrize("system", [0, 3])
def test_links_devices_and_pipes_are_refused_whatever_system_they_claim(exercise, mode, system):
    files = [(name, data) for name, data in contents().items() if name != "model.onnx"]
    code, detail = refusal(make([*files, (entry("model.onnx", mode | 0o777, system), b"/etc")]), exercise)
    assert code == "archive" and "not a regular file" in detail


def test_a_directory_mode_on_a_file_is_refused(exercise):
    files = [(name, data) for name, data in contents().items() if name != "model.onnx"]
    data = make([*files, (entry("model.onnx", stat.S_IFDIR | 0o755), b"x")])
    assert refusal(data, exercise)[0] == "archive"


def test_setuid_bits_and_absurd_times_are_ignored(exercise):
    info = zipfile.ZipInfo("model.onnx", (2099, 12, 31, 23, 59, 58))
    info.external_attr = (stat.S_IFREG | 0o6777) << 16
    files = [(name, data) for name, data in contents().items() if name != "model.onnx"]
    assert open_submission(make([*files, (info, MODEL)]), exercise).files == contents()


@pytest.mark.parametrize("flag", [0x1, 0x40, 0x2000, 0x2041])
def test_encrypted_entries_are_refused(exercise, flag):
    code, detail = refusal(patched(good(), 8, struct.pack("<H", flag)), exercise)
    assert code == "archive" and "encrypted" in detail


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_compression_is_refused(exercise, method):
    assert refusal(make(contents(), method), exercise)[0] == "archive"


def test_an_unknown_compression_method_is_refused(exercise):
    assert refusal(patched(good(), 10, struct.pack("<H", 99)), exercise)[0] == "archive"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_same_name_twice_is_refused(exercise):
    code, detail = refusal(make([*contents().items(), ("model.onnx", b"other")]), exercise)
    assert code == "archive" and "twice" in detail


@pytest.mark.parametrize(
    "pair", [("model.onnx", "MODEL.onnx"), ("caf\u00e9", "cafe\u0301"), ("stra\u00dfe", "STRASSE")]
)
def test_names_that_collide_by_case_or_composition_are_refused(exercise, pair):
    code, detail = refusal(make(contents() | dict.fromkeys(pair, b"x")), exercise)
    assert code == "archive" and "twice" in detail


def test_too_many_entries_are_refused_even_as_noise(exercise):
    noise = {f"__MACOSX/{number}": b"" for number in range(100)}
    code, detail = refusal(make(contents() | noise), exercise)
    assert code == "archive" and "at most 64" in detail


def test_a_directory_of_a_hundred_thousand_entries_is_refused_before_it_is_parsed(exercise, monkeypatch):
    data = make({f"{number:06}": b"" for number in range(20_000)})
    monkeypatch.setattr(zipfile, "ZipFile", None)  # parsing would now raise TypeError
    assert refusal(data, exercise) == ("archive", "too many entries, at most 64")


def test_a_model_over_its_limit_is_too_large_whatever_the_header_says(exercise):
    big = zlib.compress(b"", 1) + bytes(range(256)) * 12_000  # 3.07 MB that deflate well
    honest = make(contents(**{"model.onnx": big}))
    code, detail = refusal(honest, exercise)
    assert code == "too_large" and "3,000,000" in detail
    lying = patched(honest, 24, struct.pack("<L", 1000))
    assert refusal(lying, exercise)[0] in ("archive", "too_large")


def test_a_bomb_is_stopped_by_its_ratio_while_inflating(exercise):
    code, detail = refusal(make(contents(**{"model.onnx": bytes(2_500_000)})), exercise)
    assert code == "too_large" and "200 times" in detail


def test_inflating_stops_at_the_limit_and_not_at_the_end(exercise, monkeypatch):
    bomb = make(contents(**{"04_grid_search.ipynb": bytes(200_000_000)}))
    assert len(bomb) < 400_000
    seen = []
    real = zipfile.ZipExtFile.read
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda self, n=-1: (seen.append(n), real(self, n))[1])
    assert refusal(bomb, exercise)[0] == "too_large"
    assert set(seen) == {archive.CHUNK} and len(seen) < 2000


def test_a_zip_larger_than_everything_it_may_hold_is_not_opened(exercise):
    code, detail = refusal(b"PK\x03\x04" + bytes(40_000_000), exercise)
    assert code == "too_large"


def test_overlapping_entries_are_refused(exercise):
    data = make(contents(), zipfile.ZIP_STORED)
    at = data.index(b"PK\x01\x02")
    first_entry = struct.unpack("<L", data[at + 42 : at + 46])[0]
    assert first_entry == 0
    # submission.json now claims to start where the model starts
    model_at = struct.unpack("<L", data[data.rindex(b"model.onnx") - 4 : data.rindex(b"model.onnx")])[0]
    code, detail = refusal(patched(data, 42, struct.pack("<L", model_at), b"submission.json"), exercise)
    assert code == "archive" and "overlap" in detail


@pytest.mark.parametrize("name", ["inner.zip", "work/inner.ZIP", "model.tar.gz", "all.7z"])
def test_an_archive_inside_the_zip_is_refused(exercise, name):
    code, detail = refusal(make(contents() | {name: good()}), exercise)
    assert code == "archive" and "archive inside" in detail


def test_a_zip_in_place_of_the_notebook_is_refused(exercise):
    code, detail = refusal(make(contents(**{"04_grid_search.ipynb": good()})), exercise)
    assert (code, detail) == ("archive", "04_grid_search.ipynb is itself a zip")


def test_a_wrong_checksum_is_refused(exercise):
    data = make(contents(), zipfile.ZIP_STORED)
    at = data.index(MODEL)
    code, detail = refusal(data[:at] + b"\xff" + data[at + 1 :], exercise)
    assert code == "archive" and "damaged" in detail


def test_damaged_deflate_data_is_refused(exercise):
    data = bytearray(good())
    at = data.index(b"model.onnx") + 10
    data[at : at + 8] = b"\xff" * 8
    assert refusal(bytes(data), exercise)[0] == "archive"


@pytest.mark.parametrize("keep", [0, 1, 4, 21, 22, 100, 500, -1, -22])
def test_a_truncated_or_empty_file_is_refused(exercise, keep):
    assert refusal(good()[:keep], exercise)[0] == "archive"


def test_every_single_byte_cut_off_or_flipped_gives_a_verdict_and_no_crash(exercise):
    data = make(contents(**{"model.onnx": b"tiny"}))
    for at in range(len(data)):
        for bad in (data[:at], data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]):
            try:
                files = open_submission(bad, exercise).files
            except Rejected:
                continue
            assert set(files) == set(NAMES)


@pytest.mark.parametrize(
    "wrap", [lambda z: b"GIF89a" + z, lambda z: z + b"tail", lambda z: z + z, lambda z: b"\x80\x04." + z]
)
def test_a_zip_that_is_also_something_else_is_refused(exercise, wrap):
    assert refusal(wrap(good()), exercise)[0] == "archive"


@pytest.mark.parametrize("data", [b"not a zip", b"\x1f\x8b" + bytes(99), b"PK\x05\x06" + bytes(18), b"Rar!\x1a\x07"])
def test_other_formats_are_refused(exercise, data):
    assert refusal(data, exercise)[0] == "archive"


def claim(**changes):
    return json.dumps(CLAIM | changes)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "the file"),
        ("[]", "the file"),
        ("{" * 100_0, "the file"),
        ('{"schema": 1', "the file"),
        ("[" * 30_000, "the file"),
        (claim(schema=2), "schema"),
        (claim(schema="1"), "schema"),
        (claim(schema=True), "schema"),
        (claim(exercise="05_model_search"), "04_grid_search"),
        (claim(exercise=4), "exercise"),
        (claim(claimed={"model.onnx": 1.01}), "claimed"),
        (claim(claimed={"model.onnx": -0.1}), "claimed"),
        (claim(claimed={"model.onnx": float("nan")}), "claimed"),
        (claim(claimed={"model.onnx": float("inf")}), "claimed"),
        (claim(claimed={"model.onnx": 10**400}), "claimed"),
        (claim(claimed={"model.onnx": "0.5"}), "claimed"),
        (claim(claimed={"model.onnx": None}), "claimed"),
        (claim(claimed={"other.onnx": 0.5}), "other.onnx"),
        (claim(claimed=[0.5]), "claimed"),
        (claim(claimed={"\x1b[2J\u202e": 0.5}), "\\x1b"),
        (claim(claimed={"\x1b[2J\u202e": 2}), "\\x1b"),
        (claim(package_version=1), "package_version"),
        (claim(data="x" * 101), "data"),
        ('{"exercise": "04_grid_search", "claimed": {}}', "schema"),
    ],
)
def test_a_wrong_submission_json_is_refused_naming_the_field(exercise, text, named):
    code, detail = refusal(make(contents(**{"submission.json": text})), exercise)
    assert code == "submission_json" and named in detail


def test_a_claim_in_another_encoding_or_over_its_limit_is_refused(exercise):
    assert refusal(make(contents(**{"submission.json": b"\xff\xfe{\0}\0"})), exercise)[0] == "submission_json"
    padded = json.dumps(CLAIM) + " " * 100_000
    assert refusal(make(contents(**{"submission.json": padded})), exercise)[0] == "too_large"


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.0, 0.48])
def test_the_ends_of_the_accuracy_range_are_accepted(exercise, value):
    opened = open_submission(make(contents(**{"submission.json": claim(claimed={"model.onnx": value})})), exercise)
    assert opened.claim.claimed == {"model.onnx": value}


def test_opening_writes_nothing_anywhere(exercise, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    open_submission(good(), exercise)
    assert list(Path(tmp_path).rglob("*")) == []
