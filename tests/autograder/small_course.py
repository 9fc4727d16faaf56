"""A term's folder with an exercise, a hidden set of forty rows and queued submissions, without anything collected."""

import hashlib
import io
import json
import zipfile
from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from autograder.course.manifest import load
from autograder.intake import store
from autograder.records.export import scores_bytes
from autograder.records.gradebook import Gradebook

CLASSES, SIZE = 4, 40
EXERCISE = "04_grid_search"
MANIFEST = f"""
[course]
name = "Course"
term = "2026w"
[[exercise]]
id = "{EXERCISE}"
title = "Hyper-parameter search"
due = "2026-12-16T15:59:59+01:00"
cell_timeout_s = 10
notebook_timeout_s = 20
[[exercise.task]]
id = "tanh"
points = 2
[[exercise.model]]
file = "model.onnx"
input = [1, 1, {CLASSES}]
classes = {CLASSES}
max_parameters = 1000
max_bytes = 100000
[exercise.hidden_set]
dataset = "cifar10"
pass_percent = 48
"""


def make_course(folder, models):
    """A course folder with a hidden set and one queued submission per (student, model bytes)."""
    folder.mkdir()
    (folder / "course.toml").write_text(MANIFEST)
    rng = np.random.default_rng(0)
    inputs = rng.integers(0, 256, (SIZE, 1, 1, CLASSES)).astype(np.uint8)
    labels = rng.integers(0, CLASSES, SIZE).astype(np.uint8)
    hidden = folder / "course" / "hidden" / EXERCISE
    hidden.mkdir(parents=True)
    np.save(hidden / "inputs.npy", inputs)
    np.save(hidden / "labels.npy", labels)
    (hidden / "inputs.npy").chmod(0o644)
    meta = {"schema": 1, "exercise": EXERCISE, "size": SIZE, "num_classes": CLASSES, "shape": [1, 1, CLASSES]}
    meta |= {"version": hashlib.sha256(inputs.tobytes() + labels.tobytes()).hexdigest()[:12]}
    (hidden / "meta.json").write_text(json.dumps(meta | {"source": "toy", "standin": True}))
    with Gradebook(folder / "course", create=True) as book:
        for number, (student, model) in enumerate(models):
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as target:
                claim = json.dumps({"schema": 1, "exercise": EXERCISE, "claimed": {}})
                for name, data in (
                    (f"{EXERCISE}.ipynb", student),
                    ("model.onnx", model),
                    ("submission.json", claim),
                ):
                    target.writestr(zipfile.ZipInfo(name), data)
            sha = store.put(folder / "course", buffer.getvalue())
            received = datetime(2026, 12, 1, tzinfo=UTC) + timedelta(minutes=number)
            book.add_submission(EXERCISE, student, sha, received)
    return folder


def tiny_model(seed, scale=1.0):
    """A linear model with random weights, as ONNX bytes."""
    weights = scale * np.random.default_rng(seed).normal(size=(CLASSES, CLASSES)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["x"], ["flat"], axis=1),
            helper.make_node("MatMul", ["flat", "w"], ["y"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, 1, CLASSES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", CLASSES])],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def outcome(folder):
    """What a reader sees: state and code per student, and each result row without its time."""
    with Gradebook(folder / "course") as book:
        rows = book.submissions()
        return {row.student: (row.state, row.code) for row in rows}, book.results(EXERCISE)


def assert_graded_once(folder):
    with Gradebook(folder / "course") as book:
        for row in book.submissions():
            final = Counter(event.what for event in book.events(row.id))
            assert final["scored"] + final["FAILED"] == 1, (row.student, final)
        keys = Counter((result.submission_id, result.model_file) for result in book.results(EXERCISE))
        assert set(keys.values()) <= {1}


def by_submission(results):
    return sorted(results, key=lambda row: row.submission_id)


def published(folder, names_of=None):
    """scores.json as JSON without the time of its newest row; with the pseudonyms that another folder has drawn."""
    if names_of is not None and names_of != folder:
        (folder / "course" / "pseudonyms.json").write_bytes((names_of / "course" / "pseudonyms.json").read_bytes())
    with Gradebook(folder / "course") as book:
        page = json.loads(scores_bytes(load(folder / "course.toml"), folder / "course", book))
    assert page.pop("generated_at")
    return json.dumps(page, sort_keys=True)
