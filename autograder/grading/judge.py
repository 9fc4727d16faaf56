"""The job of scoring: one model file -> its facts and a class id per hidden image, or the student's fault.

It runs wherever a worker is and touches neither labels nor record nor course folder.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autograder.errors import HiddenSetError, SandboxError
from autograder.grading import model_inspect, predict
from autograder.grading.judge_server import JudgeServer
from autograder.grading.model_check import ModelContract
from autograder.grading.model_refusal import ModelRefused
from autograder.grading.sandbox import Completed, Limits, Mount, Sandbox

_PROGRAM = f"{model_inspect.INSIDE}/judge_inside.py"


@dataclass(frozen=True)
class Judged:
    """What a model is and says."""

    parameters: int
    classes: np.ndarray  # uint8 (N,): class ids, 255 where the logits were not finite


@dataclass(frozen=True)
class Refused:
    """Why a model gets no score; the student's fault."""

    code: str
    detail: str


@dataclass(frozen=True)
class Inputs:
    """The hidden inputs, .npy of uint8 (n, C, H, W): a file, and its content where that file may not be there."""

    path: Path
    n: int
    version: str
    content: bytes | None = None

    @classmethod
    def travelling(cls, path: Path, n: int, version: str) -> Inputs:
        """With the content, for workers that may be on other machines.

        Raises:
            HiddenSetError: the file cannot be read.
        """
        try:
            return cls(path, n, version, path.read_bytes())
        except OSError as error:
            raise HiddenSetError(f"{path}: {error.strerror}; build the hidden set again") from error

    def file(self) -> Path:
        """Where this process can mount it from."""
        return self.path if self.content is None else _copy(self.version, self.content)


@functools.lru_cache(maxsize=2)
def _copy(version: str, content: bytes) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="hidden-inputs-"))  # mode 0700; only the file itself is mounted
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / f"{version}.npy"
    path.write_bytes(content)
    path.chmod(0o644)
    return path


def judge_model(inputs: Inputs, unsafe: bool, data: bytes, contract: ModelContract) -> Judged | Refused:
    """Check the model and run it on the hidden inputs, in a sandbox that is started for it and ends with it.

    Raises:
        SandboxError, HiddenSetError: we are at fault.
    """
    with borrowed(unsafe) as sandbox:
        return _judge_alone(sandbox, inputs, data, contract)


def judge_served(inputs: Inputs, data: bytes, contract: ModelContract) -> Judged | Refused:
    """`judge_model`, faster where many models are judged: in a sandbox that stays for the next one.

    Only classes are taken from there. Whatever else it says of a model, this one is judged again in a sandbox of its own.

    Raises: as `judge_model`.
    """
    with borrowed() as sandbox:
        if len(data) <= contract.max_bytes:
            server = _server(sandbox, inputs)
            try:
                done = server.ask(contract.classes, model_inspect.asked(contract), data)
            finally:
                if not server.is_usable:
                    _end_server(sandbox)
            if done.reason == "ok":
                judged = _verdict(done, inputs.n, data, contract)
                if isinstance(judged, Judged):
                    return judged
        return _judge_alone(sandbox, inputs, data, contract)


def _judge_alone(sandbox: Sandbox, inputs: Inputs, data: bytes, contract: ModelContract) -> Judged | Refused:
    path = inputs.file()
    predict.check_inputs(path, inputs.n)
    try:
        model_inspect.refuse_too_large(data, contract)
    except ModelRefused as fault:
        return Refused(fault.code, fault.detail)
    done = sandbox.run(
        [sandbox.python, "-I", "-S", _PROGRAM, _packages(), "/model.onnx", "/inputs.npy", str(contract.classes)]
        + [model_inspect.asked(contract)],
        mounts=_mounts(path),
        contents={"/model.onnx": data},
        limits=_limits(inputs.n),
    )
    return _verdict(done, inputs.n, data, contract)


def _mounts(inputs: Path) -> list[Mount]:
    programs = [Path(__file__).with_name(f"{name}.py") for name in ("judge_inside", "judge_server_inside")]
    return [
        *model_inspect.MOUNTS,
        *(Mount(path, f"{model_inspect.INSIDE}/{path.name}") for path in programs),
        Mount(predict.SCRIPT, f"{model_inspect.INSIDE}/predict_inside.py"),
        Mount(inputs, "/inputs.npy"),
    ]


def _limits(n: int) -> Limits:
    return replace(predict.LIMITS, output_bytes=model_inspect.LIMITS.output_bytes + n)


def _verdict(done: Completed, n: int, data: bytes, contract: ModelContract) -> Judged | Refused:
    """What `judge_inside` wrote, in words of ours."""
    line, is_whole, rest = done.stdout.partition(b"\n")
    # the line was written before a library saw the model; how the process ended says nothing about the check then
    check = replace(done, reason="ok", stdout=line) if is_whole else done
    try:
        facts = model_inspect.understand(check, data, contract)
        classes = predict.class_ids(replace(done, stdout=rest), n, contract.classes, predict.LIMITS)
        return Judged(facts.parameters, classes)
    except (ModelRefused, predict.PredictionFailed) as fault:
        return Refused(fault.code, fault.detail)


@functools.cache
def _packages() -> str:
    """Where NumPy and onnxruntime are, so that the interpreter inside need not look for packages itself."""
    found: dict[str, None] = {}
    for name in ("numpy", "onnxruntime"):
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise SandboxError(f"{name} is not installed here; pip install -r autograder/requirements.txt")
        found[str(Path(spec.submodule_search_locations[0]).parent)] = None
    return os.pathsep.join(found)


def judge_with(
    judge: Callable[[bytes, ModelContract], Judged | Refused], data: bytes, contract: ModelContract
) -> Judged | Refused:
    """Call `judge`, which came to this worker as something shared."""
    return judge(data, contract)


def _server(sandbox: Sandbox, inputs: Inputs) -> JudgeServer:
    """The server in this borrowed sandbox for these inputs; started when there is none."""
    path = inputs.file()
    known, server = _servers.get((os.getpid(), id(sandbox)), (None, None))
    if server is not None and known == path:
        return server
    _end_server(sandbox)
    predict.check_inputs(path, inputs.n)
    program = f"{model_inspect.INSIDE}/judge_server_inside.py"
    argv = [sandbox.python, "-I", "-S", program, _packages(), "/inputs.npy"]
    server = JudgeServer(sandbox, argv, _mounts(path), _limits(inputs.n))
    _servers[os.getpid(), id(sandbox)] = (path, server)
    return server


def _end_server(sandbox: Sandbox) -> None:
    _, server = _servers.pop((os.getpid(), id(sandbox)), (None, None))
    if server is not None:
        server.close()


def end_servers() -> None:
    """End what `judge_served` has started in this process and nobody uses now."""
    with _lock:
        free = [sandbox for (pid, _), sandboxes in _free.items() if pid == os.getpid() for sandbox in sandboxes]
    for sandbox in free:
        _end_server(sandbox)


_lock = threading.Lock()
_free: dict[tuple[int, bool], list[Sandbox]] = {}  # (process id, unsafe) -> sandboxes that nobody uses
_servers: dict[tuple[int, int], tuple[Path, JudgeServer]] = {}  # (process id, sandbox) -> inputs, its server
_slots: dict[int, set[int]] = {}  # process id -> slots that its sandboxes have


@contextlib.contextmanager
def borrowed(unsafe: bool = False) -> Iterator[Sandbox]:
    """A sandbox with a slot, and so as root a user id, that no other job of this process has at the same time.

    Raises:
        SandboxError: this machine has none.
    """
    sandbox = _take(unsafe)
    try:
        yield sandbox
    finally:
        with _lock:
            _free.setdefault((os.getpid(), unsafe), []).append(sandbox)


def _take(unsafe: bool) -> Sandbox:
    with _lock:
        if free := _free.get((os.getpid(), unsafe)):
            return free.pop()
        taken = _slots.setdefault(os.getpid(), set())
        slot = next(number for number in range(len(taken) + 1) if number not in taken)
        taken.add(slot)
    try:
        return Sandbox.unsafe() if unsafe else Sandbox.detect(slot)
    except BaseException:
        with _lock:
            taken.discard(slot)
        raise
