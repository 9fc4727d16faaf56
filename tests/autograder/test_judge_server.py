"""A sandbox that stays for many models: faster, and no model is worse or better off for those before it."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from autograder.course.manifest import ModelContract
from autograder.errors import SandboxError
from autograder.grading import judge, judge_server, predict
from autograder.grading.judge import Inputs, Judged, Refused, end_servers, judge_model, judge_served
from autograder.grading.supervise import stopped_by
from tests.autograder.test_predict import SHAPE, N, expected

CONTRACT = ModelContract("model.onnx", SHAPE, 10, 1000, 100_000)
pytestmark = pytest.mark.usefixtures("box")
REAL = Path(predict.__file__).with_name("predict_inside.py")


@pytest.fixture(autouse=True)
def nothing_stays(tmp_path):
    yield
    end_servers()
    assert judge._servers == {}
    assert living(tmp_path) == []


def living(tmp_path):
    """Command lines of sandboxes with this test's inputs."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if b"bwrap" in words and str(tmp_path).encode() in words:
            found.append(words)
    return found


def marked(model, name):
    """The same model, by another maker."""
    proto = onnx.load_from_string(model)
    proto.producer_name = name
    return proto.SerializeToString()


@pytest.fixture
def taken_over(tmp_path, monkeypatch):
    """taken_over(code): from now on a model of producer HOSTILE runs this inside, with `model` and `result`."""

    def install(code):
        head, mark, rest = REAL.read_text().partition('    """Write the class ids to the descriptor')
        assert mark
        script = tmp_path / f"taken{time.monotonic_ns()}.py"
        lines = [
            "if b'HOSTILE' in model:",
            "    import signal, socket, time",
            *(f"    {line}" for line in code.splitlines()),
        ]
        script.write_text(head + "".join(f"    {line}\n" for line in lines) + mark + rest)
        monkeypatch.setattr(predict, "SCRIPT", script)

    return install


def server():
    (_, found), *more = judge._servers.values()
    assert not more
    return found


def right(inputs, answer):
    assert isinstance(answer, Judged), answer
    np.testing.assert_array_equal(answer.classes, expected(inputs.path))
    return True


def test_many_models_get_the_answers_of_a_sandbox_of_their_own_from_one_that_stays(inputs, model):
    alone = judge_model(inputs, False, model, CONTRACT)
    served = [judge_served(inputs, marked(model, f"maker {number}"), CONTRACT) for number in range(5)]
    assert right(inputs, alone) and all(right(inputs, answer) for answer in served)
    assert {answer.parameters for answer in served} == {alone.parameters}
    process = server()._process.pid
    judge_served(inputs, model, CONTRACT)
    assert server()._process.pid == process


def test_other_inputs_get_another_server_and_the_old_one_ends(inputs, model, tmp_path):
    judge_served(inputs, model, CONTRACT)
    process = server()._process
    other = tmp_path / "other.npy"
    np.save(other, np.load(inputs.path)[:300])
    other.chmod(0o644)
    answer = judge_served(Inputs(other, 300, "v2"), model, CONTRACT)
    np.testing.assert_array_equal(answer.classes, expected(inputs.path)[:300])
    assert process.returncode is not None and server()._process is not process


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"", "corrupt"), (b"\x80\x04K\x01.", "not_onnx"), (b"x" * 100_001, "too_large")],
    ids=["empty", "pickle", "large"],
)
def test_what_is_refused_is_refused_as_ever_and_the_next_model_is_served(inputs, model, data, code):
    judge_served(inputs, model, CONTRACT)
    assert judge_served(inputs, data, CONTRACT) == judge_model(inputs, False, data, CONTRACT)
    assert judge_served(inputs, data, CONTRACT).code == code
    assert right(inputs, judge_served(inputs, model, CONTRACT))


LEAVES = {
    "a process": "if os.fork() == 0:\n    os.setsid()\n    time.sleep(600)",
    "a process of a process": "if os.fork() == 0:\n    if os.fork() == 0:\n        time.sleep(600)\n    os._exit(0)",
    "a file": "open('/tmp/x', 'w').write('x')",
    "shared memory": "open('/dev/shm/x', 'w').write('x')",
    "a file in a folder": "os.makedirs('/tmp/a/b'); open('/tmp/a/b/c', 'w').close()",
    "a hidden folder": "os.mkdir('/tmp/.x')",
    "a dead server": "os.kill(os.getppid(), 9)",
    "a server about to die": "os.kill(os.getppid(), 15)",
    "pipes that never block": "os.set_blocking(1, False); os.set_blocking(2, False)",
    "a signal at every write": "import fcntl\nfor fd in (1, 2):\n    fcntl.fcntl(fd, fcntl.F_SETOWN, os.getppid())\n"
    "    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)",
    "a patient server": "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
    "a server without memory": "import resource; resource.prlimit(os.getppid(), resource.RLIMIT_AS, (1 << 20, 1 << 20))",
}


@pytest.mark.parametrize("left", LEAVES)
def test_whatever_a_model_leaves_behind_the_next_one_gets_its_classes(inputs, model, taken_over, left, tmp_path):
    taken_over(LEAVES[left])
    assert right(inputs, judge_served(inputs, model, CONTRACT))
    for number in range(2):
        judge_served(inputs, marked(model, f"HOSTILE {number}"), CONTRACT)
        assert right(inputs, judge_served(inputs, model, CONTRACT))
        assert len(living(tmp_path)) <= 2  # bubblewrap's two processes of the one server


def test_a_sandbox_that_is_not_as_it_was_is_thrown_away(inputs, model, taken_over):
    taken_over(LEAVES["a file"])
    judge_served(inputs, model, CONTRACT)
    process = server()._process
    judge_served(inputs, marked(model, "HOSTILE"), CONTRACT)
    assert judge._servers == {} and process.returncode is not None


def test_failures_come_from_a_sandbox_of_the_models_own(inputs, model, taken_over, tmp_path):
    """What happens only after other models, or only now and then, is no fault of this one."""
    taken_over(
        "if os.getppid() != 1:\n    os._exit(4)"
    )  # the server is its parent, in a sandbox of its own it has none
    assert right(inputs, judge_served(inputs, marked(model, "HOSTILE"), CONTRACT))
    taken_over("os._exit(4)")
    end_servers()
    failed = judge_served(inputs, marked(model, "HOSTILE"), CONTRACT)
    assert isinstance(failed, Refused) and failed.code == "bad_output"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("while True: pass", "timeout"),
        ("time.sleep(600)", "timeout"),
        ("try: os.kill(os.getppid(), signal.SIGSTOP)\nexcept OSError: pass\ntime.sleep(600)", "timeout"),
        ("x = bytearray(b'x') * (700 << 20)\ntime.sleep(600)", "memory"),
        ("while True: os.write(result, bytes(100))", "output"),
        ("while True: os.write(2, bytes(1000))", "timeout"),
        ("os.kill(os.getpid(), 11)", "no_predictions"),
        ("raise ValueError", "no_predictions"),
    ],
    ids=["computes", "sleeps", "stops the server", "memory", "output", "complains", "crashes", "raises"],
)
def test_limits_hold_for_each_model_in_a_sandbox_that_stays(inputs, model, taken_over, monkeypatch, code, reason):
    monkeypatch.setattr(predict, "LIMITS", replace(predict.LIMITS, wall_s=3.0, cpu_s=2, memory_bytes=512 << 20))
    taken_over(code)
    judge_served(inputs, model, CONTRACT)
    failed = judge_served(inputs, marked(model, "HOSTILE"), CONTRACT)
    assert isinstance(failed, Refused) and failed.code == reason
    assert right(inputs, judge_served(inputs, model, CONTRACT))


def test_processor_time_of_earlier_models_is_not_charged_to_the_next(inputs, model, taken_over, monkeypatch):
    monkeypatch.setattr(predict, "LIMITS", replace(predict.LIMITS, cpu_s=2))
    taken_over("end = time.process_time() + 0.9\nwhile time.process_time() < end: pass")
    for number in range(4):
        assert right(inputs, judge_served(inputs, marked(model, f"HOSTILE {number}"), CONTRACT))
    assert server().is_usable


REACH = """
import ctypes, json
found = {"parent": os.getppid()}
def tried(name, do):
    try:
        found[name] = repr(do())[:80]
    except OSError as error:
        found[name] = error.errno
parent = f"/proc/{os.getppid()}"
tried("memory", lambda: open(parent + "/mem", "r+b").read(1))
tried("read memory", lambda: open(parent + "/mem", "rb").read(1))
tried("descriptors", lambda: os.listdir(parent + "/fd"))
tried("a descriptor", lambda: os.open(parent + "/fd/0", os.O_RDWR))
tried("environment", lambda: open(parent + "/environ").read())
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *rest):
    if libc.syscall(number, *rest) == -1:
        raise OSError(ctypes.get_errno(), "")
tried("trace", lambda: call(101, 16, os.getppid(), 0, 0))
tried("write across", lambda: call(311, os.getppid(), 0, 0, 0, 0, 0))
found["open"] = [fd for fd in range(64) if fd not in (0, 1, 2, result) and not os.system(f"true <&{fd} 2>/dev/null") ]
found["stdin"] = os.read(0, 100).decode()
os.write(2, (json.dumps(found) + chr(10)).encode())
os._exit(4)
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of system calls are those of x86-64")
def test_a_model_cannot_reach_the_process_that_stays(inputs, model, taken_over, monkeypatch):
    taken_over(REACH)
    seen = []
    ask = judge_server.JudgeServer.ask
    monkeypatch.setattr(judge_server.JudgeServer, "ask", lambda *arguments: seen.append(ask(*arguments)) or seen[-1])
    judge_served(inputs, marked(model, "HOSTILE"), CONTRACT)
    found = json.loads(seen[0].stderr_tail.strip().splitlines()[-1])
    assert found.pop("parent") > 1 and found.pop("stdin") == ""
    assert found.pop("open") == []
    assert set(found.values()) <= {1, 3, 13}, found  # not permitted, no such process, denied


def test_the_models_of_others_are_not_in_the_memory_that_a_model_sees(inputs, model, taken_over, monkeypatch):
    code = """
import ctypes, re
text = re.compile(rb"secre[t] of anothe[r] studen[t]")  # is not itself what it finds
found = 0
for line in open("/proc/self/maps").readlines():
    span, rights = line.split()[:2]
    if rights.startswith("r") and "[v" not in line:
        begin, end = (int(number, 16) for number in span.split("-"))
        found += len(text.findall(ctypes.string_at(begin, end - begin)))
os.write(2, f"seen {found > 0}".encode() + bytes([10]))
os._exit(4)
"""
    taken_over(code)
    seen = []
    ask = judge_server.JudgeServer.ask
    monkeypatch.setattr(judge_server.JudgeServer, "ask", lambda *arguments: seen.append(ask(*arguments)) or seen[-1])
    judge_served(inputs, marked(model, "secret of another student"), CONTRACT)
    judge_served(inputs, marked(model, "HOSTILE"), CONTRACT)
    judge_served(inputs, marked(model, "HOSTILE secret of another student"), CONTRACT)
    said = [done.stderr_tail.strip().splitlines()[-1] for done in seen[1:]]
    assert said == ["seen False", "seen True"]  # the second: the search itself works


def test_a_server_that_nobody_asks_ends_by_itself(inputs, model, tmp_path, monkeypatch):
    folder = tmp_path / "programs"
    folder.mkdir()
    source = Path(judge.__file__).with_name("judge_server_inside.py").read_text()
    assert "IDLE_S = 60.0" in source
    (folder / "judge_server_inside.py").write_text(source.replace("IDLE_S = 60.0", "IDLE_S = 0.3"))
    mounts = judge._mounts
    monkeypatch.setattr(
        judge,
        "_mounts",
        lambda path: [
            replace(mount, source=folder / mount.source.name) if mount.target.endswith("server_inside.py") else mount
            for mount in mounts(path)
        ],
    )
    judge_served(inputs, model, CONTRACT)
    assert server()._process.wait(30) == 0
    assert right(inputs, judge_served(inputs, model, CONTRACT))  # the next one starts another


def test_a_run_that_is_stopped_stops_asking(inputs, model, taken_over):
    taken_over("time.sleep(600)")
    judge_served(inputs, model, CONTRACT)
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    started = time.monotonic()
    with stopped_by(stop), pytest.raises(SandboxError, match="stopped"):
        judge_served(inputs, marked(model, "HOSTILE"), CONTRACT)
    assert time.monotonic() - started < 20 and judge._servers == {}


def test_a_sandbox_that_does_not_start_is_an_error_of_ours_that_says_why(inputs, model, tmp_path, monkeypatch):
    script = tmp_path / "broken.py"
    script.write_text("raise ImportError('no such library')")
    monkeypatch.setattr(predict, "SCRIPT", script)
    with pytest.raises(SandboxError, match="no such library"):
        judge_served(inputs, model, CONTRACT)


KILLED = """
import sys, time
from pathlib import Path
from autograder.course.manifest import ModelContract
from autograder.grading.judge import Inputs, judge_served
contract = ModelContract("model.onnx", (3, 4, 4), 10, 1000, 100_000)
judge_served(Inputs(Path(sys.argv[1]), int(sys.argv[2]), "v"), Path(sys.argv[3]).read_bytes(), contract)
print("served", flush=True)
time.sleep(600)
"""


def test_it_ends_with_the_grader_even_when_that_is_killed(inputs, model, tmp_path):
    command = [sys.executable, "-c", KILLED, str(inputs.path), str(N), str(tmp_path / "m.onnx")]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as grader:
        said, alive = grader.stdout.readline(), living(tmp_path)
        grader.kill()
    assert said == "served\n" and alive
    deadline = time.monotonic() + 20
    while living(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert living(tmp_path) == []
