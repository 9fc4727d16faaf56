"""Runs INSIDE the sandbox, alone: the check of a model file, then, if that accepts it, its predictions.

`python -I -S judge_inside.py SITE_PACKAGES model.onnx inputs.npy 10 '{"file": ..., ...}'` prints the line of
`model_check_inside`, then the bytes of `predict_inside`. The line is out before any library sees the file, so nothing
that the model may do to a library can change it. The check has lower limits of its own than the whole.
"""

import json
import os
import resource
import sys
from contextlib import suppress

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from autograder.grading import model_check_inside  # noqa: E402

CHECK_CPU_S = 30
CHECK_BYTES = 2 << 30  # of addresses, the interpreter's included


def checked(data: bytes, asked: str) -> dict[str, object]:
    """The check's answer, under its own limits."""
    limits = {resource.RLIMIT_CPU: CHECK_CPU_S, resource.RLIMIT_AS: CHECK_BYTES}
    before = {which: resource.getrlimit(which) for which in limits}
    with suppress(ValueError, OSError):  # macOS knows no limit of addresses
        for which, most in limits.items():
            soft, hard = before[which]
            resource.setrlimit(which, (most if soft == resource.RLIM_INFINITY else min(most, soft), hard))
    try:
        return model_check_inside.answer(data, asked)
    except MemoryError:
        return {"refused": ["check_limits", "reading the file takes too much memory"]}
    finally:
        with suppress(ValueError, OSError):
            for which, soft_and_hard in before.items():
                resource.setrlimit(which, soft_and_hard)


def judge(model: bytes, inputs: str, classes: int, asked: str, packages: str) -> None:
    """Write the answer, and the class ids where there are any.

    Args:
        packages: folders with NumPy and onnxruntime, which are looked for only now.
    """
    answer = checked(model, asked)
    line = memoryview(json.dumps(answer).encode() + b"\n")
    while line:
        line = line[os.write(1, line) :]
    if "facts" not in answer:
        return
    sys.path.extend(packages.split(os.pathsep))
    from autograder.grading import predict_inside

    predict_inside.run(model, inputs, classes, predict_inside.own_output())


if __name__ == "__main__":
    with open(sys.argv[2], "rb") as file:
        content = file.read()
    judge(content, sys.argv[3], int(sys.argv[4]), sys.argv[5], sys.argv[1])
