"""Packing a part of a data set into plain arrays, as the staff tools ask for it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exercise_code.data import pack

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path) -> Path:
    """Class folders, two parts: the red value of an image is 10 * label + its number."""
    for part in ("train", "test"):
        for label, name in enumerate(("ant", "bee")):
            for i in range(3 if part == "train" else 2):
                path = tmp_path / "photos" / part / name / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (4, 3), (10 * label + i, 0, 0)).save(path)
    return tmp_path / "photos"


def load(out: Path) -> tuple[np.ndarray, np.ndarray, dict]:
    return (
        np.load(out / "images.npy"),
        np.load(out / "labels.npy"),
        json.loads((out / "pack.json").read_text()),
    )


def run(capsys, *arguments: object) -> tuple[int | str | None, str]:
    try:
        code: int | str | None = pack.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    assert captured.out == ""
    return code, captured.err


def test_a_part_of_a_folder_becomes_three_files(folder, tmp_path, capsys):
    assert run(capsys, "--out", tmp_path / "out", "--folder", folder, "--part", "train") == (0, "")

    images, labels, facts = load(tmp_path / "out")
    assert (images.shape, images.dtype, labels.dtype) == ((6, 3, 4, 3), np.uint8, np.uint8)
    assert images[:, 0, 0, 0].tolist() == [0, 1, 2, 10, 11, 12]
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert facts == {"classes": ["ant", "bee"], "source": "photos", "stand_in": False}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "images.npy",
        "labels.npy",
        "pack.json",
    ]
    assert (tmp_path / "out" / "labels.npy").stat().st_mode & 0o077 == 0


def test_the_test_part_is_the_default_and_plain_class_folders_are_taken_whole(folder, tmp_path, capsys):
    assert run(capsys, "--out", tmp_path / "a", "--folder", folder)[0] == 0
    assert run(capsys, "--out", tmp_path / "b", "--folder", folder / "train", "--n", 4)[0] == 0

    assert load(tmp_path / "a")[1].tolist() == [0, 0, 1, 1]
    assert load(tmp_path / "b")[1].tolist() == [0, 0, 1, 1]


def test_the_same_input_gives_the_same_bytes_and_replaces_an_older_pack(folder, tmp_path, capsys):
    run(capsys, "--out", tmp_path / "a", "--folder", folder)
    run(capsys, "--out", tmp_path / "b", "--folder", folder, "--part", "train")
    run(capsys, "--out", tmp_path / "b", "--folder", folder)

    for name in ("images.npy", "labels.npy", "pack.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_stand_in_is_drawn_by_seed_and_labelled(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        command = [sys.executable, "-m", "exercise_code.data.pack", "--out", str(tmp_path / name)]
        command += ["--stand-in", "cifar10", "--n", "30", "--seed", str(seed)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    images, labels, facts = load(tmp_path / "a")
    assert (images.shape, images.dtype, labels.shape) == ((30, 32, 32, 3), np.uint8, (30,))
    assert (facts["source"], facts["stand_in"], len(facts["classes"])) == ("cifar10", True, 10)
    np.testing.assert_array_equal(images, load(tmp_path / "b")[0])
    assert (images != load(tmp_path / "c")[0]).any()


def test_a_registered_data_set_is_never_replaced_by_its_stand_in(tmp_path, monkeypatch, capsys):
    home = tmp_path / "datasets"
    home.mkdir()
    (home / "registry.toml").write_text((ROOT / "datasets" / "registry.toml").read_text())
    monkeypatch.setenv("DATASETS_REGISTRY", str(home / "registry.toml"))
    monkeypatch.setenv("DATASETS_OFFLINE", "1")
    monkeypatch.delenv("DATASETS_DIR", raising=False)

    code, message = run(capsys, "--out", tmp_path / "out", "--dataset", "cifar10", "--part", "test")

    assert code == 2
    assert "cifar10: expected the test part" in message
    assert not (tmp_path / "out").exists()


def test_a_registered_data_set_is_packed_under_its_name(folder, tmp_path, monkeypatch, capsys):
    text = f"""[photos]
title = "Photos"
folders = ["{folder.name}"]
layout = "class-folders"
shape = [3, 4, 3]
classes = ["ant", "bee"]
counts = {{ train = 6, test = 4 }}
homepage = "https://example.org"
licence = "none"
citation = "nobody"
"""
    (tmp_path / "registry.toml").write_text(text)
    monkeypatch.setenv("DATASETS_REGISTRY", str(tmp_path / "registry.toml"))
    monkeypatch.delenv("DATASETS_DIR", raising=False)

    assert run(capsys, "--out", tmp_path / "out", "--dataset", "photos", "--size", 2) == (0, "")

    images, labels, facts = load(tmp_path / "out")
    assert (images.shape, labels.tolist()) == ((4, 2, 2, 3), [0, 0, 1, 1])
    assert (facts["source"], facts["stand_in"]) == ("photos", False)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--folder", "gone"], "gone: expected a folder of images, got nothing"),
        (["--folder", "."], "expected one of these layouts"),
        (["--dataset", "cifar100"], "Did you mean 'cifar10'"),
        (["--stand-in", "cifar11"], "--stand-in: expected one of cifar10, mnist, beans, got 'cifar11'"),
        (["--stand-in", "cifar10", "--n", "0"], "expected a whole number of at least 1, got '0'"),
        (["--stand-in", "cifar10", "--part", "dev"], "--part: expected one of train, test, got 'dev'"),
        (["--stand-in", "cifar10", "--dataset", "cifar10"], "not allowed with"),
        ([], "one of the arguments --dataset --folder --stand-in is required"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_exit_code_2_and_no_output(tmp_path, monkeypatch, capsys, arguments, expected):
    monkeypatch.delenv("DATASETS_REGISTRY", raising=False)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")

    code, message = run(capsys, "--out", tmp_path / "out", *arguments)

    assert (code, message.count("\n")) == (2, 1)
    assert message.startswith("error: ") and expected in message
    assert not (tmp_path / "out").exists()


def test_an_out_folder_that_cannot_be_written_is_an_error(folder, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")

    code, message = run(capsys, "--out", tmp_path / "file", "--folder", folder)

    assert code == 2
    assert "expected a folder that can be written" in message
