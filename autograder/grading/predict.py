"""Class ids for the hidden inputs; the model runs in the sandbox, which holds only it and the inputs."""

import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from autograder.errors import HiddenSetError, SandboxError
from autograder.grading.accuracy import NO_CLASS
from autograder.grading.sandbox import Completed, Limits, Mount, Sandbox

SCRIPT = Path(__file__).with_name("predict_inside.py")
_OURS = 7  # exit code of predict_inside: numpy, onnxruntime or the inputs are at fault, not the model
_EXIT_CODES = {3: "corrupt", 4: "bad_output", 5: "memory", 6: "no_predictions", 8: "order_dependent"}

LIMITS = Limits(
    wall_s=120.0,
    cpu_s=100,
    memory_bytes=2 << 30,
    processes=16,
    file_bytes=1 << 20,
    output_bytes=1 << 20,  # replaced by the number of inputs
    tmp_bytes=16 << 20,
)


class PredictionFailed(Exception):
    """The model gave no usable predictions: the student's fault, recorded with `code`.

    Codes: corrupt, bad_output, no_predictions, non_finite, order_dependent, timeout, memory, output.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail


def predict(
    sandbox: Sandbox, model_path: Path, inputs_path: Path, n: int, num_classes: int, limits: Limits = LIMITS
) -> np.ndarray:
    """Run the model on every input.

    Args:
        inputs_path: .npy of uint8 (n, C, H, W).
        num_classes: 1..255.
    Returns:
        uint8 (n,): class ids below `num_classes`, 255 where the logits were not finite.
    Raises:
        PredictionFailed: the student's model is at fault.
        SandboxError, HiddenSetError: we are.
    """
    if not 1 <= num_classes <= NO_CLASS:
        raise ValueError(f"num_classes: expected 1..{NO_CLASS}, got {num_classes}")
    check_inputs(inputs_path, n)
    with ExitStack() as stack:
        if not model_path.stat().st_mode & 0o004:  # inside it is read by another user
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="model-")))
            model_path = Path(shutil.copyfile(model_path, folder / "model.onnx"))
            model_path.chmod(0o644)
        done = sandbox.run(
            [sandbox.python, "-I", "/predict.py", "/model.onnx", "/inputs.npy", str(num_classes)],
            mounts=[
                Mount(SCRIPT, "/predict.py"),
                Mount(model_path, "/model.onnx"),
                Mount(inputs_path, "/inputs.npy"),
            ],
            limits=replace(limits, output_bytes=n),
        )
    return class_ids(done, n, num_classes, limits)


def check_inputs(path: Path, n: int) -> None:
    """Refuse inputs that are not uint8 (n, C, H, W).

    Raises:
        HiddenSetError: with what is there instead.
    """
    try:
        inputs = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise HiddenSetError(f"cannot read the hidden inputs {path}: {error}; build the hidden set again") from error
    if inputs.dtype != np.uint8 or inputs.ndim != 4 or len(inputs) != n:
        raise HiddenSetError(f"{path}: expected uint8 ({n}, C, H, W), got {inputs.dtype} {inputs.shape}")


def class_ids(done: Completed, n: int, num_classes: int, limits: Limits) -> np.ndarray:
    """uint8 (n,) from what `predict_inside` wrote.

    Raises: as `predict`.
    """
    message = (done.stderr_tail.strip().splitlines() or [""])[-1][:300]
    if done.reason == "timeout":
        raise PredictionFailed("timeout", f"not done after {limits.wall_s:g} s or {limits.cpu_s} s of processor time")
    if done.reason == "memory":
        raise PredictionFailed("memory", f"needed more than {limits.memory_bytes >> 20} MiB")
    if done.reason == "output" or (done.reason == "ok" and len(done.stdout) > n):
        raise PredictionFailed("output", f"wrote more than the {n} expected bytes")
    if done.reason == "exit" and done.returncode == _OURS:
        raise SandboxError(f"predicting does not work on this machine: {message}; is onnxruntime in this environment?")
    if done.reason == "exit" and done.returncode in _EXIT_CODES:
        raise PredictionFailed(_EXIT_CODES[done.returncode], message)
    if done.reason != "ok" or len(done.stdout) != n:
        how = f"ended with {done.reason} {done.returncode}" if done.reason != "ok" else "ended without an error"
        raise PredictionFailed(
            "no_predictions", f"{how}, {len(done.stdout)} of {n} predictions; {message}".rstrip("; ")
        )
    classes = np.frombuffer(done.stdout, dtype=np.uint8).copy()
    if np.any((classes >= num_classes) & (classes != NO_CLASS)):
        raise PredictionFailed("bad_output", f"a class id is not in 0..{num_classes - 1}")
    if np.all(classes == NO_CLASS):
        raise PredictionFailed("non_finite", "every row of logits holds NaN or an infinity")
    return classes
