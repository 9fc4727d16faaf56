"""The model check in a sandbox of its own: the process that knows labels never parses a handed-in file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autograder.errors import SandboxError
from autograder.grading.model_check import ModelContract, ModelFacts
from autograder.grading.model_operators import ALLOWED_OPERATORS
from autograder.grading.model_refusal import ModelRefused
from autograder.grading.sandbox import Completed, Limits, Mount, Sandbox

_HERE = Path(__file__).parent
INSIDE = "/judge/autograder/grading"  # where the sandbox sees the modules of the check
MOUNTS = [
    Mount(_HERE / f"model_{name}.py", f"{INSIDE}/model_{name}.py")
    for name in ("check", "check_inside", "flops", "operators", "refusal", "tensors", "wire")
]
_CODE = re.compile(r"[a-z_]{1,40}")

LIMITS = Limits(
    wall_s=60.0,
    cpu_s=30,
    memory_bytes=1 << 30,  # the largest file, and lists of up to two million numbers
    processes=4,
    file_bytes=1 << 20,
    output_bytes=64_000,
    tmp_bytes=1 << 20,
)


class _Facts(BaseModel):
    """What the sandbox says about a model; it is believed no further than this."""

    model_config = ConfigDict(strict=True, extra="forbid")

    parameters: Annotated[int, Field(ge=0)]
    opset: Annotated[int, Field(ge=1, le=1000)]
    bytes: Annotated[int, Field(ge=1)]
    operators: Annotated[list[str], Field(max_length=1000)]
    flops: Annotated[int, Field(ge=0)] | None


class _Answer(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    facts: _Facts | None = None
    refused: Annotated[list[Annotated[str, Field(max_length=2000)]], Field(min_length=2, max_length=2)] | None = None


def asked(contract: ModelContract) -> str:
    """The contract as the program inside takes it."""
    fields = ("file", "input", "classes", "max_parameters", "max_bytes")
    return json.dumps(
        {name: getattr(contract, name) for name in fields} | {"max_flops": getattr(contract, "max_flops", None)}
    )


def refuse_too_large(data: bytes, contract: ModelContract) -> None:
    """So that nothing larger is ever handed to a sandbox.

    Raises:
        ModelRefused: it is larger than the contract allows.
    """
    if len(data) > contract.max_bytes:
        raise ModelRefused("too_large", f"expected at most {contract.max_bytes:,} bytes, got {len(data):,}")


def inspect_model(sandbox: Sandbox, data: bytes, contract: ModelContract, limits: Limits = LIMITS) -> ModelFacts:
    """`model_check.check_model`, run in the sandbox.

    Raises:
        ModelRefused: the file is not acceptable; `check_limits` when checking it took too much time or memory.
        SandboxError: we are at fault.
    """
    refuse_too_large(data, contract)
    program = [sandbox.python, "-I", "-S", f"{INSIDE}/model_check_inside.py", "/model.onnx", asked(contract)]
    done = sandbox.run(program, mounts=MOUNTS, limits=limits, contents={"/model.onnx": data})
    return understand(done, data, contract)


def understand(done: Completed, data: bytes, contract: ModelContract) -> ModelFacts:
    """Facts from what the check printed.

    Raises: as `inspect_model`.
    """
    if done.reason in ("timeout", "memory"):
        raise ModelRefused("check_limits", f"reading {contract.file} took too much time or memory ({done.reason})")
    try:
        answer = _Answer.model_validate_json(done.stdout)
    except ValidationError:
        answer = _Answer()
    if answer.refused is not None and answer.facts is None and _CODE.fullmatch(answer.refused[0]):
        raise ModelRefused(answer.refused[0], " ".join(answer.refused[1].split())[:300])
    facts = answer.facts
    if done.reason != "ok" or facts is None or answer.refused is not None:
        why = (done.stderr_tail.strip().splitlines() or [done.reason])[-1][:200]
        raise SandboxError(f"the model check does not work on this machine: {why}; run `python -m autograder doctor`")
    # a process that was taken over could say anything: nothing beyond the contract is taken from it
    if (
        facts.bytes != len(data)
        or facts.parameters > contract.max_parameters
        or set(facts.operators) - ALLOWED_OPERATORS
    ):
        raise ModelRefused("corrupt", f"{contract.file}: the check contradicts itself")
    return ModelFacts(facts.parameters, facts.opset, facts.bytes, tuple(facts.operators), facts.flops)
