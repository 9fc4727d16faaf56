"""A made-up term for measurements of grading: a course, a hidden set of random images, and random models handed in."""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from autograder.course.manifest import Course, Exercise, HiddenSetSpec, ModelContract, Task
from autograder.intake import store
from autograder.records.gradebook import Gradebook

EXERCISE_ID, CLASSES = "04_grid_search", 10
DUE = datetime(2126, 12, 16, 15, tzinfo=UTC)


@dataclass(frozen=True)
class Term:
    """Where it lies, and what it is about."""

    folder: Path
    course: Course

    @property
    def dir(self) -> Path:
        """The course folder."""
        return self.folder / "course"

    @property
    def exercise(self) -> Exercise:
        """Its only exercise."""
        return self.course.exercises[0]


def make_term(folder: Path, *, images: int = 10_000, shape: tuple[int, int, int] = (3, 32, 32), seed: int = 0) -> Term:
    """An empty record and a hidden set of so many random images of `shape` (C, H, W) with random labels."""
    model = ModelContract("model.onnx", shape, CLASSES, 1_000_000, 5_000_000, 10_000_000)
    exercise = Exercise(
        id=EXERCISE_ID,
        title="Hyper-parameter search",
        due=DUE,
        cell_timeout_s=10,
        notebook_timeout_s=20,
        data=("cifar10",),
        tasks=(Task("tanh", 2),),
        models=(model,),
        hidden_set=HiddenSetSpec("cifar10", 48),
    )
    rng = np.random.default_rng(seed)
    inputs = rng.integers(0, 256, (images, *shape), dtype=np.uint8)
    labels = rng.integers(0, CLASSES, images).astype(np.uint8)
    hidden = folder / "course" / "hidden" / EXERCISE_ID
    hidden.mkdir(parents=True)
    hidden.chmod(0o700)
    for name, array, mode in (("inputs.npy", inputs, 0o644), ("labels.npy", labels, 0o600)):
        np.save(hidden / name, array)
        (hidden / name).chmod(mode)
    version = hashlib.sha256(inputs.tobytes() + labels.tobytes()).hexdigest()[:12]
    meta = {"schema": 1, "exercise": EXERCISE_ID, "version": version, "size": images, "num_classes": CLASSES}
    (hidden / "meta.json").write_text(json.dumps(meta | {"shape": list(shape), "source": "random", "standin": True}))
    with Gradebook(folder / "course", create=True):
        pass
    return Term(folder, Course("Course", "2126w", (exercise,), Path("solutions/course.toml")))


def network(seed: int, shape: tuple[int, int, int] = (3, 32, 32), hidden: int = 100) -> bytes:
    """The course's net as ONNX, `C*H*W`-hidden-10 with ReLU and random weights."""
    rng, features = np.random.default_rng(seed), int(np.prod(shape))
    weights = {"w1": (features, hidden), "b1": (hidden,), "w2": (hidden, CLASSES), "b2": (CLASSES,)}
    steps = [("Flatten", "x", "f"), ("MatMul", "f w1", "h"), ("Add", "h b1", "hb"), ("Relu", "hb", "a")]
    steps += [("MatMul", "a w2", "z"), ("Add", "z b2", "y")]
    graph = helper.make_graph(
        [helper.make_node(kind, names.split(), [out]) for kind, names, out in steps],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", CLASSES])],
        [
            numpy_helper.from_array((rng.normal(size=size) / np.sqrt(size[0])).astype(np.float32), name)
            for name, size in weights.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return bytes(model.SerializeToString())


def submission(term: Term, model: bytes, who: str) -> bytes:
    """A zip as a student hands it in."""
    claim = {"schema": 1, "exercise": EXERCISE_ID, "claimed": {"model.onnx": 0.5}}
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"of": who}, "cells": []}
    files = {term.exercise.notebook: json.dumps(notebook).encode(), "model.onnx": model}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in (files | {"submission.json": json.dumps(claim).encode()}).items():
            target.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def hand_in(term: Term, models: Iterable[tuple[str, bytes]]) -> None:
    """Queue one submission per (student, model), a minute apart."""
    with Gradebook(term.dir) as book:
        for number, (student, model) in enumerate(models):
            sha = store.put(term.dir, submission(term, model, student))
            received = DUE - timedelta(days=9) + timedelta(minutes=number)
            book.add_submission(EXERCISE_ID, student, sha, received)
