import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from autograder.errors import HiddenSetError
from autograder.grading import hidden_set
from autograder.grading.runtime import runtime_roots

EXERCISE = "04_grid_search"

# Writes what the contract asks of the course package; classes come sorted, so a missing shuffle would show.
FAKE_PACK = """
import argparse, json, os, sys
from pathlib import Path
import numpy as np
parser = argparse.ArgumentParser()
for name in ("--out", "--dataset", "--part", "--folder", "--stand-in", "--n", "--seed"):
    parser.add_argument(name)
args = parser.parse_args()
if args.dataset == "absent":
    sys.exit("warning: looking\\nerror: data set absent: expected its files, got nothing; set DATASETS_DIR")
out = Path(args.out)
out.mkdir(parents=True)
with (Path(__file__).parent / "calls").open("a") as log:
    log.write(json.dumps([vars(args), os.environ.get("DATASETS_DIR")]) + "\\n")
count = int(args.n or 120)
labels = np.sort(np.arange(count) % 5).astype(np.uint8)
first = np.arange(count) + (1000 if args.part == "train" else 0)
images = np.stack([first // 256, first % 256], 1)[:, None, :, None]
images = images.repeat(3, 3).astype(np.uint8)  # (N, 1, 2, 3)
images[..., 2] = labels[:, None, None]
images[..., 1] = int(args.seed or 0) % 251
if args.dataset == "labels_too_big":
    labels[0] = 5
if args.dataset == "wrong_dtype":
    labels = labels.astype(np.int64)
if args.dataset == "grey":
    images = images[..., 0]
np.save(out / "images.npy", images)
np.save(out / "labels.npy", labels)
source = args.stand_in or args.dataset or "folder"
info = {"classes": list("abcde"), "source": source, "stand_in": bool(args.stand_in)}
(out / "pack.json").write_text(json.dumps(info))
"""


@pytest.fixture
def course(tmp_path: Path) -> Path:
    return tmp_path / "course"


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a small program in place of the course package's; returns how it has been called so far."""
    folder = tmp_path / "repository" / "exercise_code" / "data"
    folder.mkdir(parents=True)
    for path in (folder.parent / "__init__.py", folder / "__init__.py"):
        path.write_text("")
    (folder / "pack.py").write_text(FAKE_PACK)
    monkeypatch.setattr(hidden_set, "_REPOSITORY", tmp_path / "repository")
    log = folder / "calls"
    return lambda: [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def folder_of(course: Path) -> Path:
    return course / "hidden" / EXERCISE


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_set_has_the_layout_shapes_and_modes_of_the_contract(course: Path, calls) -> None:
    previous = os.umask(0)
    try:
        meta = hidden_set.build(course, EXERCISE, dataset="cifar10")
    finally:
        os.umask(previous)
    folder = folder_of(course)
    assert sorted(path.name for path in folder.iterdir()) == ["inputs.npy", "labels.npy", "meta.json"]
    assert mode(folder) == mode(folder.parent) == 0o700
    assert [mode(folder / name) for name in ("inputs.npy", "labels.npy", "meta.json")] == [
        0o644,
        0o600,
        0o600,
    ]
    inputs, labels = np.load(folder / "inputs.npy"), np.load(folder / "labels.npy")
    assert (inputs.dtype, inputs.shape) == (np.uint8, (120, 3, 1, 2))
    assert (labels.dtype, labels.shape) == (np.uint8, (120,))
    assert meta == hidden_set.load_meta(course, EXERCISE)
    shown = {key: meta[key] for key in ("schema", "exercise", "size", "num_classes", "shape", "source", "standin")}
    assert shown == {
        "schema": 1,
        "exercise": EXERCISE,
        "size": 120,
        "num_classes": 5,
        "shape": [3, 1, 2],
        "source": "cifar10",
        "standin": False,
    }
    assert len(meta["version"]) == 12 and int(meta["version"], 16) >= 0
    assert hidden_set.inputs_path(course, EXERCISE) == folder / "inputs.npy"
    np.testing.assert_array_equal(hidden_set.load_labels(course, EXERCISE), labels)
    assert list(course.rglob(".building*")) == []


def test_every_image_keeps_its_label_in_an_order_that_is_secret(tmp_path: Path, calls) -> None:
    orders = []
    for name in ("a", "b"):
        hidden_set.build(tmp_path / name, EXERCISE, dataset="cifar10")
        inputs = np.load(hidden_set.inputs_path(tmp_path / name, EXERCISE))
        labels = hidden_set.load_labels(tmp_path / name, EXERCISE)
        np.testing.assert_array_equal(inputs[:, 2, 0, 0], labels)  # the fake image carries its label
        numbers = inputs[:, 0, 0, 0].astype(int) * 256 + inputs[:, 0, 0, 1]
        assert sorted(numbers.tolist()) == list(range(120))
        orders.append(numbers.tolist())
    assert orders[0] != orders[1] and list(range(120)) not in orders
    assert (np.diff(hidden_set.load_labels(tmp_path / "a", EXERCISE).astype(int)) < 0).sum() > 20
    assert "rng" not in str({**hidden_set.load_meta(tmp_path / "a", EXERCISE), "built_from": None})


def test_with_a_seed_the_same_set_comes_out_again(tmp_path: Path, calls) -> None:
    metas = [hidden_set.build(tmp_path / name, EXERCISE, dataset="x", rng_seed=7) for name in "ab"]
    other = hidden_set.build(tmp_path / "c", EXERCISE, dataset="x", rng_seed=8)
    assert metas[0] == metas[1] and other["version"] != metas[0]["version"]


def test_the_version_is_made_of_inputs_and_labels(course: Path, calls) -> None:
    import hashlib

    meta = hidden_set.build(course, EXERCISE, dataset="x")
    inputs, labels = (np.load(folder_of(course) / f"{name}.npy") for name in ("inputs", "labels"))
    assert meta["version"] == hashlib.sha256(inputs.tobytes() + labels.tobytes()).hexdigest()[:12]


def test_a_limit_takes_some_of_every_part_of_the_source(course: Path, calls) -> None:
    meta = hidden_set.build(course, EXERCISE, dataset="x", n=60)
    labels = hidden_set.load_labels(course, EXERCISE)
    assert meta["size"] == 60 and set(labels.tolist()) == set(range(5))
    with pytest.raises(HiddenSetError, match="at most 120"):
        hidden_set.build(course, EXERCISE, dataset="x", n=121, replace=True)
    assert hidden_set.load_meta(course, EXERCISE) == meta


def test_part_folder_and_datasets_dir_reach_the_program(
    tmp_path: Path, course: Path, calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATASETS_DIR", "data")
    hidden_set.build(course, EXERCISE, folder=Path("held_out"), part="validation")
    (arguments, datasets_dir) = calls()[0]
    assert arguments["folder"] == str(tmp_path / "held_out") and arguments["part"] == "validation"
    assert arguments["dataset"] is arguments["stand_in"] is None
    assert datasets_dir == str(tmp_path / "data")  # the program runs in another folder


def test_a_stand_in_is_drawn_with_a_secret_seed_and_labelled(tmp_path: Path, calls) -> None:
    metas = [hidden_set.build(tmp_path / name, EXERCISE, stand_in="cifar10", n=50) for name in "ab"]
    seeds = [int(arguments["seed"]) for arguments, _ in calls()]
    assert seeds[0] != seeds[1] and min(seeds) >= 0
    assert metas[0]["standin"] is True and metas[0]["source"] == "cifar10" and metas[0]["size"] == 50
    for name, seed in zip("ab", seeds, strict=True):  # the seed would give the labels away
        assert not any(str(seed) in path.read_text(errors="ignore") for path in (tmp_path / name).rglob("*.json"))


@pytest.mark.parametrize("source", [{"dataset": "x"}, {"stand_in": "x"}, {"dataset": "x", "n": 30}])
def test_building_the_same_again_changes_nothing(course: Path, calls, source: dict) -> None:
    first = hidden_set.build(course, EXERCISE, **source)
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder_of(course).iterdir()}
    assert hidden_set.build(course, EXERCISE, **source) == first
    assert hidden_set.build(course, EXERCISE, replace=True, **source) == first
    after = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder_of(course).iterdir()}
    assert after == before


@pytest.mark.parametrize(
    "other",
    [
        {"dataset": "x", "part": "train"},
        {"dataset": "x", "n": 9},
        {"stand_in": "x"},
        {"stand_in": "x", "n": 9},
    ],
)
def test_a_different_set_is_replaced_only_when_told_to(course: Path, calls, other: dict) -> None:
    first = hidden_set.build(course, EXERCISE, dataset="x")
    with pytest.raises(HiddenSetError, match="different hidden set"):
        hidden_set.build(course, EXERCISE, **other)
    assert hidden_set.load_meta(course, EXERCISE) == first
    second = hidden_set.build(course, EXERCISE, replace=True, **other)
    assert second["version"] != first["version"]
    assert len(hidden_set.load_labels(course, EXERCISE)) == second["size"]
    assert [path.name for path in folder_of(course).parent.iterdir()] == [EXERCISE]


def test_a_damaged_set_is_noticed_and_not_silently_replaced(course: Path, calls) -> None:
    meta = hidden_set.build(course, EXERCISE, dataset="x")
    labels = np.load(folder_of(course) / "labels.npy")
    np.save(folder_of(course) / "labels.npy", (labels + 1) % 5)
    with pytest.raises(HiddenSetError, match="changed since"):
        hidden_set.load_labels(course, EXERCISE)
    with pytest.raises(HiddenSetError, match="different hidden set"):
        hidden_set.build(course, EXERCISE, dataset="x")
    np.save(folder_of(course) / "labels.npy", labels[:-1])
    with pytest.raises(HiddenSetError, match="labels"):
        hidden_set.load_labels(course, EXERCISE)
    (folder_of(course) / "labels.npy").write_bytes(b"\x93NUMPY garbage")
    with pytest.raises(HiddenSetError, match="cannot be read"):
        hidden_set.load_labels(course, EXERCISE)
    assert hidden_set.build(course, EXERCISE, dataset="x", replace=True)["size"] == meta["size"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 2}', '{"schema": 1, "exercise": "other"}'])
def test_a_damaged_description_is_an_error_with_the_path(course: Path, calls, text: str) -> None:
    hidden_set.build(course, EXERCISE, dataset="x")
    (folder_of(course) / "meta.json").write_text(text)
    with pytest.raises(HiddenSetError, match="meta.json"):
        hidden_set.load_meta(course, EXERCISE)


def test_a_missing_set_says_how_to_build_one(course: Path) -> None:
    with pytest.raises(HiddenSetError, match=f"hidden-set build {EXERCISE}"):
        hidden_set.load_meta(course, EXERCISE)
    with pytest.raises(HiddenSetError, match=f"hidden-set build {EXERCISE}"):
        hidden_set.load_labels(course, EXERCISE)
    with pytest.raises(HiddenSetError, match="no hidden inputs"):
        hidden_set.inputs_path(course, EXERCISE)


@pytest.mark.parametrize("exercise", ["../../etc", "4_x", "04_Grid", "04_grid_search/..", ""])
def test_an_exercise_id_is_never_a_path(course: Path, exercise: str) -> None:
    for call in (hidden_set.load_meta, hidden_set.load_labels, hidden_set.inputs_path):
        with pytest.raises(HiddenSetError, match="expected an id"):
            call(course, exercise)
    with pytest.raises(HiddenSetError, match="expected an id"):
        hidden_set.build(course, exercise, dataset="x")


@pytest.mark.parametrize(
    "source",
    [{}, {"dataset": "x", "stand_in": "x"}, {"dataset": "x", "folder": Path("y")}, {"dataset": "x", "n": 0}],
)
def test_exactly_one_source_and_a_positive_number_are_needed(course: Path, source: dict) -> None:
    with pytest.raises(HiddenSetError, match="expected"):
        hidden_set.build(course, EXERCISE, **source)
    assert not course.exists()


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("absent", "hidden set: data set absent: expected its files, got nothing; set DATASETS_DIR"),
        ("labels_too_big", "labels below 5"),
        ("wrong_dtype", "uint8"),
        ("grey", "images"),
    ],
)
def test_data_that_cannot_be_had_leaves_nothing_behind(course: Path, calls, dataset: str, message: str) -> None:
    with pytest.raises(HiddenSetError, match=message) as caught:
        hidden_set.build(course, EXERCISE, dataset=dataset)
    assert "\n" not in str(caught.value)
    assert [path for path in course.rglob("*") if path.is_file()] == []
    assert list((course / "hidden").iterdir()) == []


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def test_labels_are_never_put_where_git_would_take_them_along(tmp_path: Path, calls) -> None:
    repository = tmp_path / "checkout"
    repository.mkdir()
    git(repository, "init")
    (repository / ".gitignore").write_text(".course/\n")
    with pytest.raises(HiddenSetError, match="not ignored by git"):
        hidden_set.build(repository / "course", EXERCISE, dataset="x")
    assert not (repository / "course").exists()
    assert hidden_set.build(repository / ".course", EXERCISE, dataset="x")["size"] == 120
    status = subprocess.run(["git", "status", "--porcelain"], cwd=repository, capture_output=True, text=True)
    assert "course" not in status.stdout
    # ignored, but a file in there was added by force
    git(repository, "add", "--force", f".course/hidden/{EXERCISE}/meta.json")
    with pytest.raises(HiddenSetError, match="tracks"):
        hidden_set.build(repository / ".course", EXERCISE, dataset="x")


def test_a_link_into_a_repository_does_not_deceive(tmp_path: Path, calls) -> None:
    (tmp_path / "checkout" / "inside").mkdir(parents=True)
    git(tmp_path / "checkout", "init")
    (tmp_path / "link").symlink_to(tmp_path / "checkout" / "inside")
    with pytest.raises(HiddenSetError, match="not ignored by git"):
        hidden_set.build(tmp_path / "link", EXERCISE, dataset="x")


def test_labels_are_never_put_where_every_sandbox_can_read(calls) -> None:
    for root in (*runtime_roots(), Path("/usr")):
        with pytest.raises(HiddenSetError, match="every sandbox can read"):
            hidden_set.build(root / "share" / "course", EXERCISE, dataset="x")
        assert not (root / "share" / "course").exists()


def test_a_relative_course_folder_works(tmp_path: Path, calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    hidden_set.build(Path("term"), EXERCISE, dataset="x")
    assert len(hidden_set.load_labels(Path("term"), EXERCISE)) == 120
    assert hidden_set.inputs_path(Path("term"), EXERCISE).is_absolute()


def test_the_course_packages_own_program_makes_a_stand_in_set(course: Path) -> None:
    meta = hidden_set.build(course, EXERCISE, stand_in="cifar10", n=200)
    assert (meta["size"], meta["num_classes"], meta["shape"], meta["standin"]) == (200, 10, [3, 32, 32], True)
    assert len(set(hidden_set.load_labels(course, EXERCISE).tolist())) == 10


def test_a_data_set_that_is_not_here_is_one_line(course: Path, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASETS_OFFLINE", "1")
    monkeypatch.setenv("DATASETS_DIR", str(tmp_path))
    with pytest.raises(HiddenSetError, match="mnist|no_such_set") as caught:
        hidden_set.build(course, EXERCISE, dataset="no_such_set")
    assert "\n" not in str(caught.value)
