"""The data set registry: verified folders, downloads from a real HTTP server on loopback, stand-ins."""

import gzip
import hashlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exercise_code.data import registry
from exercise_code.data.download import CHUNK_BYTES
from exercise_code.data.errors import DatasetError, DownloadError, IncompleteDataset, MissingDataset
from exercise_code.data.registry import download_archive, fetch, fetch_or_stand_in, load_registry, locate

ROOT = Path(__file__).resolve().parents[2]
RNG = np.random.default_rng(0)
BATCHES = {
    name: RNG.integers(0, 256, 3073 * n, np.uint8).tobytes()
    for name, n in (("data_batch_1.bin", 40), ("data_batch_2.bin", 40), ("test_batch.bin", 20))
}
CLASSES = ["ant", "bee"]
CUT = 12 * CHUNK_BYTES  # a whole number of chunks, so that every byte sent before the cut is kept


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tar_of(members: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return sink.getvalue()


def zip_of(members: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return sink.getvalue()


ARCHIVE = tar_of(
    {f"toy-batches/{name}": data for name, data in BATCHES.items()}
    | {"toy-batches/batches.meta.txt": b"ant\nbee\n\n", "toy-batches/readme.html": b"<p>not expected"}
)


@dataclass
class Mirror:
    """A web server: what it serves, how it misbehaves, and what was asked of it."""

    url: str
    content: dict[str, bytes] = field(default_factory=dict)
    cut_after: list[int] = field(default_factory=list)  # bytes after which the next answers break off
    ranges: bool = True
    asked: list[tuple[str, str | None, int]] = field(default_factory=list)  # path, Range header, bytes sent


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            data = state.content.get(self.path)
            wanted = self.headers.get("Range")
            if data is None:
                state.asked.append((self.path, wanted, 0))
                return self.send_error(404)
            start = 0
            if wanted and state.ranges:
                start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
                if start >= len(data):
                    state.asked.append((self.path, wanted, 0))
                    return self.send_error(416)
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            else:
                self.send_response(200)
            body = data[start:]
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if state.cut_after:
                body = body[: state.cut_after.pop(0)]
                self.close_connection = True
            self.wfile.write(body)
            state.asked.append((self.path, wanted, len(body)))

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Mirror(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def dead_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """The folder where a test's registry lies and downloads land; no setting from outside reaches in."""
    folder = tmp_path / "datasets"
    folder.mkdir()
    monkeypatch.setenv("DATASETS_REGISTRY", str(folder / "registry.toml"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("DATASETS_DIR", "DATASETS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(registry, "_announced", set())
    return folder


def write_registry(home: Path, urls: list[str], archive: bytes = ARCHIVE, **changes) -> None:
    """Register one data set, "toy", in the layout of CIFAR-10, as an archive at `urls`."""
    download = {
        "file": "toy.tar.gz",
        "parts": ["train", "test"],
        "size": len(archive),
        "sha256": sha256(archive),
    }
    download |= {"unpack": "tar", "strip": "toy-batches"} | changes
    lines = [
        *_head("toy", "cifar-binary", {"train": 80, "test": 20}),
        "[[toy.download]]",
        *_pairs({**download, "urls": urls}),
    ]
    for name, data in BATCHES.items():
        part = "test" if name.startswith("test") else "train"
        entry = {"path": name, "parts": [part], "size": len(data), "sha256": sha256(data)}
        lines += ["[[toy.file]]", *_pairs(entry)]
    entry = {"path": "batches.meta.txt", "parts": ["train", "test"], "holds": "class names"}
    (home / "registry.toml").write_text("\n".join([*lines, "[[toy.file]]", *_pairs(entry)]) + "\n")


def _head(name: str, layout: str, counts: dict[str, int]) -> list[str]:
    row = {
        "title": "Toy",
        "folders": [f"{name}-batches"],
        "layout": layout,
        "shape": [32, 32, 3],
        "classes": CLASSES,
    }
    row |= {"homepage": "https://example.org", "licence": "none", "citation": "nobody", "stand_in": True}
    pairs = ", ".join(f"{part} = {count}" for part, count in counts.items())
    return [f"[{name}]", *_pairs(row), f"counts = {{ {pairs} }}"]


def _pairs(row: dict) -> list[str]:
    return [f"{key} = {json.dumps(value)}" for key, value in row.items() if value is not None]


def install(folder: Path) -> Path:
    """Put a whole, right copy of the toy data set where a user might have it."""
    folder.mkdir(parents=True)
    for name, data in BATCHES.items():
        (folder / name).write_bytes(data)
    (folder / "batches.meta.txt").write_text("ant\nbee\n")
    return folder


class TestDownload:
    def test_the_archive_is_fetched_once_verified_and_unpacked(self, home, mirror):
        mirror.content["/toy.tar.gz"] = ARCHIVE
        write_registry(home, [mirror.url + "/toy.tar.gz"])

        folder = fetch("toy", progress=False)

        assert folder == home / "toy-batches"
        assert {path.name for path in folder.iterdir()} == {
            *BATCHES,
            "batches.meta.txt",
        }  # and no readme.html
        assert all((folder / name).read_bytes() == data for name, data in BATCHES.items())
        assert fetch("toy", ("train", "test"), progress=False) == folder
        assert mirror.asked == [("/toy.tar.gz", None, len(ARCHIVE))]
        assert not [path for path in home.rglob("*") if path.name.endswith((".part", ".gz")) or "unpack" in path.name]

    def test_a_cut_connection_is_resumed_with_the_missing_bytes_only(self, home, mirror):
        mirror.content["/toy.tar.gz"] = ARCHIVE
        mirror.cut_after = [CUT]
        write_registry(home, [mirror.url + "/toy.tar.gz"])

        folder = fetch("toy", progress=False)

        assert [(sent, wanted is None) for _, wanted, sent in mirror.asked] == [
            (CUT, True),
            (len(ARCHIVE) - CUT, False),
        ]
        assert mirror.asked[1][1] == f"bytes={CUT}-"
        assert (folder / "test_batch.bin").read_bytes() == BATCHES["test_batch.bin"]

    def test_what_one_run_received_the_next_run_continues(self, home, mirror):
        mirror.content["/toy.tar.gz"] = ARCHIVE
        mirror.cut_after = [6 * CHUNK_BYTES, 2 * CHUNK_BYTES, CHUNK_BYTES]
        write_registry(home, [mirror.url + "/toy.tar.gz"])
        with pytest.raises(DownloadError, match=f"cut after {9 * CHUNK_BYTES} of {len(ARCHIVE)} bytes.*continued"):
            fetch("toy", progress=False)
        assert not (home / "toy-batches" / "data_batch_1.bin").exists()

        fetch("toy", progress=False)

        assert mirror.asked[-1] == (
            "/toy.tar.gz",
            f"bytes={9 * CHUNK_BYTES}-",
            len(ARCHIVE) - 9 * CHUNK_BYTES,
        )

    def test_a_server_that_ignores_range_is_read_from_the_start(self, home, mirror):
        mirror.content["/toy.tar.gz"] = ARCHIVE
        mirror.cut_after, mirror.ranges = [CUT], False
        write_registry(home, [mirror.url + "/toy.tar.gz"])

        folder = fetch("toy", progress=False)

        assert [sent for _, _, sent in mirror.asked] == [CUT, len(ARCHIVE)]
        assert mirror.asked[1][1] == f"bytes={CUT}-"
        assert (folder / "data_batch_2.bin").read_bytes() == BATCHES["data_batch_2.bin"]

    def test_a_wrong_checksum_is_an_error_and_leaves_no_file(self, home, mirror):
        wrong = ARCHIVE[:-1] + bytes([ARCHIVE[-1] ^ 1])
        mirror.content["/toy.tar.gz"] = wrong
        write_registry(home, [mirror.url + "/toy.tar.gz"])

        with pytest.raises(DatasetError, match="A wrong file was removed") as caught:
            fetch("toy", progress=False)

        assert not isinstance(caught.value, DownloadError)
        assert f"expected sha256 {sha256(ARCHIVE)}, got {sha256(wrong)}" in str(caught.value)
        assert [p for p in home.rglob("*") if p.is_file() and p.suffix != ".lock"] == [home / "registry.toml"]

    def test_a_file_of_another_length_is_refused_before_it_is_read(self, home, mirror):
        mirror.content["/toy.tar.gz"] = b"<html>please log in</html>"
        write_registry(home, [mirror.url + "/toy.tar.gz"])

        with pytest.raises(DatasetError, match=f"expected {len(ARCHIVE)} bytes, the server offers 26"):
            fetch("toy", progress=False)

    def test_a_bad_beginning_left_by_another_mirror_is_thrown_away(self, home, mirror):
        mirror.content["/toy.tar.gz"] = ARCHIVE
        write_registry(home, [mirror.url + "/toy.tar.gz"])
        part = home / ".downloads" / "toy" / "toy.tar.gz.part"
        part.parent.mkdir(parents=True)
        part.write_bytes(b"x" * 1000)

        fetch("toy", progress=False)

        assert [wanted for _, wanted, _ in mirror.asked] == ["bytes=1000-", None]

    @pytest.mark.parametrize("trouble", ["dead", "404", "wrong"])
    def test_the_second_mirror_serves_when_the_first_does_not(self, home, mirror, dead_url, trouble):
        mirror.content["/toy.tar.gz"] = ARCHIVE
        mirror.content["/wrong"] = b"?" * len(ARCHIVE)
        first = {"dead": dead_url, "404": mirror.url + "/gone", "wrong": mirror.url + "/wrong"}[trouble]
        write_registry(home, [first, mirror.url + "/toy.tar.gz"])

        assert fetch("toy", progress=False) == home / "toy-batches"

    def test_all_mirrors_failing_names_each_reason(self, home, mirror, dead_url):
        write_registry(home, [dead_url + "/toy.tar.gz", mirror.url + "/gone"])

        with pytest.raises(DownloadError) as caught:
            fetch("toy", progress=False)

        text = str(caught.value)
        assert "expected toy.tar.gz from one of 2 mirrors" in text
        assert "no connection" in text and "HTTP 404" in text and "Check the network" in text

    def test_files_without_an_archive_are_fetched_one_by_one_and_only_what_is_missing(self, home, mirror):
        contents = {f"{part}-images-idx3-ubyte.gz": gzip.compress(part.encode()) for part in ("train", "t10k")}
        lines = _head("digits", "mnist-idx", {"train": 1, "test": 1})
        for name, data in contents.items():
            facts = {
                "parts": ["train" if name[1] == "r" else "test"],
                "size": len(data),
                "sha256": sha256(data),
            }
            mirror.content["/" + name] = data
            lines += [
                "[[digits.download]]",
                *_pairs({"file": name, "urls": [f"{mirror.url}/{name}"], **facts}),
            ]
            lines += ["[[digits.file]]", *_pairs({"path": name, **facts})]
        (home / "registry.toml").write_text("\n".join(lines))

        fetch("digits", progress=False)
        folder = fetch("digits", ("train", "test"), progress=False)

        assert [path for path, _, _ in mirror.asked] == [f"/{name}" for name in contents]
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == contents

    def test_zipped_class_folders_are_unpacked_without_strangers(self, home, mirror):
        pixel = io.BytesIO()
        Image.new("RGB", (4, 4)).save(pixel, "png")
        members = {f"train/{name}/{i}.png": pixel.getvalue() for name in CLASSES for i in range(2)}
        archive = zip_of(members | {"train/.DS_Store": b"x", "train/ant/notes.txt": b"x", "train/cat/0.png": b"x"})
        mirror.content["/train.zip"] = archive
        facts = {"file": "train.zip", "parts": ["train"], "size": len(archive), "sha256": sha256(archive)}
        lines = _head("leaf", "class-folders", {"train": 4})
        lines += [
            "[[leaf.download]]",
            *_pairs({**facts, "unpack": "zip", "urls": [mirror.url + "/train.zip"]}),
        ]
        (home / "registry.toml").write_text("\n".join(lines))

        folder = fetch("leaf", progress=False)

        found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        assert found == sorted(members)
        (folder / "train" / "ant" / "0.png").unlink()
        with pytest.raises(DatasetError, match=r"expected 4 images in .*train, got 3"):
            locate("leaf")

    @pytest.mark.parametrize(
        "name", ["../evil.bin", "toy-batches/../../evil.bin", "/tmp/evil.bin", "C:evil.bin", "..\\evil.bin"]
    )
    def test_an_archive_with_a_member_outside_is_refused_as_a_whole(self, home, mirror, name):
        archive = tar_of({"toy-batches/data_batch_1.bin": BATCHES["data_batch_1.bin"], name: b"evil"})
        mirror.content["/toy.tar.gz"] = archive
        write_registry(home, [mirror.url + "/toy.tar.gz"], archive)

        with pytest.raises(DatasetError, match=r"expected names inside the archive, got .*evil\.bin'.*refused"):
            fetch("toy", progress=False)

        assert not list(home.parent.rglob("*evil*"))
        assert not (home / "toy-batches" / "data_batch_1.bin").exists()

    def test_an_archive_with_a_link_is_refused(self, home, mirror):
        sink = io.BytesIO()
        with tarfile.open(fileobj=sink, mode="w") as archive:
            member = tarfile.TarInfo("toy-batches/data_batch_1.bin")
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(member)
        mirror.content["/toy.tar.gz"] = sink.getvalue()
        write_registry(home, [mirror.url + "/toy.tar.gz"], sink.getvalue())

        with pytest.raises(DatasetError, match="got a link or device"):
            fetch("toy", progress=False)

    def test_an_archive_whose_files_are_wrong_is_never_installed(self, home, mirror):
        archive = tar_of({"toy-batches/data_batch_1.bin": b"short", "toy-batches/test_batch.bin": b""})
        mirror.content["/toy.tar.gz"] = archive
        write_registry(home, [mirror.url + "/toy.tar.gz"], archive)

        with pytest.raises(DatasetError, match="is truncated: expected 122920 bytes, got 5"):
            fetch("toy", progress=False)
        assert list((home / "toy-batches").iterdir()) == []

    def test_progress_goes_to_stderr(self, home, mirror, capsys):
        mirror.content["/toy.tar.gz"] = ARCHIVE
        write_registry(home, [mirror.url + "/toy.tar.gz"])

        fetch("toy")

        captured = capsys.readouterr()
        assert captured.out == ""
        assert "toy.tar.gz: 100%" in captured.err

    def test_missing_files_in_our_own_folder_are_downloaded_again(self, home, mirror):
        mirror.content["/toy.tar.gz"] = ARCHIVE
        write_registry(home, [mirror.url + "/toy.tar.gz"])
        (install(home / "toy-batches") / "data_batch_2.bin").unlink()

        assert fetch("toy", progress=False) == home / "toy-batches"

    def test_two_at_a_time_download_once(self, home, mirror):
        mirror.content["/toy.tar.gz"] = ARCHIVE
        write_registry(home, [mirror.url + "/toy.tar.gz"])

        with ThreadPoolExecutor(2) as pool:
            folders = list(pool.map(lambda _: fetch("toy", progress=False), range(2)))

        assert folders == [home / "toy-batches"] * 2
        assert len(mirror.asked) == 1

    @pytest.mark.parametrize("wrapped", [True, False], ids=["one folder around all", "no folder around"])
    def test_an_archive_that_is_not_registered_can_be_unpacked_as_a_folder(self, home, mirror, wrapped):
        top = "pictures/" if wrapped else ""
        mirror.content["/p.zip"] = zip_of({f"{top}ant/1.png": b"a", f"{top}bee/2.png": b"b"})

        folder = download_archive(mirror.url + "/p.zip", home / "photos", progress=False)

        assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*.png")) == ["ant/1.png", "bee/2.png"]
        assert download_archive(mirror.url + "/gone.zip", home / "photos") == folder
        assert [path.name for path in home.iterdir() if path.suffix != ".lock"] == ["photos"]


class TestLocate:
    def test_a_folder_under_datasets_dir_comes_first_and_is_left_as_it_is(self, home, tmp_path, monkeypatch):
        write_registry(home, ["http://127.0.0.1:9/none"])
        install(home / "toy-batches")
        elsewhere = install(tmp_path / "shared" / "toy-batches")
        assert locate("toy") == home / "toy-batches"

        monkeypatch.setenv("DATASETS_DIR", str(tmp_path / "shared"))

        assert locate("toy", ("train", "test")) == elsewhere
        assert fetch("toy", progress=False) == elsewhere

    def test_a_folder_without_the_wanted_part_is_passed_over(self, home, tmp_path, monkeypatch):
        write_registry(home, ["http://127.0.0.1:9/none"])
        (install(tmp_path / "shared" / "toy-batches") / "test_batch.bin").unlink()
        monkeypatch.setenv("DATASETS_DIR", str(tmp_path / "shared"))

        with pytest.raises(MissingDataset, match=r"shared/toy-batches \(no test part\)"):
            locate("toy", ("test",))
        assert locate("toy").parent == tmp_path / "shared"
        install(home / "toy-batches")
        assert locate("toy", ("train", "test")) == home / "toy-batches"

    def test_a_truncated_file_names_sizes_and_the_way_out(self, home):
        write_registry(home, ["http://127.0.0.1:9/none"])
        path = install(home / "toy-batches") / "data_batch_2.bin"
        path.write_bytes(path.read_bytes()[:-10])

        with pytest.raises(DatasetError) as caught:
            locate("toy")

        text = str(caught.value)
        assert f"{path} is truncated: expected 122920 bytes, got 122910" in text
        assert "Remove that file" in text and "registry download toy --part train" in text

    def test_a_changed_byte_is_found_even_after_a_good_check(self, home):
        write_registry(home, ["http://127.0.0.1:9/none"])
        path = install(home / "toy-batches") / "data_batch_1.bin"
        assert locate("toy") == path.parent
        data = path.read_bytes()
        changed = data[:5] + bytes([data[5] ^ 255]) + data[6:]
        path.write_bytes(changed)
        os.utime(path, ns=(1, 1))  # a clock too coarse to tell the two writes apart must not hide the change

        with pytest.raises(DatasetError, match=f"wrong content: expected sha256 {sha256(data)}, got {sha256(changed)}"):
            locate("toy")

    def test_a_verified_file_is_not_read_again(self, home, monkeypatch):
        write_registry(home, ["http://127.0.0.1:9/none"])
        install(home / "toy-batches")
        locate("toy")
        monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("hashed a second time"))

        assert locate("toy") == home / "toy-batches"

    def test_other_class_names_are_an_error(self, home):
        write_registry(home, ["http://127.0.0.1:9/none"])
        (install(home / "toy-batches") / "batches.meta.txt").write_text("bee\nant\n")

        with pytest.raises(DatasetError, match="expected ant bee, got 'bee ant'"):
            locate("toy")

    def test_a_missing_file_among_others_is_an_error_not_an_absent_data_set(self, home):
        write_registry(home, ["http://127.0.0.1:9/none"])
        (install(home / "toy-batches") / "data_batch_2.bin").unlink()

        with pytest.raises(IncompleteDataset, match=r"missing: data_batch_2\.bin"):
            locate("toy")

    def test_an_unknown_name_suggests_the_nearest(self, home):
        write_registry(home, ["http://127.0.0.1:9/none"])

        with pytest.raises(DatasetError, match="out of toy, got 'Toys'. Did you mean 'toy'"):
            locate("Toys")
        with pytest.raises(DatasetError, match="expected parts out of train, test, got 'val'"):
            locate("toy", ("val",))

    def test_datasets_dir_must_be_a_folder(self, home, monkeypatch):
        write_registry(home, ["http://127.0.0.1:9/none"])
        monkeypatch.setenv("DATASETS_DIR", str(home / "nowhere"))

        with pytest.raises(DatasetError, match="DATASETS_DIR: expected a folder, got .*nowhere"):
            locate("toy")


class TestOfflineAndStandIn:
    def test_offline_refuses_the_download_and_says_what_to_do(self, home, mirror, monkeypatch):
        mirror.content["/toy.tar.gz"] = ARCHIVE
        write_registry(home, [mirror.url + "/toy.tar.gz"])
        monkeypatch.setenv("DATASETS_OFFLINE", "1")

        with pytest.raises(MissingDataset, match="registry download toy.*DATASETS_DIR.*DATASETS_OFFLINE=1"):
            fetch("toy")
        with pytest.raises(MissingDataset, match="DATASETS_OFFLINE forbids"):
            download_archive(mirror.url + "/toy.tar.gz", home / "photos")
        assert mirror.asked == []
        assert fetch("toy", offline=False, progress=False) == home / "toy-batches"

    def test_the_stand_in_announces_itself_in_one_line_once(self, home, capsys):
        write_registry(home, ["http://127.0.0.1:9/none"])

        sources = [fetch_or_stand_in("toy", offline=True) for _ in range(2)]

        out = capsys.readouterr().out
        assert sources[0] == sources[1] == registry.Source("toy", None, True, "toy stand-in")
        assert out.count("\n") == 1
        assert "STAND-IN" in out and "registry download toy" in out

    def test_no_mirror_in_reach_gives_the_stand_in(self, home, dead_url, capsys):
        write_registry(home, [dead_url])

        assert fetch_or_stand_in("toy", progress=False).label == "toy stand-in"
        assert "no mirror answered" in capsys.readouterr().out

    def test_real_data_is_taken_where_it_is_here_or_can_be_had(self, home, mirror, capsys):
        mirror.content["/toy.tar.gz"] = ARCHIVE
        write_registry(home, [mirror.url + "/toy.tar.gz"])
        expected = registry.Source("toy", home / "toy-batches", False, "toy")

        assert fetch_or_stand_in("toy", progress=False) == expected
        assert fetch_or_stand_in("toy", offline=True) == expected
        assert capsys.readouterr().out == ""

    @pytest.mark.parametrize("damage", ["truncated", "missing"])
    def test_a_damaged_folder_is_never_replaced_by_the_stand_in(self, home, damage):
        write_registry(home, ["http://127.0.0.1:9/none"])
        path = install(home / "toy-batches") / "data_batch_1.bin"
        path.unlink() if damage == "missing" else path.write_bytes(b"x")

        with pytest.raises(DatasetError, match=damage):
            fetch_or_stand_in("toy", offline=True)

    def test_a_mirror_that_sends_a_wrong_file_is_never_replaced_by_the_stand_in(self, home, mirror):
        mirror.content["/toy.tar.gz"] = b"?" * len(ARCHIVE)
        write_registry(home, [mirror.url + "/toy.tar.gz"])

        with pytest.raises(DatasetError, match="expected sha256"):
            fetch_or_stand_in("toy", progress=False)


class TestRegistryFile:
    def test_the_course_registry_is_whole(self, monkeypatch):
        monkeypatch.delenv("DATASETS_REGISTRY", raising=False)

        data = load_registry()

        assert list(data) == ["cifar10", "mnist", "beans"]
        assert sum(file.size or 0 for file in data["cifar10"].files) == 6 * 10_000 * 3073
        for info in data.values():
            assert info.licence and info.citation and info.homepage.startswith("http")
            assert {part for download in info.downloads for part in download.parts} == set(info.counts)
            assert all(d.size and d.sha256 and len(d.urls) >= 2 for d in info.downloads)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"sha256": "abc"}, "expected 64 lower-case hexadecimal digits, got 'abc'"),
            ({"size": "big"}, "size: expected int, got 'big'"),
            ({"sha265": "x"}, "got 'sha265'"),
            ({"file": None}, "expected the key 'file'"),
            ({"file": "../up.tar"}, "expected a path below the data set's folder, got '../up.tar'"),
            ({"unpack": "rar"}, "expected tar or zip, got 'rar'"),
            ({"parts": ["dev"]}, "parts: expected some of test, train, got"),
        ],
    )
    def test_a_wrong_entry_is_named(self, home, change, message):
        write_registry(home, ["http://127.0.0.1:9/none"], **change)

        with pytest.raises(DatasetError, match=re.escape(message)):
            load_registry()

    def test_a_file_that_is_no_registry_is_named(self, home):
        with pytest.raises(DatasetError, match=r"registry\.toml: expected the data set registry"):
            load_registry()
        (home / "registry.toml").write_text("[toy\n")
        with pytest.raises(DatasetError, match=r"registry\.toml: expected TOML, got .*line 1"):
            load_registry()


class TestCommandLine:
    def test_download_then_locate_print_the_folder_and_list_shows_it(self, home, mirror, capsys):
        mirror.content["/toy.tar.gz"] = ARCHIVE
        write_registry(home, [mirror.url + "/toy.tar.gz"])
        assert registry.main(["list"]) == 0
        assert "test: not here" in capsys.readouterr().out

        command = [sys.executable, "-W", "error", "-m", "exercise_code.data.registry", "download", "toy"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)

        assert (done.returncode, done.stdout) == (0, f"{home / 'toy-batches'}\n")
        assert registry.main(["locate", "toy", "--part", "test"]) == 0
        assert capsys.readouterr().out == done.stdout
        assert registry.main(["list"]) == 0
        assert f"test: {home / 'toy-batches'}" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["locate", "tpy"], "Did you mean 'toy'"),
            (["locate", "toy"], "expected the train part in one of these folders"),
            (["locate", "toy", "--part", "x"], "expected parts out of train, test"),
            (["frobnicate"], "invalid choice"),
            ([], "required"),
        ],
    )
    def test_bad_input_is_one_line_and_exit_code_2(self, home, capsys, arguments, expected):
        write_registry(home, ["http://127.0.0.1:9/none"])
        try:
            code = registry.main(arguments)
        except SystemExit as stop:
            code = stop.code

        captured = capsys.readouterr()
        assert (code, captured.out, captured.err.count("\n")) == (2, "", 1)
        assert captured.err.startswith("error: ") and expected in captured.err
