"""Predictions from real ONNX files in the real sandbox, hostile scripts in its place, a search for labels."""

import os
import struct
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from autograder.errors import HiddenSetError, SandboxError
from autograder.grading import hidden_set
from autograder.grading import predict as predict_module
from autograder.grading.predict import LIMITS, PredictionFailed, predict
from autograder.grading.runtime import runtime_roots
from autograder.grading.sandbox import Completed, Limits, Mount, Sandbox

FLOAT = TensorProto.FLOAT
N, SHAPE = 600, (3, 4, 4)  # two full batches of 256 and a rest


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    path = tmp_path / "inputs.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (N, *SHAPE), dtype=np.uint8))
    path.chmod(0o644)
    return path


def write_model(path: Path, nodes, *weights: tuple[str, np.ndarray], batch="N", out=10) -> Path:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", FLOAT, [batch, *SHAPE])],
        [helper.make_tensor_value_info("y", FLOAT, [batch, out])],
        [numpy_helper.from_array(array, name) for name, array in weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def linear_weights() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(48, 10)).astype(np.float32), rng.normal(size=10).astype(np.float32)


def linear_model(path: Path) -> Path:
    w, b = linear_weights()
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Gemm", ["f", "w", "b"], ["y"])]
    return write_model(path, nodes, ("w", w), ("b", b))


def expected(inputs: Path) -> np.ndarray:
    pixels = np.load(inputs).astype(np.float64) / 255
    w, b = linear_weights()
    return (pixels.reshape(N, -1) @ w + b).argmax(axis=1)


def failure(*arguments, **named) -> tuple[str, str]:
    with pytest.raises(PredictionFailed) as caught:
        predict(*arguments, **named)
    assert "\n" not in caught.value.detail and len(caught.value.detail) < 500
    return caught.value.code, caught.value.detail


def small(**changes) -> Limits:
    return Limits(**{**LIMITS.__dict__, "wall_s": 20.0, "memory_bytes": 512 << 20, **changes})


def test_class_ids_are_those_of_numpy(box: Sandbox, tmp_path: Path, inputs: Path) -> None:
    classes = predict(box, linear_model(tmp_path / "m.onnx"), inputs, N, 10)
    assert classes.dtype == np.uint8 and classes.shape == (N,)
    np.testing.assert_array_equal(classes, expected(inputs))
    assert len(set(classes.tolist())) > 3
    np.testing.assert_array_equal(predict(box, tmp_path / "m.onnx", inputs, N, 10), classes)


def test_it_works_without_isolation_too(tmp_path: Path, inputs: Path) -> None:
    classes = predict(Sandbox.unsafe(), linear_model(tmp_path / "m.onnx"), inputs, N, 10)
    np.testing.assert_array_equal(classes, expected(inputs))


def test_a_model_file_closed_to_others_is_still_read(box: Sandbox, tmp_path: Path, inputs: Path) -> None:
    model = linear_model(tmp_path / "m.onnx")
    model.chmod(0o600)
    np.testing.assert_array_equal(predict(box, model, inputs, N, 10), expected(inputs))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_with_any_non_finite_logit_becomes_255(box: Sandbox, tmp_path: Path, inputs: Path, bad: float) -> None:
    pixels = np.load(inputs)
    pixels[::7, 0, 0, 0] = 255
    pixels[1::7, 0, 0, 0] = 0
    pixels[2::7, 0, 0, 0] = 0
    np.save(inputs, pixels)
    w, b = linear_weights()
    # where the first pixel is white, logit 4 alone is spoilt
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["logits"]),
        helper.make_node("Gather", ["f", "zero"], ["first"], axis=1),
        helper.make_node("GreaterOrEqual", ["first", "one"], ["white"]),
        helper.make_node("And", ["white", "fourth"], ["spoilt"]),
        helper.make_node("Where", ["spoilt", "bad", "logits"], ["y"]),
    ]
    model = write_model(
        tmp_path / "m.onnx",
        nodes,
        ("w", w),
        ("b", b),
        ("zero", np.array([0])),
        ("one", np.array(1, np.float32)),
        ("fourth", np.arange(10) == 4),
        ("bad", np.array(bad, np.float32)),
    )
    classes = predict(box, model, inputs, N, 10)
    white = pixels[:, 0, 0, 0] == 255
    assert 0 < white.sum() < N
    np.testing.assert_array_equal(classes, np.where(white, 255, expected(inputs)))


def test_a_model_without_any_finite_row_is_refused(box: Sandbox, tmp_path: Path, inputs: Path) -> None:
    w, b = linear_weights()
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Gemm", ["f", "w", "b"], ["y"])]
    model = write_model(tmp_path / "m.onnx", nodes, ("w", w), ("b", b * np.float32(np.nan)))
    assert failure(box, model, inputs, N, 10)[0] == "non_finite"


@pytest.mark.parametrize("data", [b"", b"nonsense" * 50, b"\x80\x04K\x01."], ids=["empty", "text", "pickle"])
def test_a_file_that_cannot_be_loaded_is_corrupt(box: Sandbox, tmp_path: Path, inputs: Path, data: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(data)
    assert failure(box, tmp_path / "m.onnx", inputs, N, 10)[0] == "corrupt"


def test_external_data_finds_nothing_in_the_sandbox(box: Sandbox, tmp_path: Path, inputs: Path) -> None:
    (tmp_path / "labels.npy").write_bytes(bytes(48 * 10 * 4))
    model = onnx.load(linear_model(tmp_path / "m.onnx"))
    model.graph.initializer[0].ClearField("raw_data")
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    model.graph.initializer[0].external_data.add(key="location", value="labels.npy")
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert failure(box, tmp_path / "m.onnx", inputs, N, 10)[0] == "corrupt"


def test_the_wrong_number_of_classes_is_bad_output(box: Sandbox, tmp_path: Path, inputs: Path) -> None:
    code, detail = failure(box, linear_model(tmp_path / "m.onnx"), inputs, N, 11)
    assert code == "bad_output" and "(256, 11)" in detail and "(256, 10)" in detail


def test_one_row_for_a_whole_batch_is_bad_output(box: Sandbox, tmp_path: Path, inputs: Path) -> None:
    w, b = linear_weights()
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Gemm", ["f", "w", "b"], ["all"])]
    mean = helper.make_node("ReduceMean", ["all", "axes"], ["y"], keepdims=1)
    model = write_model(tmp_path / "m.onnx", [*nodes, mean], ("w", w), ("b", b), ("axes", np.array([0])), batch=None)
    assert failure(box, model, inputs, N, 10)[0] == "bad_output"


def test_a_model_that_fails_while_running_gives_no_predictions(box: Sandbox, tmp_path: Path, inputs: Path) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["y"]),
    ]
    w, b = linear_weights()
    model = write_model(tmp_path / "m.onnx", nodes, ("w", w), ("b", b), ("shape", np.array([256, 48])))
    code, detail = failure(box, model, inputs, N, 10)  # the last batch is smaller than 256
    assert code == "no_predictions" and detail


def huge_model(path: Path, megabytes: int) -> Path:
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["big"], value=helper.make_tensor("v", FLOAT, [1], [1.0])),
        helper.make_node("ReduceSum", ["big"], ["one"], keepdims=0),
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["z"]),
        helper.make_node("Add", ["z", "one"], ["y"]),
    ]
    w, b = linear_weights()
    return write_model(path, nodes, ("w", w), ("b", b), ("shape", np.array([megabytes, 1 << 18])))


@pytest.mark.parametrize("megabytes", [2000, 50_000, 10**9])
def test_a_model_that_needs_too_much_memory_fails_as_memory(
    box: Sandbox, tmp_path: Path, inputs: Path, megabytes: int
) -> None:
    model = huge_model(tmp_path / "m.onnx", megabytes)
    assert failure(box, model, inputs, N, 10, limits=small())[0] == "memory"


def test_a_model_that_takes_too_long_times_out(box: Sandbox, tmp_path: Path, inputs: Path) -> None:
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("MatMul", ["f", "up"], ["h0"]),
        *(helper.make_node("MatMul", [f"h{i}", "wide"], [f"h{i + 1}"]) for i in range(300)),
        helper.make_node("MatMul", ["h300", "down"], ["y"]),
    ]
    rng = np.random.default_rng(0)
    sizes = {"up": (48, 1000), "wide": (1000, 1000), "down": (1000, 10)}
    weights = [(name, rng.normal(size=size).astype(np.float32)) for name, size in sizes.items()]
    model = write_model(tmp_path / "m.onnx", nodes, *weights)
    code, detail = failure(box, model, inputs, N, 10, limits=small(wall_s=1.0))
    assert code == "timeout" and "1 s" in detail


HOSTILE = {
    "exits at once": ("import os; os._exit(0)", "no_predictions"),
    "exits well without output": ("print(end='')", "no_predictions"),
    "prints a score": ("print('Accuracy: 99 %')", "no_predictions"),
    "too little": ("import os; os.write(1, bytes(599))", "no_predictions"),
    "too much": ("import os; os.write(1, bytes(601))", "output"),
    "endless": ("import os\nwhile True: os.write(1, bytes(4096))", "output"),
    "unknown class": ("import os; os.write(1, bytes(599) + bytes([10]))", "bad_output"),
    "complete, then fails": ("import os; os.write(1, bytes(600)); os._exit(1)", "no_predictions"),
    "complete, then crashes": ("import os; os.write(1, bytes(600)); os.abort()", "no_predictions"),
    "all 255": ("import os; os.write(1, bytes([255]) * 600)", "non_finite"),
    "sleeps": ("import time; time.sleep(1000)", "timeout"),
    "eats memory": ("h = []\nwhile True: h.append(bytearray(b'x' * (1 << 20)))", "memory"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_takes_over_the_sandboxed_program_yields_a_reason_and_no_score(
    box: Sandbox, tmp_path: Path, inputs: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    code, reason = HOSTILE[name]
    script = tmp_path / "hostile.py"
    script.write_text(code)
    monkeypatch.setattr(predict_module, "SCRIPT", script)
    model = linear_model(tmp_path / "m.onnx")
    wall = 1.0 if reason == "timeout" else 20.0
    assert failure(box, model, inputs, N, 10, limits=small(wall_s=wall))[0] == reason


def test_a_machine_without_onnxruntime_is_our_error_not_the_students(
    box: Sandbox, tmp_path: Path, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "script.py"
    script.write_text("import os; os.write(2, b'No module named onnxruntime'); os._exit(7)")
    monkeypatch.setattr(predict_module, "SCRIPT", script)
    with pytest.raises(SandboxError, match="onnxruntime"):
        predict(box, linear_model(tmp_path / "m.onnx"), inputs, N, 10)


def test_inputs_that_are_not_what_was_built_are_our_error(box: Sandbox, tmp_path: Path, inputs: Path) -> None:
    model = linear_model(tmp_path / "m.onnx")
    with pytest.raises(HiddenSetError, match="expected uint8"):
        predict(box, model, inputs, N + 1, 10)
    np.save(inputs, np.zeros((N, *SHAPE), np.float32))
    with pytest.raises(HiddenSetError, match="float32"):
        predict(box, model, inputs, N, 10)
    inputs.unlink()
    with pytest.raises(HiddenSetError, match="cannot read"):
        predict(box, model, inputs, N, 10)


# Reads all that can be read inside and writes it out: files outside the runtime, every process's environment,
# argv, mounts and descriptors, and what is waiting in inherited pipes.
SPY = r"""
import os, stat, struct, sys
sys.stdout.flush()
runtime = sys.argv[1].split(":")

def show(name, data):
    for part in (name.encode(errors="surrogateescape"), data):
        sys.stdout.buffer.write(struct.pack("<Q", len(part)) + part)

for folder, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in runtime]
    for name in folders + files:
        path = os.path.join(folder, name)
        try:
            mode = os.lstat(path).st_mode
            show("name", os.fsencode(path))
            if stat.S_ISREG(mode):
                show(path, open(path, "rb").read(50_000_000))
            elif stat.S_ISLNK(mode):
                show(path, os.fsencode(os.readlink(path)))
        except OSError:
            pass
for pid in [name for name in os.listdir("/proc") if name.isdigit()]:
    for name in ("environ", "cmdline", "mountinfo", "maps", "comm", "status"):
        try:
            show(f"/proc/{pid}/{name}", open(f"/proc/{pid}/{name}", "rb").read())
        except OSError:
            pass
for fd in range(1024):
    try:
        target = os.readlink(f"/proc/self/fd/{fd}")
        show(f"fd {fd}", target.encode())
        os.set_blocking(fd, False)
        show(f"fd {fd} content", os.read(fd, 10_000_000))
    except OSError:
        pass
for number, word in enumerate(sys.argv):
    show(f"argv {number}", word.encode(errors="surrogateescape"))
"""


class Recorder:
    """Stands in for the sandbox and keeps what `predict` asks of it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.python, self.asked = sandbox.python, {}

    def run(self, argv, **options) -> Completed:
        self.asked = {"argv": argv, **options}
        return Completed("ok", 0, bytes(options["limits"].output_bytes), "", 0.0)


def seen_inside(box: Sandbox, argv, mounts, limits: Limits, script: Path) -> list[tuple[str, bytes]]:
    script.write_text(SPY)
    runtime = ":".join(str(path) for path in (*runtime_roots(), "/usr", "/proc", "/bin", "/lib", "/lib64", "/sbin"))
    swapped = [Mount(script, mount.target) if mount.target == "/predict.py" else mount for mount in mounts]
    roomy = Limits(**{**limits.__dict__, "output_bytes": 200_000_000})
    done = box.run([*argv[:3], runtime, *argv[3:]], mounts=swapped, limits=roomy)
    assert done.reason == "ok", done.stderr_tail
    return read_spy(done.stdout)


def read_spy(output: bytes) -> list[tuple[str, bytes]]:
    """(name, content) of everything that the spy has shown."""
    words, at = [], 0
    while at < len(output):
        (length,) = struct.unpack_from("<Q", output, at)
        words.append(output[at + 8 : at + 8 + length])
        at += 8 + length
    return [(os.fsdecode(name), data) for name, data in zip(words[::2], words[1::2], strict=True)]


def traces(labels: np.ndarray, seen: list[tuple[str, bytes]]) -> list[str]:
    """Where any 24 labels in a row show up: as bytes, as wider integers, or written out as text."""
    needles = set()
    for start in range(0, len(labels) - 24, 24):
        window = labels[start : start + 24]
        needles |= {window.astype(kind).tobytes() for kind in ("u1", "<i2", "<i4", "<i8", "<f4", "<f8")}
        needles |= {sep.join(map(str, window)).encode() for sep in ("", ",", ", ", " ", "\n")}
    return [name for name, data in seen if any(needle in data for needle in needles)]


def test_no_file_pipe_or_environment_variable_that_the_sandbox_sees_contains_a_hidden_label(
    box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = tmp_path / "course"
    monkeypatch.setenv("COURSE_DIR", str(course))
    meta = hidden_set.build(course, "04_grid_search", stand_in="cifar10", n=500)
    labels = hidden_set.load_labels(course, "04_grid_search")
    inputs = hidden_set.inputs_path(course, "04_grid_search")
    assert len(set(labels.tolist())) == 10
    # a trusted process that holds the labels in every way it can while the sandbox runs
    monkeypatch.setenv("LABELS", ",".join(map(str, labels)))
    monkeypatch.chdir(inputs.parent)
    read, write = os.pipe()
    os.write(write, labels.tobytes())
    opened = os.open(inputs.parent / "labels.npy", os.O_RDONLY)
    for fd in (read, opened):
        os.set_inheritable(fd, True)
    try:
        recorder = Recorder(box)
        model = linear_model(tmp_path / "model.onnx")
        predict(recorder, model, inputs, meta["size"], 10)  # type: ignore[arg-type]
        asked = recorder.asked
        seen = seen_inside(box, asked["argv"], asked["mounts"], asked["limits"], tmp_path / "spy.py")
    finally:
        for fd in (read, write, opened):
            os.close(fd)

    contents = dict(seen)
    assert contents["/inputs.npy"] == inputs.read_bytes() and contents["/model.onnx"] == model.read_bytes()
    assert {"fd 0", "fd 1", "fd 2"} == {name for name in contents if name.startswith("fd ") and "content" not in name}
    assert contents["fd 0"] == b"/dev/null" and any(name.endswith("/environ") for name in contents)
    names = {data.decode(errors="replace") for name, data in seen if name == "name"}
    assert "/inputs.npy" in names and not any("labels" in name or "meta.json" in name for name in names)
    assert traces(labels, seen) == []
    assert not any(b"labels.npy" in data or b"LABELS=" in data for _, data in seen)

    # the search itself works: the same sandbox with the labels added by mistake is found out
    copy = tmp_path / "copy.npy"
    np.save(copy, labels)
    copy.chmod(0o644)
    mounts = [*asked["mounts"], Mount(copy, "/oops.npy")]
    seen = seen_inside(box, asked["argv"], mounts, asked["limits"], tmp_path / "spy.py")
    assert traces(labels, seen) == ["/oops.npy"]


def test_only_the_script_the_model_and_the_inputs_are_mounted_read_only(tmp_path: Path, inputs: Path) -> None:
    recorder = Recorder(Sandbox.unsafe())
    model = linear_model(tmp_path / "m.onnx")
    predict(recorder, model, inputs, N, 10)  # type: ignore[arg-type]
    mounts = recorder.asked["mounts"]
    assert {mount.target for mount in mounts} == {"/predict.py", "/model.onnx", "/inputs.npy"}
    assert not any(mount.writable or mount.source.is_dir() for mount in mounts)
    assert recorder.asked["limits"].output_bytes == N and not recorder.asked.get("env")
    assert recorder.asked["argv"][1] == "-I"
