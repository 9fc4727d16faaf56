"""Real hostile programs against the real sandbox; skipped where bubblewrap is missing, except in CI."""

import ast
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from autograder.errors import SandboxError
from autograder.grading import process_tree
from autograder.grading import sandbox as sandbox_module
from autograder.grading.sandbox import Completed, Limits, Mount, Sandbox

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20


def limits(**changes: float) -> Limits:
    values = {
        "wall_s": 20.0,
        "cpu_s": 20,
        "memory_bytes": 512 * MIB,
        "processes": 24,
        "file_bytes": MIB,
        "output_bytes": 65536,
        "tmp_bytes": 8 * MIB,
    }
    return Limits(**{**values, **changes})  # type: ignore[arg-type]


def run(box: Sandbox, code: str, *arguments: str, mounts=(), env=None, **changes: float) -> Completed:
    argv = [box.python, "-I", "-c", textwrap.dedent(code), *arguments]
    return box.run(argv, mounts=mounts, env=env, limits=limits(**changes))


IGNORE_SIGNALS = """
import signal, time
for number in set(range(1, 32)) - {9, 19}:
    signal.signal(number, signal.SIG_IGN)
"""


def alive(marker: str) -> list[str]:
    """Command lines of the processes of this machine that carry the marker, not asking the product."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = entry.read_bytes()
            state = (entry.parent / "stat").read_text().rpartition(")")[2].split()[0]
            if marker.encode() in words and state != "Z":
                found.append(words.decode(errors="replace"))
    return found


def test_output_exit_code_and_errors_of_a_program_come_back(box: Sandbox) -> None:
    done = run(box, "import sys; print('hello', flush=True); sys.stderr.write('oh\\x1b[31m no'); sys.exit(3)")
    assert (done.reason, done.returncode, done.stdout) == ("exit", 3, b"hello\n")
    assert "no" in done.stderr_tail and "\x1b" not in done.stderr_tail
    assert 0 < done.wall_s < 10
    assert run(box, "pass").reason == "ok"
    killed = run(box, "import os; os.kill(os.getpid(), 11)")
    assert (killed.reason, killed.returncode) == ("signal", -signal.SIGSEGV)
    missing = box.run(["/no/such/program"], limits=limits())
    assert missing.reason == "exit" and "no/such/program" in missing.stderr_tail


def test_code_inside_is_an_unprivileged_user_without_capabilities(box: Sandbox) -> None:
    done = run(box, "import os; print(os.getuid(), os.getgroups()); print(open('/proc/self/status').read())")
    text = done.stdout.decode()
    assert text.splitlines()[0].startswith(str(box.uid)) and box.uid != 0
    status = dict(line.split(":\t", 1) for line in text.splitlines()[1:] if ":\t" in line)
    assert all(int(status[name], 16) == 0 for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    assert status["NoNewPrivs"].strip() == "1"


def test_the_network_is_out_of_reach_even_on_loopback(box: Sandbox) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        code = f"""
            import socket
            print([name for _, name in socket.if_nameindex()])
            for address in (("127.0.0.1", {port}), ("1.1.1.1", 53), ("169.254.169.254", 80)):
                try:
                    socket.create_connection(address, timeout=2)
                    print("REACHED", address)
                except OSError as error:
                    print(type(error).__name__, error.errno)
        """
        done = run(box, code)
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.accept()
    assert done.reason == "ok" and b"REACHED" not in done.stdout
    assert done.stdout.decode().splitlines()[0] in ("['lo']", "[]")


def test_abstract_unix_sockets_of_the_host_are_out_of_reach(box: Sandbox) -> None:
    name = f"\0course-{uuid.uuid4().hex}"
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(name)
        server.listen()
        done = run(box, f"import socket; s = socket.socket(socket.AF_UNIX); print(s.connect_ex({name!r}))")
    assert done.reason == "ok" and int(done.stdout) != 0


def test_nothing_can_be_written_except_tmp(box: Sandbox, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    shown.mkdir()
    (shown / "data").write_text("original")
    (shown / "data").chmod(0o666)
    shown.chmod(0o777)
    tmp_path.chmod(0o755)
    code = """
        import os, sys
        places = ["/x", "/usr/x", "/etc/x", "/dev/x", "/proc/x", "/shown/x", "/shown/data", sys.prefix + "/x",
                  sys.base_prefix + "/x", "/root/x",
                  "/home/x", "/var/x", "/run/x", "/proc/sys/kernel/core_pattern"]
        for place in places:
            try:
                open(place, "w").write("hacked")
                print("WROTE", place)
            except OSError:
                pass
        open("/tmp/x", "w").write("fine"); open("/dev/shm/x", "w").write("fine")
        print("done")
    """
    done = run(box, code, mounts=[Mount(shown, "/shown")])
    assert (done.reason, done.stdout) == ("ok", b"done\n"), done.stderr_tail
    assert (shown / "data").read_text() == "original" and os.listdir(shown) == ["data"]


def test_course_home_and_other_mounts_cannot_be_seen(box: Sandbox, tmp_path: Path) -> None:
    course = tmp_path / "course"
    (course / "hidden").mkdir(parents=True)
    (course / "hidden" / "labels.npy").write_bytes(b"secret")
    (course / "inputs.npy").write_bytes(b"inputs")
    for path in (tmp_path, course, course / "hidden"):
        path.chmod(0o755)
    (course / "inputs.npy").chmod(0o644)
    code = """
        import os, sys
        for place in sys.argv[1:]:
            print(os.path.exists(place))
        print(os.listdir("/"), os.listdir("/tmp"), open("/inputs").read())
        print([line.split()[4] for line in open("/proc/self/mountinfo")])
    """
    outside = [
        str(course),
        str(course / "hidden" / "labels.npy"),
        str(Path.home() / ".bashrc"),
        str(ROOT / "tests"),
    ]
    done = run(box, code, *outside, "/var", "/sys", "/run", mounts=[Mount(course / "inputs.npy", "/inputs")])
    lines = done.stdout.decode().splitlines()
    assert lines[:7] == ["False"] * 7, done.stderr_tail
    assert lines[7].endswith("inputs") and "pytest" not in lines[7] and "var" not in lines[7]
    mounted = [name for name in lines[8].strip("[]").replace("'", "").split(", ") if not name.startswith("/usr")]
    assert not any("course" in name or name.startswith("/home") for name in mounted)


def test_the_environment_is_exactly_the_minimal_one(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_SECRET", "swordfish")
    monkeypatch.setenv("LD_PRELOAD_X", "swordfish")
    code = """
        import os, glob
        print(sorted(os.environ))
        seen = b""
        for path in glob.glob("/proc/[0-9]*/environ"):
            try:
                seen += open(path, "rb").read()
            except OSError:
                pass
        print(b"swordfish" in seen, os.environ["HOME"], os.environ["EXTRA"], os.environ["OMP_NUM_THREADS"])
    """
    done = run(box, code, env={"EXTRA": "1"})
    names, values = done.stdout.decode().splitlines()
    expected = {"PATH", "HOME", "LANG", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ORT_DISABLE_TELEMETRY", "EXTRA"}
    assert set(ast.literal_eval(names)) - {"PWD", "LC_CTYPE"} == expected
    assert values == "False /tmp 1 1"


def test_other_processes_of_the_machine_cannot_be_seen_or_signalled(box: Sandbox) -> None:
    code = f"""
        import os
        pids = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
        print(max(pids), len(pids))
        try:
            os.kill({os.getpid()}, 9)
            print("KILLED")
        except (ProcessLookupError, PermissionError):
            pass
        try:
            os.kill(-1, 0)
        except OSError:
            pass
    """
    done = run(box, code)
    highest, count = (int(word) for word in done.stdout.split()[:2])
    assert b"KILLED" not in done.stdout and highest < 20 and count <= 4


def test_no_descriptor_of_ours_is_inherited(box: Sandbox, tmp_path: Path) -> None:
    secret = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(secret, True)
    try:
        code = """
            import os
            shown = {}
            for fd in range(64):
                try:
                    shown[fd] = os.readlink(f"/proc/self/fd/{fd}")
                except OSError:
                    pass
            print(shown)
        """
        done = run(box, code)
    finally:
        os.close(secret)
    shown = ast.literal_eval(done.stdout.decode())
    assert shown.pop(0) == "/dev/null"
    assert all(shown.pop(fd).startswith("pipe:") for fd in (1, 2))
    assert shown == {}


def test_a_passed_descriptor_is_inherited(box: Sandbox) -> None:
    read, write = os.pipe()
    code = f"import os; os.write({write}, b'through')"
    done = box.run([box.python, "-I", "-c", code], limits=limits(), pass_fds=(write,))
    os.close(write)
    with os.fdopen(read, "rb") as source:
        assert (done.reason, source.read()) == ("ok", b"through")


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import time; time.sleep(1e6)",
        "import os, time; os.close(1); os.close(2); time.sleep(1e6)",
        IGNORE_SIGNALS + "while True: time.sleep(9)",
    ],
    ids=["busy", "asleep", "closed pipes", "ignores every signal"],
)
def test_a_program_without_end_is_killed_at_the_wall_limit(box: Sandbox, code: str) -> None:
    marker = uuid.uuid4().hex
    started = time.monotonic()
    done = run(box, code, marker, wall_s=0.6)
    assert (done.reason, done.returncode) == ("timeout", None)
    assert time.monotonic() - started < 5
    assert alive(marker) == []


def test_processor_time_is_limited_for_the_whole_tree(box: Sandbox) -> None:
    code = """
        import os, signal
        signal.signal(signal.SIGXCPU, signal.SIG_IGN)
        os.fork()
        while True: pass
    """
    done = run(box, code, wall_s=30, cpu_s=1)
    assert done.reason == "timeout" and done.wall_s < 15


DAEMON = """
    import os, signal, sys, time
    keep_pipe = "{keep}" == "keep"
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in set(range(1, 32)) - {{9, 19}}:
                signal.signal(number, signal.SIG_IGN)
            if not keep_pipe:
                os.close(1); os.close(2)
            while True:
                time.sleep(60)
        os._exit(0)
    os.wait()
    print("parent is done", flush=True)
    {after}
"""


@pytest.mark.parametrize("keep", ["keep", "close"])
@pytest.mark.parametrize("after", ["pass", "time.sleep(1000)"])
def test_a_daemon_does_not_survive_the_run(box: Sandbox, keep: str, after: str) -> None:
    marker = uuid.uuid4().hex
    started = time.monotonic()
    done = run(box, DAEMON.format(keep=keep, after=after), marker, wall_s=1.0 if after != "pass" else 20.0)
    assert done.reason == ("ok" if after == "pass" else "timeout")
    assert done.stdout == b"parent is done\n"
    assert time.monotonic() - started < 8  # it did not wait for the daemon that holds the pipe
    assert alive(marker) == []


def test_a_fork_bomb_is_bounded_and_leaves_nothing(box: Sandbox) -> None:
    marker = uuid.uuid4().hex
    counting = """
        import os, time
        count = 1
        while True:
            try:
                if os.fork() == 0:
                    time.sleep(1000)
            except OSError:
                break
            count += 1
        print(count)
    """
    done = run(box, counting, marker, processes=12)
    assert done.reason == "ok" and 2 <= int(done.stdout) <= 12
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    done = run(box, bomb, marker, wall_s=1.0, processes=12)
    assert done.reason in ("timeout", "signal")
    assert alive(marker) == []


def test_threads_count_as_processes(box: Sandbox) -> None:
    code = """
        import threading, time
        count = 0
        try:
            while True:
                threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
                count += 1
        except RuntimeError:
            print(count, flush=True)
        import os; os._exit(0)
    """
    done = run(box, code, processes=10)
    assert done.reason == "ok" and int(done.stdout) < 10


@pytest.mark.parametrize("children", [1, 4])
def test_a_memory_bomb_ends_as_memory(box: Sandbox, children: int) -> None:
    marker = uuid.uuid4().hex
    code = f"""
        import os, time
        for _ in range({children - 1}):
            if os.fork() == 0:
                break
        held = []
        while len(held) < {400 // children}:
            held.append(bytearray(b"x" * (1 << 20)))
        time.sleep(1000)
    """
    done = run(box, code, marker, memory_bytes=200 * MIB)
    assert done.reason == "memory"
    assert alive(marker) == []


def test_memory_shared_after_a_fork_counts_once(box: Sandbox) -> None:
    code = """
        import os, time
        held = bytearray(b"x" * (80 << 20))
        for _ in range(4):
            if os.fork() == 0:
                time.sleep(0.5)
                os._exit(0)
        for _ in range(4):
            os.wait()
        print("fine")
    """
    done = run(box, code, memory_bytes=200 * MIB)
    assert (done.reason, done.stdout) == ("ok", b"fine\n")


def test_the_temporary_folders_are_limited_in_size(box: Sandbox) -> None:
    code = """
        for folder in ("/tmp", "/dev/shm"):
            written = 0
            try:
                for number in range(1000):
                    with open(f"{folder}/{number}", "wb", buffering=0) as sink:
                        written += sink.write(bytes(256 << 10))
            except OSError as error:
                print(written, error.errno)
    """
    done = run(box, code, tmp_bytes=2 * MIB)
    for line in done.stdout.decode().splitlines():
        written, errno = (int(word) for word in line.split())
        assert written <= 2 * MIB and errno == 28  # no space left on device
    assert len(done.stdout.splitlines()) == 2


def test_a_single_file_is_limited_in_size(box: Sandbox, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, box.uid, box.uid)
    code = """
        with open("/out/huge", "wb") as sink:
            sink.seek(1 << 40)
            sink.write(b"x")
    """
    done = run(box, code, mounts=[Mount(folder, "/out", writable=True)], file_bytes=MIB)
    assert done.reason in ("exit", "signal")
    assert (folder / "huge").stat().st_size <= MIB
    done = run(
        box,
        "while open('/out/full', 'ab').write(bytes(1 << 16)): pass",
        mounts=[Mount(folder, "/out", writable=True)],
        file_bytes=MIB,
    )
    assert done.reason in ("exit", "signal") and (folder / "full").stat().st_size == MIB


def test_endless_output_is_cut_one_byte_after_the_limit(box: Sandbox) -> None:
    done = run(box, "import os\nwhile True: os.write(1, b'x' * 4096)", output_bytes=1000)
    assert (done.reason, len(done.stdout)) == ("output", 1001)
    exact = run(box, "import os; os.write(1, b'x' * 1000)", output_bytes=1000)
    assert (exact.reason, len(exact.stdout)) == ("ok", 1000)


def test_endless_error_output_is_drained_and_only_its_tail_kept(box: Sandbox) -> None:
    code = "import os\nfor _ in range(2000): os.write(2, b'y' * 4096)\nos.write(2, b'the end')"
    done = run(box, code)
    assert done.reason == "ok" and done.stderr_tail.endswith("the end") and len(done.stderr_tail) <= 8192


def test_what_was_written_before_a_kill_is_kept(box: Sandbox) -> None:
    done = run(box, "print('first', flush=True)\nwhile True: pass", wall_s=0.8)
    assert (done.reason, done.stdout) == ("timeout", b"first\n")


def test_a_socket_made_inside_a_writable_mount_is_reached_from_outside(box: Sandbox, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(folder, box.uid, box.uid)
    code = f"""
        import socket
        server = socket.socket(socket.AF_UNIX)
        server.bind({str(folder / "s")!r})
        server.listen()
        connection, _ = server.accept()
        connection.sendall(connection.recv(100).upper())
        while True: connection.recv(1)
    """
    marker = uuid.uuid4().hex
    argv = box.command(
        [box.python, "-I", "-c", textwrap.dedent(code), marker],
        mounts=[Mount(folder, str(folder), writable=True)],
        limits=limits(),
    )
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not (folder / "s").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        with closing(socket.socket(socket.AF_UNIX)) as client:
            client.settimeout(5)
            for _ in range(100):  # between bind and listen a connection is refused
                with suppress(ConnectionRefusedError):
                    client.connect(str(folder / "s"))
                    break
                time.sleep(0.01)
            client.sendall(b"ping")
            assert client.recv(10) == b"PING"
        assert alive(marker) != []
        assert process_tree.kill_tree(process.pid)
    finally:
        process.kill()
        process.wait()
    assert alive(marker) == []


def test_files_of_the_machine_are_not_counted_while_a_sandbox_still_sees_them(tmp_path):
    room = os.statvfs("/dev/shm")
    (tmp_path / "tmp").symlink_to("/dev/shm")
    (tmp_path / "shm").symlink_to("/dev/shm")
    (tmp_path / "dev").symlink_to(tmp_path)
    assert process_tree._files(Path("/proc/self/root"), "tmp") == 0
    assert process_tree._files(tmp_path, "dev/shm") == 0
    counted = process_tree._files(tmp_path, "tmp")
    assert abs(counted - (room.f_files - room.f_ffree)) < 1000  # other programs come and go
    assert counted > 0


@pytest.mark.parametrize("in_the_background", [False, True])
def test_a_long_lived_program_is_interrupted_by_its_own_process_id(box: Sandbox, in_the_background: bool) -> None:
    """A shell starts background jobs with SIGINT ignored, which every child inherits unless it is reset."""
    code = """
        import sys, time
        try:
            print("ready", flush=True)
            time.sleep(1000)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """
    argv = box.command([box.python, "-I", "-c", textwrap.dedent(code)], limits=limits())
    before = signal.signal(signal.SIGINT, signal.SIG_IGN if in_the_background else signal.default_int_handler)
    try:
        started = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    finally:
        signal.signal(signal.SIGINT, before)
    with started as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        payload = process_tree.payload_pid(process.pid)
        assert payload is not None and payload != process.pid
        os.kill(payload, signal.SIGINT)
        assert process.stdout.readline() == b"interrupted\n"
        assert process.wait(10) == 0
    assert process_tree.payload_pid(process.pid) is None


def test_the_watchdog_ends_a_long_lived_program_that_eats_memory(box: Sandbox) -> None:
    code = "held = []\nwhile True: held.append(bytearray(b'x' * (1 << 20)))"
    small = limits(memory_bytes=150 * MIB)
    process = subprocess.Popen(box.command([box.python, "-I", "-c", code], limits=small))
    with box.watch(process.pid, small) as watch:
        assert process.wait(20) != 0
        watch.join(5)
    assert watch.reason == "memory"


def test_sandboxes_die_with_the_process_that_started_them(box: Sandbox) -> None:
    marker = uuid.uuid4().hex
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from autograder.grading.sandbox import Limits, Sandbox
Sandbox.detect().run([{sys.executable!r}, "-I", "-c", "import time; time.sleep(500)", "{marker}-inner"],
    limits=Limits(60, 60, 1 << 29, 16, 1 << 20, 100, 1 << 20))
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 20
    while not any("time.sleep(500)" in words and "bwrap" not in words for words in alive(f"{marker}-inner")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 5
    while alive(f"{marker}-inner") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive(f"{marker}-inner") == []


def test_sandboxes_run_side_by_side(box: Sandbox) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda number: run(box, f"print({number})"), range(12)))
    assert [int(one.stdout) for one in done] == list(range(12))


def test_numpy_and_onnxruntime_work_inside(box: Sandbox) -> None:
    code = "import numpy, onnxruntime as ort; print(numpy.arange(3).sum(), bool(ort.get_all_providers()))"
    done = run(box, code, processes=16)
    assert (done.reason, done.stdout) == ("ok", b"3 True\n"), done.stderr_tail


@pytest.mark.parametrize("target", ["relative", "/a/../b"])
def test_a_mount_target_must_be_a_plain_absolute_path(box: Sandbox, tmp_path: Path, target: str) -> None:
    with pytest.raises(SandboxError, match="absolute path"):
        box.run(["true"], mounts=[Mount(tmp_path, target)], limits=limits())


def test_a_mount_that_is_missing_or_closed_is_our_error_not_the_students(box: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="No such file"):
        box.run(["true"], mounts=[Mount(tmp_path / "absent", "/x")], limits=limits())
    if os.geteuid() == 0:
        closed = tmp_path / "closed"
        closed.write_text("")
        closed.chmod(0o600)
        with pytest.raises(SandboxError, match="cannot read"):
            box.run(["true"], mounts=[Mount(closed, "/x")], limits=limits())
        with pytest.raises(SandboxError, match=f"chown it to {box.uid}"):
            box.run(["true"], mounts=[Mount(tmp_path, "/x", writable=True)], limits=limits())
    with pytest.raises(SandboxError, match="could not be set up"):
        tmp_path.chmod(0o755)
        box.run(["true"], mounts=[Mount(tmp_path, "/usr/nowhere/here")], limits=limits())


def test_a_machine_without_bubblewrap_is_told_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_module, "TOOL_PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="apt-get install bubblewrap"):
        Sandbox.detect()


def test_a_bubblewrap_that_does_not_isolate_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, box: Sandbox
) -> None:
    tool = tmp_path / "bwrap"
    monkeypatch.setattr(sandbox_module, "TOOL_PATH", f"{tmp_path}:{sandbox_module.TOOL_PATH}")
    tool.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    tool.chmod(0o755)
    with pytest.raises(SandboxError, match="does not start here.*No permissions.*(chmod|user namespaces)"):
        Sandbox.detect()
    # pretends to have started the program and answers in its place
    tool.write_text(
        '#!/bin/sh\nwhile [ "$1" != --json-status-fd ]; do shift; done\n'
        'echo "{ \\"exit-code\\": 0 }" > /proc/self/fd/$2\necho 0 4711 lo eth0\n'
    )
    with pytest.raises(SandboxError, match="does not isolate"):
        Sandbox.detect()


def test_sandboxes_of_different_slots_and_processes_run_as_different_users(box: Sandbox) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from autograder.grading.sandbox import Sandbox
print(Sandbox.detect().uid, Sandbox.detect(slot=1).uid, Sandbox.detect().uid)
"""
    other = Sandbox.detect(slot=3)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second, again = (int(word) for word in done.stdout.split())
    assert first == again
    assert int(run(other, "import os; print(os.getuid())").stdout) == other.uid
    if os.geteuid() == 0:  # processes are counted per user, so a neighbour must not use up our number
        assert len({box.uid, other.uid, first, second}) == 4
    with pytest.raises(SandboxError, match="slot"):
        Sandbox.detect(slot=64)


def test_a_neighbour_at_its_process_limit_does_not_hinder_us(box: Sandbox) -> None:
    neighbour = Sandbox.detect(slot=1)
    marker = uuid.uuid4().hex
    code = "import os, time\nfor _ in range(9):\n    if os.fork() == 0: time.sleep(1000)\ntime.sleep(1000)"
    argv = neighbour.command([neighbour.python, "-I", "-c", code, marker], limits=limits(processes=12))
    process = subprocess.Popen(argv)
    try:
        deadline = time.monotonic() + 10
        while sum("bwrap" not in words for words in alive(marker)) < 10 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert run(box, "import os; os.fork() or os._exit(0); os.wait()", processes=4).reason == "ok"
    finally:
        process_tree.kill_tree(process.pid)
        process.wait()


def test_without_isolation_limits_still_hold_and_the_sandbox_says_so(tmp_path: Path) -> None:
    unsafe = Sandbox.unsafe()
    assert unsafe.is_safe is False and unsafe.uid == os.getuid()
    assert run(unsafe, "while True: pass", wall_s=0.5).reason == "timeout"
    assert run(unsafe, "while True: print('x' * 999)", output_bytes=100).reason == "output"
    eater = "h = []\nwhile True: h.append(bytearray(b'x' * (1 << 20)))"
    assert run(unsafe, eater, memory_bytes=150 * MIB).reason == "memory"
    (tmp_path / "data").write_text("seen")
    seen = run(
        unsafe,
        "import os, sys; print(open(sys.argv[1]).read(), 'SECRET' in os.environ)",
        "/data",
        mounts=[Mount(tmp_path / "data", "/data")],
    )
    assert (seen.reason, seen.stdout) == ("ok", b"seen False\n"), seen.stderr_tail
    assert run(unsafe, "raise SystemExit(4)").returncode == 4


def test_without_isolation_a_daemon_is_still_hunted_down() -> None:
    marker = uuid.uuid4().hex
    done = run(Sandbox.unsafe(), DAEMON.format(keep="keep", after="pass"), marker)
    assert done.reason == "ok" and alive(marker) == []


def test_without_isolation_a_fork_bomb_is_still_ended() -> None:
    marker = uuid.uuid4().hex
    code = """
        import os, time
        for _ in range(60):
            if os.fork() == 0:
                time.sleep(1000)
        time.sleep(1000)
    """
    done = run(Sandbox.unsafe(), code, marker, processes=12)
    assert done.reason == "signal" and "more than 12 processes" in done.stderr_tail
    assert alive(marker) == []


def test_every_descriptor_number_may_be_taken_when_a_sandbox_starts(box: Sandbox) -> None:
    """The filter of system calls has a number of its own, which must be nobody else's."""
    held: list[int] = []
    try:
        for _ in range(14):
            assert run(box, "print('in')").stdout == b"in\n"
            held.append(os.open("/dev/null", os.O_RDONLY))
    finally:
        for fd in held:
            os.close(fd)
