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


def answer(data: bytes, asked: str) -> dict[str, object]:
    """What is printed about a model file with this content; `asked` is the contract in JSON."""
    try:
        return {"facts": asdict(check_model(data, SimpleNamespace(**json.loads(asked))))}
    except ModelRefused as refusal:
        return {"refused": [refusal.code, refusal.detail]}


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as file:
        content = file.read()
    print(json.dumps(answer(content, sys.argv[2])))
