"""Runs INSIDE the sandbox, alone: `python -I /predict.py model.onnx inputs.npy 10` (10 classes).

inputs.npy is uint8 (N, C, H, W); the model gets float32 in [0, 1], 256 rows at a time, fewer the last time.
Writes N bytes to stdout: the class id (argmax of the logits), or 255 for a row with a NaN or an infinity.
Then a sample is run again in another order and other batches: a class that depends on its neighbours (batch
statistics, a memory, chance) is no classifier's.
Exit codes: 3 the model cannot be loaded, 4 the output has the wrong shape or type, 5 out of memory, 6 the
model failed while running, 7 something of ours is broken, 8 the sample came out differently; one line on
stderr says why.
"""

import os
import sys

BATCH = 256
NO_CLASS = 255
READY_BYTES = 256 << 20
SAMPLE, SAMPLE_BATCH = 512, 96
TOLERATED = 0.02  # of the sample: two nearly equal logits may change places when sums are taken in another order


def fail(code: int, reason: object) -> None:
    text = " ".join(str(reason).split())
    if code in (3, 6) and any(word in text.lower() for word in ("bad_alloc", "allocate memory", "out of memory")):
        code = 5
    os.write(2, (text[:300] + "\n").encode(errors="replace"))
    os._exit(code)


_ready: dict = {}  # inputs_path -> float32 (N, C, H, W) in [0, 1], what models get


def load(inputs_path: str = "") -> None:
    """Import the libraries, which takes longer than a small model's predictions, and make the pixels of `inputs_path`."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when it is imported
    import numpy as np
    import onnxruntime as ort

    ort.set_default_logger_severity(3)
    if inputs_path:
        inputs = np.load(inputs_path, mmap_mode="r", allow_pickle=False)
        if 4 * inputs.size <= READY_BYTES:
            _ready[inputs_path] = np.divide(inputs, np.float32(255), dtype=np.float32)


def run(model: str | bytes, inputs_path: str, classes: int, result: int) -> None:
    """Write the class ids to the descriptor `result` and end the process.

    Args:
        model: path or content.
    """
    try:
        load()
        import numpy as np
        import onnxruntime as ort

        inputs = np.load(inputs_path, mmap_mode="r", allow_pickle=False)
        if inputs.dtype != np.uint8 or inputs.ndim != 4:
            raise ValueError(f"inputs: expected uint8 (N, C, H, W), got {inputs.dtype} {inputs.shape}")
    except Exception as error:
        fail(7, error)
    try:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        (model_input,) = session.get_inputs()
        (model_output,) = session.get_outputs()
    except MemoryError:
        fail(5, "out of memory while loading the model")
    except Exception as error:
        fail(3, error)

    ready = _ready.get(inputs_path)

    def classify(rows: "slice | np.ndarray") -> "np.ndarray":
        """Class ids, uint8 (B,), of the B inputs at these places."""
        pixels = np.divide(inputs[rows], np.float32(255), dtype=np.float32) if ready is None else ready[rows]
        try:
            (logits,) = session.run([model_output.name], {model_input.name: pixels})
        except MemoryError:
            fail(5, "out of memory while running the model")
        except Exception as error:
            fail(6, error)
        if not isinstance(logits, np.ndarray) or logits.dtype != np.float32 or logits.shape != (len(pixels), classes):
            got = f"{logits.dtype} {logits.shape}" if isinstance(logits, np.ndarray) else type(logits).__name__
            fail(4, f"expected float32 logits of shape {(len(pixels), classes)}, got {got}")
        finite = np.isfinite(logits).all(axis=1)  # (B,)
        # argmax of a row with NaN is whatever the library does; such a row must not win anything
        return np.where(finite, logits.argmax(axis=1), NO_CLASS).astype(np.uint8)

    predictions = np.empty(len(inputs), dtype=np.uint8)
    for start in range(0, len(inputs), BATCH):
        predictions[start : start + BATCH] = classify(slice(start, start + BATCH))
    order = np.random.default_rng(len(inputs)).permutation(len(inputs))[:SAMPLE]
    differing = 0
    for start in range(0, len(order), SAMPLE_BATCH):
        chosen = order[start : start + SAMPLE_BATCH]
        differing += int(np.count_nonzero(classify(chosen) != predictions[chosen]))
    if differing > max(1, TOLERATED * len(order)):
        fail(8, f"{differing} of {len(order)} images got another class in another order and other batches")
    view = memoryview(predictions.tobytes())
    while view:
        view = view[os.write(result, view) :]
    os._exit(0)  # nothing of the runtime's own shutdown can change the exit code


def own_output() -> int:
    """A descriptor of stdout; a library that prints does so to stderr from now on, not into the results."""
    result = os.dup(1)
    os.dup2(2, 1)
    return result


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], int(sys.argv[3]), own_output())
