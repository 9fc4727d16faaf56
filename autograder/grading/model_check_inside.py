"""Runs INSIDE the sandbox, alone: `python -I -S model_check_inside.py model.onnx '{"file": ..., ...}'`.

Prints one line of JSON: {"facts": {...}} or {"refused": [code, detail]}. Standard library only, so that it starts
at once and the only code that meets the file is plain Python.
"""

import json
import os
import sys
from dataclasses import asdict
from types import SimpleNamespace

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from autograder.grading.model_check import check_model  # noqa: E402
from autograder.grading.model_refusal import ModelRefused  # noqa: E402


def answer(path: str, asked: str) -> dict[str, object]:
    """What is printed about the model file at `path`; `asked` is the contract in JSON."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        return {"facts": asdict(check_model(data, SimpleNamespace(**json.loads(asked))))}
    except ModelRefused as refusal:
        return {"refused": [refusal.code, refusal.detail]}


if __name__ == "__main__":
    print(json.dumps(answer(sys.argv[1], sys.argv[2])))
