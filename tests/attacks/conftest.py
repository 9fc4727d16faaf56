"""A small course under attack: real intake, real sandbox, real record. Fixtures hand out everything; nothing is imported.

Every batch has an honest neighbour, and after every batch `House.unharmed` looks at what must not have happened: no
label outside its file, no file outside the course folder, no process left, the neighbour scored as ever, older results
as they were.
"""

import base64
import csv
import hashlib
import io
import json
import re
import stat
import uuid
import zipfile
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from autograder.course.manifest import Course, Exercise, HiddenSetSpec, ModelContract, Task
from autograder.grading.sandbox import Limits
from autograder.grading.score import score
from autograder.intake.collect import collect
from autograder.records.gradebook import Gradebook

N, SHAPE, CLASSES = 400, (1, 2, 4), 4
DUE = datetime(2026, 12, 16, 14, 59, 59, tzinfo=UTC)
BEFORE = DUE - timedelta(days=1, hours=3, minutes=17, seconds=6)
CONTRACT = ModelContract("model.onnx", SHAPE, CLASSES, 2000, 100_000, 1_000_000)
SMALL = 2_000_000  # larger members of hand-ins are bombs
HONEST = 300  # what the honest model gets right of the 400


def pytest_configure(config):
    config.addinivalue_line("markers", "attack(*numbers, verdict): cases of the table of attacks that this test covers")


def limits(**changes):
    values = {"wall_s": 20.0, "cpu_s": 20, "memory_bytes": 256 << 20, "processes": 24, "file_bytes": 1 << 20}
    return Limits(**(values | {"output_bytes": 65536, "tmp_bytes": 8 << 20} | changes))


class Models:
    """Makes ONNX files for the contract: float32 (N, 1, 2, 4) -> (N, 4)."""

    @staticmethod
    def tensor(name, values):
        return numpy_helper.from_array(np.asarray(values, dtype=np.float32), name)

    @classmethod
    def make(cls, nodes=None, initializers=None, *, inputs=None, outputs=None, opset=18, ir=8):
        """The honest model, which finds the brightest of four pixels, unless told otherwise."""
        nodes = nodes or [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])]
        if initializers is None:
            initializers = [cls.tensor("w", np.eye(8, CLASSES))]
        graph = helper.make_graph(
            nodes,
            "net",
            inputs or [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *SHAPE])],
            outputs or [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", CLASSES])],
            initializers,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)

    @classmethod
    def bytes(cls, *arguments, **options):
        return cls.make(*arguments, **options).SerializeToString()

    @classmethod
    def then(cls, *nodes, more=()):
        """The honest model's logits `z` (N, 4), then these nodes, which make `y`."""
        start = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["z"])]
        return cls.bytes([*start, *nodes], [cls.tensor("w", np.eye(8, CLASSES)), *more])


def taken_over(path, program):
    """A predicting program that runs `program` instead, with the model already open, where the real one would start."""
    lines = "".join(f"    {line}\n" for line in program.splitlines())
    path.write_text(
        f"def load(_inputs):\n    pass\nrun = load\ndef own_output():\n{lines}    import os\n    os._exit(0)\n"
    )
    path.chmod(0o644)
    return path


def notebook(who):
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {"of": who}, "cells": []}).encode()


def pack(files, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as target:
        for name, data in files.items() if isinstance(files, dict) else files:
            info = name if isinstance(name, zipfile.ZipInfo) else zipfile.ZipInfo(name)
            info.compress_type = info.compress_type or method
            target.writestr(info, data)
    return buffer.getvalue()


def living(marker):
    """Command lines of living processes with the marker in them, not asking the product."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes()
            if marker.encode() in words and (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(words)
    return found


def encodings(labels):
    """How 24 labels in a row could look: bytes, wider numbers, text."""
    for start in range(0, len(labels) - 24, 8):
        window = labels[start : start + 24]
        yield from (window.astype(kind).tobytes() for kind in ("u1", "<i2", "<i4", "<i8", "<f4", "<f8"))
        yield from (sep.join(map(str, window)).encode() for sep in ("", ",", ", ", " ", "\n"))


def holding(labels, folder, allowed=()):
    """Files below a folder in whose content labels can be found, archives opened."""
    needles = list(encodings(labels))
    found = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.is_symlink() or path in allowed:
            continue
        data = path.read_bytes()
        with suppress(zipfile.BadZipFile, OSError, NotImplementedError), zipfile.ZipFile(io.BytesIO(data)) as archive:
            data += b"".join(
                archive.read(info) for info in archive.infolist() if not info.flag_bits & 1 and info.file_size < SMALL
            )
        data += hidden_in(data)
        if any(needle in data for needle in needles):
            found.append(path)
    return found


def hidden_in(data):
    """What images and base64 of a file hold: outputs of notebooks, figures of a page."""
    more = [data]
    for text in re.findall(rb"[A-Za-z0-9+/=\\n]{64,}", data):
        with suppress(ValueError):
            more.append(base64.b64decode(text.replace(b"\\n", b"")))
    shown = more[1:]
    for part in more:
        no_image = (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning)
        with suppress(*no_image), Image.open(io.BytesIO(part)) as image:
            shown.append(np.asarray(image.convert("L")).tobytes())
    return b"".join(shown)


@dataclass
class House:
    """One term's folder with a hidden set, a drop, and a roster of everybody who hands something in."""

    root: Path
    exercise: Exercise
    sequence: int = 0
    marker: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self):
        self.course = Course("Course", "2026w", (self.exercise,), Path("solutions/course.toml"))
        self.course_dir, self.drop, self.outside = (self.root / name for name in ("course", "drop", "outside"))
        for folder in (self.course_dir, self.drop, self.outside):
            folder.mkdir()
        (self.outside / "precious").write_text("untouched")
        self.students = {}
        self.rng = np.random.default_rng(7)
        self.hide()

    def hide(self, seed=1):
        """A hidden set: the brightest of the first four pixels is the class, true in 300 rows of 400."""
        rng = np.random.default_rng(seed)
        brightest = rng.integers(0, CLASSES, N)
        inputs = rng.integers(0, 90, (N, *SHAPE)).astype(np.uint8)
        inputs.reshape(N, -1)[np.arange(N), brightest] = 220
        self.labels = brightest.astype(np.uint8)
        wrong = rng.permutation(N)[: N - HONEST]
        self.labels[wrong] = (self.labels[wrong] + 1) % CLASSES
        folder = self.course_dir / "hidden" / self.exercise.id
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        np.save(folder / "inputs.npy", inputs)
        np.save(folder / "labels.npy", self.labels)
        (folder / "labels.npy").chmod(0o600)
        (folder / "inputs.npy").chmod(0o644)
        version = hashlib.sha256(inputs.tobytes() + self.labels.tobytes()).hexdigest()[:12]
        meta = {"schema": 1, "exercise": self.exercise.id, "version": version, "size": N, "num_classes": CLASSES}
        (folder / "meta.json").write_text(json.dumps(meta | {"shape": list(SHAPE), "source": "toy", "standin": True}))
        self.inputs, self.version, self.hidden = inputs, version, folder
        return version

    def files(self, who, **changes):
        """A good submission of `who`; keyword arguments (dots as __) replace its files, None takes one away."""
        claim = {"schema": 1, "exercise": self.exercise.id, "claimed": {"model.onnx": 0.99}}
        files = {
            self.exercise.notebook: notebook(who),
            "model.onnx": Models.bytes([  # a harmless node more, so that no two students have the same model
                helper.make_node("Flatten", ["x"], ["f"]),
                helper.make_node("MatMul", ["f", "w"], ["z"], name=f"{who}-1"),
                helper.make_node("Identity", ["z"], ["y"], name=f"{who}-2"),
            ]),
            "submission.json": json.dumps(claim).encode(),
        }  # fmt: skip
        files |= {name.replace("__", "."): data for name, data in changes.items()}
        return {name: data for name, data in files.items() if data is not None}

    def student(self, name):
        self.sequence += 1
        return self.students.setdefault(name, f"s{self.sequence:03d}")

    def hand_in(self, name, data=None, **changes):
        """Put a zip (bytes), or the good one with changes, into the drop as the student called `name`."""
        owner = self.student(name)
        content = data if data is not None else pack(self.files(owner, **changes))
        (self.drop / f"{owner}.zip").write_bytes(content)
        return content

    def collect(self, now=None, **options):
        roster = self.root / "roster.csv"
        with roster.open("w", newline="") as file:
            csv.writer(file).writerows([("student_id", "name"), *((i, f"Name {i}") for i in self.students.values())])
        moment = now or BEFORE
        return collect(
            self.course, self.exercise.id, self.drop, roster, self.course_dir, moment, progress=False, **options
        )

    def grade(self, **options):
        """Collect and score everything in the drop, beside an honest neighbour."""
        if "honest" not in self.students:
            self.hand_in("honest")
        self.collect(**options)
        self.unharmed(score(self.course, self.exercise.id, self.course_dir, progress=False))
        return self

    def rows(self, name):
        with Gradebook(self.course_dir) as book:
            return book.submissions(self.exercise.id, self.students[name])

    def verdict(self, name):
        """REJECTED(code), FAILED(code), ERROR or SCORED(n) of the newest hand-in."""
        row = self.rows(name)[-1]
        if row.state in ("REJECTED", "FAILED"):
            return f"{row.state}({row.code})"
        with Gradebook(self.course_dir) as book:
            counts = [r.correct for r in book.results(self.exercise.id) if r.submission_id == row.id]
        return f"SCORED({counts[-1]})" if row.state in ("scored", "published") else row.state

    def detail(self, name):
        return self.rows(name)[-1].detail

    def unharmed(self, _report=None):
        """What must not have happened, whatever was handed in."""
        assert self.verdict("honest") == f"SCORED({HONEST})", "the neighbour's score changed or the batch stopped"
        assert np.array_equal(np.load(self.hidden / "labels.npy"), self.labels)
        assert stat.S_IMODE((self.hidden / "labels.npy").stat().st_mode) == 0o600
        answers = set(self.course_dir.glob("predictions/*/*"))  # a good model's own answers look like labels
        assert holding(self.labels, self.root, allowed={self.hidden / "labels.npy", *answers}) == []
        assert sorted(path.name for path in self.outside.iterdir()) == ["precious"]
        assert (self.outside / "precious").read_text() == "untouched"
        assert {path.name for path in self.root.iterdir()} <= {"course", "drop", "outside", "roster.csv", "site"}
        assert living(str(self.root)) == [] and living(self.marker) == []
        with Gradebook(self.course_dir) as book:
            for row in book.submissions():
                assert "Traceback" not in row.detail and "\n" not in row.detail and len(row.detail) <= 300
                assert str(self.course_dir) not in row.detail, "a path of ours in what the student reads"

    def with_exercise(self, **changes):
        self.exercise = replace(self.exercise, **changes)
        self.course = replace(self.course, exercises=(self.exercise,))
        return self


def make_house(root):
    exercise = Exercise(
        id="04_grid_search",
        title="Hyper-parameter search",
        due=DUE,
        cell_timeout_s=10,
        notebook_timeout_s=20,
        data=("toy",),
        tasks=(Task("tanh", 2),),
        models=(CONTRACT,),
        hidden_set=HiddenSetSpec("toy", 48),
    )
    return House(root, exercise)


@pytest.fixture
def house(tmp_path, box):
    root = tmp_path / "house"
    root.mkdir()
    return make_house(root)


@pytest.fixture(scope="module")
def shared_house(tmp_path_factory, box):
    """One house for a whole module, whose batch is graded once."""
    return make_house(tmp_path_factory.mktemp("house"))


@pytest.fixture(scope="session")
def models():
    return Models


@pytest.fixture(scope="session")
def tools():
    """Helpers that are no fixtures themselves."""

    class Tools:
        pass

    for helper_function in (pack, living, limits, notebook, encodings, holding, taken_over):
        setattr(Tools, helper_function.__name__, staticmethod(helper_function))
    Tools.DUE, Tools.N, Tools.CLASSES, Tools.HONEST, Tools.CONTRACT = DUE, N, CLASSES, HONEST, CONTRACT
    Tools.onnx = onnx
    return Tools
