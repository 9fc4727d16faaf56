"""Scoring: every submission judged once, its own faults and ours kept apart."""

import hashlib
import io
import json
import os
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from autograder.course.manifest import Course, Exercise, HiddenSetSpec, ModelContract, Task
from autograder.errors import CourseError, HiddenSetError, RecordsError, SandboxError
from autograder.grading.judge import Judged, Refused
from autograder.grading.sandbox import Sandbox
from autograder.grading.score import SCORER_VERSION, Tools, score
from autograder.intake import store
from autograder.records.gradebook import Gradebook
from autograder.records.lock import coordinator
from autograder.records.rows import Notebook

CLASSES, SIZE = 4, 40
TIME = datetime(2026, 12, 1, 10, tzinfo=UTC)
EXERCISE = Exercise(
    id="04_grid_search",
    title="Hyper-parameter search",
    due=datetime(2026, 12, 16, 15, tzinfo=UTC),
    cell_timeout_s=10,
    notebook_timeout_s=20,
    data=("cifar10",),
    tasks=(Task("tanh", 2),),
    models=(ModelContract("model.onnx", (1, 1, CLASSES), CLASSES, 1000, 100_000),),
    hidden_set=HiddenSetSpec("cifar10", 48),
)
COURSE = Course("Course", "2026w", (EXERCISE,), Path("solutions/course.toml"))


def hidden_set(course_dir, seed=1):
    """The brightest pixel of a row is its class; the labels are that class in 30 of the 40 rows."""
    rng = np.random.default_rng(seed)
    brightest = rng.integers(0, CLASSES, SIZE)
    inputs = rng.integers(0, 100, (SIZE, 1, 1, CLASSES)).astype(np.uint8)
    inputs[np.arange(SIZE), 0, 0, brightest] = 200
    labels = brightest.astype(np.uint8)
    labels[:10] = (labels[:10] + 1) % CLASSES
    folder = course_dir / "hidden" / EXERCISE.id
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "inputs.npy", inputs)
    np.save(folder / "labels.npy", labels)
    (folder / "inputs.npy").chmod(0o644)
    version = hashlib.sha256(inputs.tobytes() + labels.tobytes()).hexdigest()[:12]
    meta = {"schema": 1, "exercise": EXERCISE.id, "version": version, "size": SIZE, "num_classes": CLASSES}
    meta |= {"shape": [1, 1, CLASSES], "source": "toy", "standin": True}
    (folder / "meta.json").write_text(json.dumps(meta))
    return version, labels


def hand_in(course_dir, student, model=b"", minutes=0, exercise=EXERCISE, **more):
    """Store and queue one submission; returns its number."""
    files = {
        "04_grid_search.ipynb": f'{{"of": "{student}"}}'.encode(),
        "model.onnx": model or student.encode(),
    } | more
    files["submission.json"] = json.dumps({"schema": 1, "exercise": exercise.id, "claimed": {}}).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name, data in files.items():
            target.writestr(zipfile.ZipInfo(name), data)
    sha = store.put(course_dir, buffer.getvalue())
    with Gradebook(course_dir, create=True) as book:
        return book.add_submission(exercise.id, student, sha, TIME + timedelta(minutes=minutes)).submission_id


class Fake:
    """Tools whose count is a function of the model's bytes, or which raise for that student."""

    def __init__(self, labels, raises=None, sandboxed=True):
        self.labels, self.raises, self.sandboxed, self.predicted = labels, raises or {}, sandboxed, []

    def __call__(self, inputs, n):
        assert inputs.name == "inputs.npy" and n == SIZE
        return Tools(self.judge, self.sandboxed)

    def judge(self, data, contract):
        if data.startswith(b"bad"):
            return Refused("not_onnx", "because")
        name = data.decode()
        self.predicted.append(name)
        if isinstance(self.raises.get(name), Refused):
            return self.raises[name]
        if name in self.raises:
            raise self.raises[name]
        right = int.from_bytes(hashlib.sha256(name.encode()).digest()[:2]) % (SIZE + 1)
        classes = (self.labels + 1) % CLASSES
        classes[:right] = self.labels[:right]
        return Judged(len(data), classes.astype(np.uint8))


def expected(name):
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:2]) % (SIZE + 1)


@pytest.fixture
def course_dir(tmp_path):
    folder = tmp_path / "course"
    folder.mkdir()
    return folder


def run(course_dir, tools=None, **options):
    return score(COURSE, EXERCISE.id, course_dir, progress=False, tools=tools, **options)


def states(course_dir):
    with Gradebook(course_dir) as book:
        return {row.student: row.state for row in book.submissions()}


def results(course_dir):
    with Gradebook(course_dir) as book:
        return book.results(EXERCISE.id)


def test_each_submission_gets_one_result_with_its_exact_count(course_dir):
    version, labels = hidden_set(course_dir)
    for name in ("anna", "ben", "cleo"):
        hand_in(course_dir, name)
    report = run(course_dir, Fake(labels))
    assert sorted(report.scored) == [(name, expected(name), SIZE) for name in ("anna", "ben", "cleo")]
    found = results(course_dir)
    assert [(row.correct, row.total, row.non_finite) for row in found] == [
        (expected(name), SIZE, 0) for name in ("anna", "ben", "cleo")
    ]
    assert {(row.dataset_version, row.scorer_version, row.sandboxed) for row in found} == {
        (version, SCORER_VERSION, True)
    }
    assert [(row.parameters, row.model_bytes) for row in found] == [(4, 4), (3, 3), (4, 4)]


def test_which_images_were_right_is_kept_for_each_half_and_adds_up_to_the_count(course_dir):
    _, labels = hidden_set(course_dir)
    hand_in(course_dir, "anna")
    run(course_dir, Fake(labels))
    row = results(course_dir)[0]
    assert len(row.public_right) == len(row.private_right) == (SIZE // 2 + 7) // 8
    bits = np.unpackbits(np.frombuffer(row.public_right + row.private_right, dtype=np.uint8))
    assert bits.sum() == row.correct == expected("anna")


def test_the_staffs_models_are_scored_along_and_stand_in_no_ones_way(course_dir):
    _, labels = hidden_set(course_dir)
    folder = course_dir / "baselines" / EXERCISE.id
    folder.mkdir(parents=True)
    (folder / "linear.onnx").write_bytes(b"staff")
    hand_in(course_dir, "anna")
    report = run(course_dir, Fake(labels))
    assert report.baselines == [("linear", expected("staff"), SIZE)] and len(report.scored) == 1
    assert [row.model_bytes for row in results(course_dir)] == [4]
    assert run(course_dir, Fake(labels)).baselines == []


def test_a_second_run_does_nothing(course_dir):
    _, labels = hidden_set(course_dir)
    hand_in(course_dir, "anna")
    run(course_dir, Fake(labels))
    with Gradebook(course_dir) as book:
        before = book.results(EXERCISE.id), book.audit("anna")
    again = Fake(labels)
    assert run(course_dir, again).scored == [] and again.predicted == []
    with Gradebook(course_dir) as book:
        assert (book.results(EXERCISE.id), book.audit("anna")) == before


def test_every_state_is_committed_on_the_way(course_dir):
    _, labels = hidden_set(course_dir)
    hand_in(course_dir, "anna")
    run(course_dir, Fake(labels))
    with Gradebook(course_dir) as book:
        what = [event.what for event in book.audit("anna")]
    assert what == ["received", "validated", "queued", "running", "predicted", "scored"]


def test_a_students_fault_is_recorded_with_its_code_and_the_others_go_on(course_dir):
    _, labels = hidden_set(course_dir)
    hand_in(course_dir, "anna", b"bad model")
    hand_in(course_dir, "ben", minutes=1)
    hand_in(course_dir, "cleo", minutes=2)
    report = run(course_dir, Fake(labels, {"ben": Refused("timeout", "two\nlines")}))
    assert report.failed == [("anna", "not_onnx", "because"), ("ben", "timeout", "two lines")]
    assert states(course_dir) == {"anna": "FAILED", "ben": "FAILED", "cleo": "scored"}
    again = Fake(labels)
    assert run(course_dir, again).failed == [] and again.predicted == []


@pytest.mark.parametrize(
    "fault",
    [
        SandboxError("no sandbox"),
        OSError(28, "No space left on device"),
        MemoryError(),
        HiddenSetError("gone"),
    ],
)
def test_an_error_of_ours_is_tried_again_after_the_others_and_marks_nobody(course_dir, fault):
    _, labels = hidden_set(course_dir)
    for minutes, name in enumerate(("anna", "ben", "cleo")):
        hand_in(course_dir, name, minutes=minutes)
    tools = Fake(labels, {"ben": fault})
    with pytest.raises(CourseError, match="1 submissions could not be judged by score, nobody was marked"):
        run(course_dir, tools)
    assert tools.predicted == ["anna", "ben", "cleo", "ben", "ben"]
    assert states(course_dir) == {"anna": "scored", "ben": "ERROR", "cleo": "scored"}
    with Gradebook(course_dir) as book:
        (row,) = (row for row in book.submissions() if row.student == "ben")
        assert type(fault).__name__ in row.detail and (row.code, row.errors) == ("ours", 3)
    again = Fake(labels)
    run(course_dir, again)
    assert again.predicted == ["ben"]
    assert set(states(course_dir).values()) == {"scored"} and len(results(course_dir)) == 3


def test_an_error_that_goes_away_by_itself_costs_nothing(course_dir):
    _, labels = hidden_set(course_dir)
    for name in ("anna", "ben"):
        hand_in(course_dir, name)
    tools = Fake(labels)
    judge, faults = tools.judge, [SandboxError("busy"), OSError(11, "try again")]

    def sometimes(data, contract):
        if data == b"anna" and faults:
            raise faults.pop()
        return judge(data, contract)

    tools.judge = sometimes
    report = run(course_dir, tools)
    assert report.scored == [(name, expected(name), SIZE) for name in ("anna", "ben")]
    with Gradebook(course_dir) as book:
        what = [event.what for event in book.audit("anna")]
    assert what.count("ERROR") == 2 and what.count("scored") == 1


def test_errors_of_ours_on_three_submissions_in_a_row_end_the_run(course_dir):
    _, labels = hidden_set(course_dir)
    for minutes, name in enumerate("abcdefg"):
        hand_in(course_dir, name, minutes=minutes)
    tools = Fake(labels, dict.fromkeys("bcdefg", SandboxError("gone")))
    with pytest.raises(RecordsError, match="3 submissions .* the first is submission 2 of b: gone"):
        run(course_dir, tools)
    assert tools.predicted == ["a", "b", "c", "d"]
    assert "".join(states(course_dir)[name][0] for name in "abcdefg") == "sEEEqqq"


def test_a_bug_keeps_its_own_exception_and_does_not_hold_up_the_others(course_dir):
    _, labels = hidden_set(course_dir)
    hand_in(course_dir, "anna")
    hand_in(course_dir, "ben", minutes=1)
    broken = {"anna": ZeroDivisionError("a bug")}
    with pytest.raises(ZeroDivisionError):
        run(course_dir, Fake(labels, broken))
    assert states(course_dir) == {"anna": "ERROR", "ben": "scored"}


def test_without_a_hidden_set_nothing_changes(course_dir):
    hand_in(course_dir, "anna")
    with pytest.raises(HiddenSetError, match="hidden-set build"):
        run(course_dir, Fake(None))
    assert states(course_dir) == {"anna": "queued"}


def test_a_hidden_set_of_another_shape_is_refused(course_dir):
    hidden_set(course_dir)
    hand_in(course_dir, "anna")
    other = replace(EXERCISE, models=(replace(EXERCISE.models[0], input=(3, 32, 32)),))
    with pytest.raises(HiddenSetError, match="build the right set"):
        score(replace(COURSE, exercises=(other,)), EXERCISE.id, course_dir, progress=False, tools=Fake(None))
    assert states(course_dir) == {"anna": "queued"}


def test_an_exercise_without_a_hidden_set_and_an_unknown_one_are_refused(course_dir):
    plain = replace(COURSE, exercises=(replace(EXERCISE, hidden_set=None),))
    with pytest.raises(HiddenSetError, match="nothing to score"):
        score(plain, EXERCISE.id, course_dir, progress=False)
    with pytest.raises(CourseError, match="04_grid_search"):
        score(COURSE, "4_grid_search", course_dir, progress=False)


def test_only_one_run_at_a_time(course_dir):
    _, labels = hidden_set(course_dir)
    hand_in(course_dir, "anna")
    with coordinator(course_dir), pytest.raises(RecordsError, match="another grading run"):
        run(course_dir, Fake(labels))
    assert states(course_dir) == {"anna": "queued"}


class _Stop(BaseException):
    """Ends a run in the middle as a kill would, without the process."""


def stop_before(monkeypatch, name):
    def stop(*args, **kwargs):
        raise _Stop

    monkeypatch.setattr(Gradebook, name, stop)


def test_what_was_predicted_is_counted_and_not_predicted_again(course_dir, monkeypatch):
    _, labels = hidden_set(course_dir)
    hand_in(course_dir, "anna")
    with monkeypatch.context() as patch:
        stop_before(patch, "set_scored")
        with pytest.raises(_Stop):
            run(course_dir, Fake(labels))
    assert states(course_dir) == {"anna": "predicted"}
    again = Fake(labels)
    assert run(course_dir, again).scored == [("anna", expected("anna"), SIZE)]
    assert again.predicted == []


@pytest.mark.parametrize("damage", ["gone", "changed", "empty"])
def test_stored_predictions_that_are_gone_or_changed_are_made_again(course_dir, monkeypatch, damage):
    _, labels = hidden_set(course_dir)
    hand_in(course_dir, "anna")
    with monkeypatch.context() as patch:
        stop_before(patch, "set_scored")
        with pytest.raises(_Stop):
            run(course_dir, Fake(labels))
    (path,) = (course_dir / "predictions").rglob("*.npy")
    if damage == "gone":
        path.unlink()
    elif damage == "changed":
        np.save(path, labels)  # all right: somebody tries to be scored 100 %
    else:
        path.write_bytes(b"")
    again = Fake(labels)
    assert run(course_dir, again).scored == [("anna", expected("anna"), SIZE)]
    assert again.predicted == ["anna"]


def test_predictions_lie_where_they_should_and_only_for_the_owner(course_dir):
    version, labels = hidden_set(course_dir)
    number = hand_in(course_dir, "anna")
    run(course_dir, Fake(labels))
    path = course_dir / "predictions" / str(number) / f"model.onnx-{version}.npy"
    assert path.stat().st_mode & 0o777 == 0o600
    assert int((np.load(path) == labels).sum()) == expected("anna")


def test_a_new_hidden_set_scores_everything_again_and_keeps_the_old_rows(course_dir):
    first, labels = hidden_set(course_dir)
    hand_in(course_dir, "anna")
    hand_in(course_dir, "ben")
    run(course_dir, Fake(labels, {"ben": Refused("timeout", "because")}))
    second, labels = hidden_set(course_dir, seed=2)
    run(course_dir, Fake(labels))
    assert [row.dataset_version for row in results(course_dir)] == [first, second, second]
    assert states(course_dir) == {"anna": "scored", "ben": "scored"}


def test_predictions_for_an_old_hidden_set_are_never_counted_against_a_new_one(course_dir, monkeypatch):
    _, labels = hidden_set(course_dir)
    hand_in(course_dir, "anna")
    with monkeypatch.context() as patch:
        stop_before(patch, "set_scored")
        with pytest.raises(_Stop):
            run(course_dir, Fake(labels))
    second, labels = hidden_set(course_dir, seed=2)
    again = Fake(labels)
    run(course_dir, again)
    assert again.predicted == ["anna"]
    assert [row.dataset_version for row in results(course_dir)] == [second]


def test_predictions_made_without_isolation_stay_marked_when_counted_later(course_dir, monkeypatch):
    _, labels = hidden_set(course_dir)
    hand_in(course_dir, "anna")
    with monkeypatch.context() as patch:
        stop_before(patch, "set_scored")
        with pytest.raises(_Stop):
            run(course_dir, Fake(labels, sandboxed=False))
    run(course_dir, Fake(labels, sandboxed=True))
    assert [row.sandboxed for row in results(course_dir)] == [False]


def test_a_rejected_submission_is_never_run(course_dir):
    _, labels = hidden_set(course_dir)
    with Gradebook(course_dir, create=True) as book:
        book.add_submission(EXERCISE.id, "anna", "a" * 64, TIME, late=True, rejected=("late", ""))
    tools = Fake(labels)
    run(course_dir, tools)
    assert tools.predicted == [] and states(course_dir) == {"anna": "REJECTED"}


def test_a_model_is_scored_whatever_its_notebook_did(course_dir):
    _, labels = hidden_set(course_dir)
    number = hand_in(course_dir, "anna")
    with Gradebook(course_dir) as book:
        book.add_notebook_result(Notebook(number, "s", 0.0, 2.0, {}, "FAILED", "timeout", "", True))
    run(course_dir, Fake(labels))
    assert states(course_dir) == {"anna": "scored"}


def test_every_model_of_an_exercise_needs_a_result_or_there_is_none(course_dir):
    _, labels = hidden_set(course_dir)
    both = replace(EXERCISE, models=(*EXERCISE.models, replace(EXERCISE.models[0], file="teacher.onnx")))
    course = replace(COURSE, exercises=(both,))
    hand_in(course_dir, "anna", exercise=both, **{"teacher.onnx": b"anna's teacher"})
    hand_in(course_dir, "ben", exercise=both, **{"teacher.onnx": b"bad"})
    score(course, EXERCISE.id, course_dir, progress=False, tools=Fake(labels))
    assert states(course_dir) == {"anna": "scored", "ben": "FAILED"}
    assert [(row.model_file, row.correct) for row in results(course_dir)] == [
        ("model.onnx", expected("anna")),
        ("teacher.onnx", expected("anna's teacher")),
    ]


def test_a_damaged_store_is_our_error_and_not_the_students(course_dir):
    _, labels = hidden_set(course_dir)
    hand_in(course_dir, "anna")
    (path,) = (course_dir / "store").rglob("*.zip")
    path.unlink()
    with pytest.raises(RecordsError, match="backup"):
        run(course_dir, Fake(labels))
    assert states(course_dir) == {"anna": "ERROR"}


def tiny_model(weights):
    """logits = pixels @ weights, weights (4, 4) float32."""
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["x"], ["flat"], axis=1),
            helper.make_node("MatMul", ["flat", "w"], ["y"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, 1, CLASSES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", CLASSES])],
        [numpy_helper.from_array(np.asarray(weights, np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.mark.parametrize("unsafe", [False, True])
def test_real_models_in_the_real_sandbox_get_the_counts_worked_out_by_hand(course_dir, unsafe):
    if not unsafe:
        try:
            Sandbox.detect()
        except SandboxError as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"no sandbox here: {error}")
    _, labels = hidden_set(course_dir)
    eye = np.eye(CLASSES)
    hand_in(course_dir, "best", tiny_model(eye), 0)  # the brightest pixel, right in 30 of 40 rows
    hand_in(course_dir, "const", tiny_model(np.eye(CLASSES)[:, [0] * CLASSES]), 1)  # equal logits: always class 0
    hand_in(course_dir, "nan", tiny_model(eye * np.nan), 2)
    hand_in(course_dir, "pickle", b"\x80\x04\x95\x0b\x00\x00\x00.", 3)
    hand_in(course_dir, "wide", tiny_model(eye) + b"junk" * 10, 4)
    report = run(course_dir, unsafe=unsafe)
    assert report.scored == [("best", 30, SIZE), ("const", int((labels == 0).sum()), SIZE)]
    assert [(who, code) for who, code, _ in report.failed[:2]] == [
        ("nan", "non_finite"),
        ("pickle", "not_onnx"),
    ]
    found = results(course_dir)
    assert {row.sandboxed for row in found} == {not unsafe} and found[0].parameters == CLASSES * CLASSES
    assert run(course_dir, unsafe=unsafe).scored == []
