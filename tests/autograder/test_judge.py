"""One sandbox per model: check and predictions together, neither able to change the other, no label in reach."""

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from autograder.course.manifest import ModelContract
from autograder.errors import SandboxError
from autograder.grading import hidden_set, judge, predict
from autograder.grading.judge import Inputs, Judged, Refused, judge_model
from autograder.grading.runtime import runtime_roots
from autograder.grading.sandbox import Limits, Mount, Sandbox
from tests.autograder.test_predict import SHAPE, SPY, N, expected, read_spy, traces

CONTRACT = ModelContract("model.onnx", SHAPE, 10, 1000, 100_000)


@pytest.mark.parametrize("unsafe", [False, True])
def test_a_model_gets_its_facts_and_the_classes_that_numpy_finds(box, inputs, model, unsafe):
    judged = judge_model(inputs, unsafe, model, CONTRACT)
    assert isinstance(judged, Judged) and judged.parameters == 48 * 10 + 10
    np.testing.assert_array_equal(judged.classes, expected(inputs.path))


def test_inputs_that_travel_to_another_machine_give_the_same_classes(box, inputs, model):
    there = Inputs.travelling(inputs.path, N, "v2")
    inputs.path.unlink()
    judged = judge_model(there, False, model, CONTRACT)
    assert isinstance(judged, Judged) and len(set(judged.classes.tolist())) > 3
    assert there.file().stat().st_mode & 0o777 == 0o644 and there.file().parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"", "corrupt"), (b"\x80\x04K\x01.", "not_onnx"), (b"x" * 100_001, "too_large")],
    ids=["empty", "pickle", "large"],
)
def test_what_the_check_refuses_never_reaches_a_library(box, inputs, tmp_path, monkeypatch, data, code):
    script = tmp_path / "never.py"
    script.write_text("raise SystemExit('reached')")
    monkeypatch.setattr(predict, "SCRIPT", script)
    refused = judge_model(inputs, False, data, CONTRACT)
    assert isinstance(refused, Refused) and refused.code == code and "reached" not in refused.detail


LINE = b'{"facts": {"parameters": 1, "opset": 18, "bytes": 1, "operators": [], "flops": 1}}\n'


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (f"os.write(1, {LINE!r} + bytes({N - len(LINE)}))", "bad_output"),
        (f"os.lseek(1, 0, 0); os.write(1, {LINE!r} + bytes({N}))", "no_predictions"),
        (f"os.write(1, {LINE!r} + bytes({N}))", "output"),
        ("os.kill(os.getppid(), 9); os.write(1, b'x')", "no_predictions"),
    ],
    ids=["another line", "rewinds", "more", "kills"],
)
def test_whoever_takes_over_the_predictions_cannot_take_back_the_checks_answer(
    box, inputs, model, tmp_path, monkeypatch, code, reason
):
    script = tmp_path / "hostile.py"
    script.write_text(f"import os\n{code}\nos._exit(0)\n")
    monkeypatch.setattr(predict, "SCRIPT", script)
    refused = judge_model(inputs, False, model, CONTRACT)
    assert isinstance(refused, Refused) and refused.code == reason


class Recorder:
    """Stands in for the sandbox and keeps what `judge_model` asks of it."""

    def __init__(self, sandbox):
        self.python, self.asked = sandbox.python, {}

    def run(self, argv, **options):
        self.asked = {"argv": argv, **options}
        raise SandboxError("asked")


def asked_of(sandbox, monkeypatch, inputs, model):
    recorder = Recorder(sandbox)

    @contextmanager
    def lend(_unsafe):
        yield recorder

    monkeypatch.setattr(judge, "borrowed", lend)
    with pytest.raises(SandboxError, match="asked"):
        judge_model(inputs, False, model, CONTRACT)
    return recorder.asked


def test_only_our_programs_the_model_and_the_inputs_are_in_the_sandbox_read_only(inputs, model, monkeypatch):
    asked = asked_of(Sandbox.unsafe(), monkeypatch, inputs, model)
    programs = {mount.source for mount in asked["mounts"] if mount.target != "/inputs.npy"}
    assert {path.parent for path in programs} == {Path(judge.__file__).parent}
    assert not any(mount.writable or mount.source.is_dir() for mount in asked["mounts"])
    assert asked["contents"] == {"/model.onnx": model} and not asked.get("env")
    assert asked["argv"][1:3] == ["-I", "-S"]


def test_nothing_that_the_sandbox_of_a_model_sees_contains_a_hidden_label(box, tmp_path, model, monkeypatch):
    course = tmp_path / "course"
    monkeypatch.setenv("COURSE_DIR", str(course))
    meta = hidden_set.build(course, "04_grid_search", stand_in="cifar10", n=500)
    labels = hidden_set.load_labels(course, "04_grid_search")
    path = hidden_set.inputs_path(course, "04_grid_search")
    monkeypatch.setenv("LABELS", ",".join(map(str, labels)))
    asked = asked_of(box, monkeypatch, Inputs(path, meta["size"], meta["version"]), model)
    script = tmp_path / "spy.py"
    script.write_text(SPY)
    program = asked["argv"][3]
    mounts = [Mount(script, each.target) if each.target == program else each for each in asked["mounts"]]
    runtime = ":".join(str(place) for place in (*runtime_roots(), "/usr", "/proc", "/bin", "/lib", "/lib64", "/sbin"))
    argv = [*asked["argv"][:4], runtime, *asked["argv"][5:]]
    roomy = Limits(**{**asked["limits"].__dict__, "output_bytes": 200_000_000})

    def seen(more=()):
        done = box.run(argv, mounts=[*mounts, *more], limits=roomy, contents=asked["contents"])
        assert done.reason == "ok", done.stderr_tail
        return read_spy(done.stdout)

    found = seen()
    contents = dict(found)
    assert contents["/inputs.npy"] == path.read_bytes() and contents["/model.onnx"] == model
    assert {"fd 0", "fd 1", "fd 2"} == {name for name in contents if name.startswith("fd ") and "content" not in name}
    assert traces(labels, found) == []
    assert not any(b"labels.npy" in data or b"LABELS=" in data for _, data in found)
    copy = tmp_path / "copy.npy"  # the search itself works
    np.save(copy, labels)
    copy.chmod(0o644)
    assert traces(labels, seen([Mount(copy, "/oops.npy")])) == ["/oops.npy"]
