"""The night after a deadline: a drop of submissions, one in ten hostile, collected, scored and published; then looked at.

    python benchmarks/night.py [--submissions 1000] [--workers 2] [--images 10000] [--engine local]

Every command runs as staff run it, in a process of its own. Printed are times, the largest memory of any of our own
processes (sandboxes are bounded by their limits), and what must not be: a submission without a verdict, an honest one
without its exact score, a hostile one with a score, a process, file or control group left over, a label outside its file.
"""

import argparse
import csv
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, the repository is not on the path

import numpy as np
from onnx import TensorProto, helper, load_model_from_string
from scoring_term import CLASSES, EXERCISE_ID, Term, make_term, network, submission

from autograder.grading import control_groups
from autograder.records.gradebook import Gradebook

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = """
[course]
name = "Course"
term = "2126w"
[[exercise]]
id = "{id}"
title = "Hyper-parameter search"
due = "2126-12-16T15:00:00+00:00"
cell_timeout_s = 10
notebook_timeout_s = 20
[[exercise.task]]
id = "tanh"
points = 2
[[exercise.model]]
file = "model.onnx"
input = {input}
classes = {classes}
max_parameters = 1000000
max_bytes = 5000000
[exercise.hidden_set]
dataset = "cifar10"
pass_percent = 48
"""


def _edited(data: bytes, change: Callable) -> bytes:
    model = load_model_from_string(data)
    change(model)
    return bytes(model.SerializeToString())


def _not_a_number(model: object) -> None:
    weights = model.graph.initializer[2]  # type: ignore[attr-defined]
    weights.raw_data = np.full(len(weights.raw_data) // 4, np.nan, np.float32).tobytes()


def _external(model: object) -> None:
    tensor = model.graph.initializer[0]  # type: ignore[attr-defined]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="labels.npy")


def _neighbours(model: object) -> None:
    """Logits that depend on the other images of a batch: sums of what differs from the batch's mean."""
    graph = model.graph  # type: ignore[attr-defined]
    graph.node[-1].output[0] = "own"
    graph.initializer.append(helper.make_tensor("axes", TensorProto.INT64, [1], [0]))
    graph.initializer.append(helper.make_tensor("axis", TensorProto.INT64, [], [0]))
    graph.node.append(helper.make_node("ReduceMean", ["own", "axes"], ["mean"], keepdims=1))
    graph.node.append(helper.make_node("Sub", ["own", "mean"], ["centred"]))
    graph.node.append(helper.make_node("CumSum", ["centred", "axis"], ["y"]))


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in files.items():
            target.writestr(name, data)
    return buffer.getvalue()


def hostile(term: Term, number: int, who: str, shape: tuple[int, int, int]) -> bytes:
    """One of ten kinds of hand-ins that must get no score."""
    good, notebook = network(number, shape), term.exercise.notebook
    kinds: list[Callable[[], bytes]] = [
        lambda: submission(term, b"\x80\x04K\x01." + os.urandom(40), who),
        lambda: submission(term, _edited(good, _not_a_number), who),
        lambda: submission(term, _edited(good, _external), who),
        lambda: submission(term, _edited(good, _neighbours), who),
        lambda: submission(term, good[: len(good) // 2], who),
        lambda: submission(term, network(number, (1, 1, 7)), who),
        lambda: submission(term, network(number, shape, hidden=1_000_000 // int(np.prod(shape)) + 1), who),
        lambda: _zip({"../../model.onnx": good, notebook: b"{}"}),
        lambda: _zip({"model.onnx": bytes(200_000_000), notebook: b"{}", "submission.json": b"{}"}),
        lambda: os.urandom(3_000),
    ]
    return kinds[number // 10 % len(kinds)]()


_started: set[int] = set()  # process ids of our commands


def run(folder: Path, *words: str) -> tuple[float, int]:
    """Seconds of one command, and the largest memory of any of our processes so far, in bytes."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "autograder", *words],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(folder / "tmp")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    _started.add(process.pid)
    _, problem = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}: {problem[-2000:]}")
    passed = time.perf_counter() - begin
    print(f"{words[0]} {passed:.1f} s", file=sys.stderr, flush=True)
    return passed, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def night(folder: Path, number: int, images: int, workers: int, engine: str) -> dict[str, object]:
    """Figures of one night; AssertionError when something is not as it must be."""
    shape = (3, 32, 32)
    term = make_term(folder, images=images, shape=shape)
    manifest = folder / "course.toml"
    manifest.write_text(MANIFEST.format(id=EXERCISE_ID, input=list(shape), classes=CLASSES))
    drop, students = folder / "drop", [f"s{n:05d}" for n in range(number)]
    drop.mkdir()
    (folder / "tmp").mkdir()
    bad = {who for n, who in enumerate(students) if n % 10 == 3}
    for n, who in enumerate(students):
        data = hostile(term, n, who, shape) if who in bad else submission(term, network(n, shape), who)
        (drop / f"{who}.zip").write_bytes(data)
    with (folder / "roster.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("student_id", "name"), *((who, f"Name {who}") for who in students)])
    common = ["--course", str(manifest), "--course-dir", str(term.dir)]
    roster = ["--roster", str(folder / "roster.csv")]
    figures: dict[str, object] = {"submissions": number, "images": images}
    figures["collect_s"], _ = run(folder, "collect", EXERCISE_ID, "--drop", str(drop), *roster, *common, "--quiet")
    where = ["--engine", engine, *(["--workers", str(workers)] if engine != "serial" else [])]
    figures["score_s"], _ = run(folder, "score", EXERCISE_ID, *where, *common, "--quiet")
    figures["publish_s"], most = run(folder, "publish", *roster, "--out", str(folder / "site"), *common)
    figures["memory_mb"] = most >> 20
    labels = np.load(term.dir / "hidden" / EXERCISE_ID / "labels.npy")
    _look(term, students, bad, labels)
    deadline = time.monotonic() + 30
    while (left := _around(folder)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left, f"left over: {sorted(left)[:5]}"
    secret = {term.dir / "hidden" / EXERCISE_ID / "labels.npy"}
    assert _holding(folder, labels, secret) == [], "labels outside their file"
    with Gradebook(term.dir) as book:
        figures["verdicts"] = dict(Counter(row.code or row.state for row in book.submissions()).most_common())
    figures["scored_per_s"] = number / float(str(figures["score_s"]))
    return figures


def _look(term: Term, students: list[str], bad: set[str], labels: np.ndarray) -> None:
    """Everybody has one verdict, and honest ones the score that NumPy computes."""
    with Gradebook(term.dir) as book:
        rows = {row.student: row for row in book.submissions()}
        results = {row.submission_id: row for row in book.results(EXERCISE_ID)}
        assert set(rows) == set(students)
        for who, row in rows.items():
            allowed = {"REJECTED", "FAILED"} if who in bad else {"scored", "published"}
            assert row.state in allowed, (who, row.state, row.code, row.detail)
            final = Counter(event.what for event in book.events(row.id))
            assert final["scored"] + final["FAILED"] + final["REJECTED"] == 1, (who, final)
        assert len(results) == len(students) - len(bad)
    images = np.load(term.dir / "hidden" / EXERCISE_ID / "inputs.npy").reshape(len(labels), -1) / np.float32(255)
    for n, who in list(enumerate(students))[:: max(1, len(students) // 10)]:
        if who not in bad:
            w1, b1, w2, b2 = _weights(network(n))
            right = int(((np.maximum(images @ w1 + b1, 0) @ w2 + b2).argmax(axis=1) == labels).sum())
            assert abs(results[rows[who].id].correct - right) <= 2, (who, results[rows[who].id].correct, right)


def _weights(data: bytes) -> list[np.ndarray]:
    tensors = load_model_from_string(data).graph.initializer
    return [np.frombuffer(tensor.raw_data, np.float32).reshape(tensor.dims) for tensor in tensors]


def _around(folder: Path) -> set[str]:
    """Processes with this folder's name, control groups of our commands, temporary files and drafts."""
    groups = {path.name for place in control_groups.places() for path in place.glob("autograder-*")}
    found = {name for name in groups if int(name.split("-")[1]) in _started}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words and path.parent.name != str(os.getpid()):
            found.add(f"process {words!r}")
    found |= {str(path) for path in (folder / "tmp").iterdir()}
    return found | {str(path) for path in (folder / "course").rglob(".*-*") if path.is_file()}


def _holding(folder: Path, labels: np.ndarray, allowed: set[Path]) -> list[Path]:
    """Files in which 24 labels in a row stand, as bytes or as text."""
    needles = []
    for start in range(0, len(labels) - 24, len(labels) // 20):
        window = labels[start : start + 24]
        needles += [window.astype(kind).tobytes() for kind in ("u1", "<i4", "<i8")]
        needles += [mark.join(map(str, window)).encode() for mark in ("", ",", ", ")]
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and path not in allowed and "predictions" not in path.parts:
            data = path.read_bytes()
            if any(needle in data for needle in needles):
                found.append(path)
    return found


def main() -> None:
    """Run one night and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--submissions", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--engine", default="local")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="night-"))
    try:
        figures = night(folder, options.submissions, options.images, options.workers, options.engine)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
