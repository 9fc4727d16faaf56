"""4c: code that does not stop, does not stay small, or does not stay inside. All of it runs in the real sandbox."""

import os
import socket
import textwrap
import time
import uuid
from contextlib import closing

import numpy as np
import pytest
from onnx import helper

from autograder.grading import control_groups, doctor, system_calls
from autograder.grading.sandbox import Mount, Sandbox

MIB = 1 << 20
DEAF = """
import os, signal, time
for number in set(range(1, 32)) - {9, 19}:
    signal.signal(number, signal.SIG_IGN)
"""


@pytest.fixture
def run(box, tools):
    def start(code, *words, mounts=(), **changes):
        argv = [box.python, "-I", "-c", textwrap.dedent(code), *words]
        return box.run(argv, mounts=mounts, limits=tools.limits(**changes))

    return start


@pytest.mark.attack(32, verdict="FAILED(timeout)")
@pytest.mark.parametrize(
    "code", ["while True: pass", "import time; time.sleep(1e9)", DEAF + "while True: time.sleep(9)"]
)
def test_what_never_ends_is_killed_at_the_wall_limit_and_nothing_is_left(run, tools, code):
    marker = uuid.uuid4().hex
    started = time.monotonic()
    done = run(code, marker, wall_s=0.7)
    assert done.reason == "timeout" and time.monotonic() - started < 10
    assert tools.living(marker) == []


@pytest.mark.attack(32, verdict="FAILED(timeout)")
def test_a_model_that_computes_for_ever_is_failed_and_the_others_are_scored(house, models, monkeypatch):
    """The limit of operations stops it before it runs; without that limit processor time does."""
    from dataclasses import replace

    from autograder.grading import predict as predict_module

    rng = np.random.default_rng(0)
    nodes = [helper.make_node("MatMul", ["z", "up"], ["h0"])]
    nodes += [helper.make_node("MatMul", [f"h{i}", "wide"], [f"h{i + 1}"], name=f"n{i}") for i in range(4_000)]
    nodes += [helper.make_node("MatMul", ["h4000", "down"], ["y"])]
    sizes = {"up": (4, 400), "wide": (400, 400), "down": (400, 4)}
    more = [models.tensor(name, rng.normal(size=size) / 20) for name, size in sizes.items()]
    data = models.then(*nodes, more=more)
    (model,) = house.exercise.models
    roomy = replace(model, max_bytes=5_000_000, max_parameters=200_000)
    house.with_exercise(models=(roomy,))
    house.hand_in("endless", model__onnx=data)
    house.grade()
    assert house.verdict("endless") == "FAILED(too_many_flops)"
    # checking it takes a fifth of a second of processor time, running it more than ten
    monkeypatch.setattr(predict_module, "LIMITS", replace(predict_module.LIMITS, cpu_s=3))
    house.with_exercise(models=(replace(roomy, max_flops=None),))
    house.hand_in("endless again", model__onnx=data)
    house.collect()
    from autograder.grading.score import score

    score(house.course, house.exercise.id, house.course_dir, progress=False)
    assert house.verdict("endless again") == "FAILED(timeout)"


DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        if "close" in sys.argv: os.close(1), os.close(2)
        while True: time.sleep(60)
    os._exit(0)
os.wait()
print("done", flush=True)
"""


@pytest.mark.attack(33, 34, verdict="the run ends at once, the daemon with it")
@pytest.mark.parametrize("pipe", ["keep", "close"])
def test_a_daemon_neither_survives_nor_holds_up_the_run(run, tools, pipe):
    marker = uuid.uuid4().hex
    started = time.monotonic()
    done = run(DAEMON, marker, pipe)
    assert (done.reason, done.stdout) == ("ok", b"done\n") and time.monotonic() - started < 10
    assert tools.living(marker) == []


@pytest.mark.attack(35, verdict="bounded, nothing left")
@pytest.mark.parametrize(
    "code",
    [
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        "import threading, time\nwhile True:\n    try: threading.Thread(target=time.sleep, args=(99,)).start()\n    except RuntimeError: pass",
        "import subprocess, sys, time\nwhile True:\n    try: subprocess.Popen([sys.executable, '-c', 'while True: pass'])\n    except OSError: pass",
    ],
    ids=["fork", "threads", "programs"],
)
def test_a_bomb_of_processes_is_bounded(run, tools, code):
    marker = uuid.uuid4().hex
    done = run(code, marker, wall_s=1.5, processes=12)
    assert done.reason in ("timeout", "signal")
    assert tools.living(marker) == []


MEMORY = {
    "bytes": "held = []\nwhile True: held.append(bytearray(b'x' * (1 << 20)))",
    "in children": "import os, time\nfor _ in range(6): os.fork()\nh = []\nwhile True: h.append(bytearray(b'x' * 65536))",
    "socket buffers": """
        import socket
        held = []
        while True:
            a, b = socket.socketpair(); a.setblocking(False); a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
            held.append((a, b))
            try:
                while True: a.send(bytes(60000))
            except BlockingIOError: pass
    """,
    "page tables": """
        import mmap
        held = []
        while True:  # a single page of every 2 MB: a page table each
            try: m = mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            except OSError: break
            held.append(m)
            for at in range(0, 1 << 30, 1 << 21): m[at] = 1
        import time; time.sleep(99)
    """,
}


@pytest.mark.attack(36, verdict="FAILED(memory)")
@pytest.mark.parametrize("how", MEMORY)
def test_memory_is_bounded_whatever_it_is_made_of(run, tools, how):
    marker = uuid.uuid4().hex
    small = {"memory_bytes": 24 * MIB} if how == "page tables" else {"memory_bytes": 96 * MIB}
    done = run(MEMORY[how], marker, wall_s=30, processes=80, **small)
    assert done.reason == "memory", (done.reason, done.stderr_tail)
    assert tools.living(marker) == []


@pytest.mark.attack(36, 37, verdict="no such call, or bounded by the size of the folder")
def test_there_is_no_memory_that_belongs_to_nobody(run):
    """Found by measuring: memfd, System V segments and shared anonymous pages were counted by no watchdog."""
    done = run("""
        import ctypes, mmap, os
        libc = ctypes.CDLL(None, use_errno=True)
        for name, action in {
            "memfd": lambda: os.memfd_create("x"),
            "sysv": lambda: libc.shmget(0, 1 << 20, 0o1600),
            "message queue": lambda: libc.msgget(0, 0o1600),
            "shared pages": lambda: mmap.mmap(-1, 1 << 20),
            "dev zero": lambda: mmap.mmap(os.open("/dev/zero", os.O_RDWR), 1 << 20),
        }.items():
            try:
                if action() != -1: print("GOT", name)
            except OSError as error: print(name, error.errno)
        print(open("/dev/zero", "rb").read(4), len(mmap.mmap(-1, 8192, flags=mmap.MAP_PRIVATE)))
    """)
    assert done.reason == "ok" and b"GOT" not in done.stdout, done
    assert done.stdout.endswith(b"b'\\x00\\x00\\x00\\x00' 8192\n")  # honest uses go on working


@pytest.mark.attack(36, verdict="ERROR is not FAILED: ours and the student's are kept apart")
def test_the_kernels_own_memory_counts_where_control_groups_are(run):
    group = control_groups.create(64 * MIB)
    if group is None:
        pytest.skip("no control group can be made here; the watchdog bounds memory alone")
    group.remove()
    assert not group.path.exists()
    before = {path.name for path in group.path.parent.iterdir()}
    done = run("h = []\nwhile True: h.append(bytearray(b'x' * (64 << 20)))", memory_bytes=64 * MIB, tmp_bytes=MIB)
    assert done.reason == "memory"
    ours = {path.name for path in group.path.parent.glob(f"autograder-{os.getpid()}-*")}
    assert ours <= before  # the run's own is gone


@pytest.mark.attack(37, verdict="no space left")
def test_disk_is_bounded_in_bytes_files_and_sparse_sizes(run, box, tmp_path):
    done = run(
        """
        import os
        for folder in ("/tmp", "/dev/shm"):
            size = 0
            try:
                for number in range(4000):
                    with open(f"{folder}/{number}", "wb", buffering=0) as sink: size += sink.write(bytes(100_000))
            except OSError as error: print(error.errno, size)
        for place in ("/x", "/usr/x", "/var/tmp/x", "/run/x", os.path.expanduser("~root") + "/x"):
            try: open(place, "w"); print("WROTE", place)
            except OSError: pass
        """,
        tmp_bytes=2 * MIB,
    )
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    assert [(int(errno), int(size) <= 2 * MIB) for errno, size in lines] == [(28, True)] * 2
    files = run(
        "import os\nfor n in range(10_000_000): os.close(os.open(f'/tmp/{n}', os.O_CREAT | os.O_WRONLY))",
        memory_bytes=40 * MIB,
        wall_s=40,
    )
    assert files.reason in ("memory", "exit"), files  # the watchdog, or the folder's own limit of inodes
    folder = tmp_path / "out"
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, box.uid, box.uid)
    sparse = "sink = open('/out/huge', 'wb')\nsink.seek(1 << 40)\nsink.write(b'x')\nsink.flush()"
    run(sparse, mounts=[Mount(folder, "/out", writable=True)])
    assert (folder / "huge").stat().st_size <= MIB


@pytest.mark.attack(38, verdict="FAILED(output), or drained")
def test_endless_output_is_cut_and_endless_errors_are_drained(run):
    assert run("import os\nwhile True: os.write(1, b'x' * 4096)").reason == "output"
    done = run("import os\nfor _ in range(3000): os.write(2, b'y' * 4096)\nos.write(2, b'the end')")
    assert done.reason == "ok" and done.stderr_tail.endswith("the end") and len(done.stderr_tail) <= 8192


@pytest.mark.attack(40, verdict="no device is there")
def test_there_is_no_device_to_hang_or_to_fill(run):
    done = run("import os; print(sorted(os.listdir('/dev')), os.path.exists('/dev/kvm'), os.path.exists('/sys'))")
    shown = done.stdout.decode()
    assert shown.strip().endswith("False False")
    assert not any(name in shown for name in ("nvidia", "dri", "kfd", "fuse", "mem", "vsock", "sda", "vda"))


@pytest.mark.attack(41, verdict="one thread each")
def test_libraries_are_told_to_use_one_thread(run):
    done = run("import os; print(os.environ['OMP_NUM_THREADS'], os.environ['OPENBLAS_NUM_THREADS'])")
    assert done.stdout == b"1 1\n"
    from autograder.grading.predict import SCRIPT

    assert "intra_op_num_threads = options.inter_op_num_threads = 1" in SCRIPT.read_text()


@pytest.mark.attack(42, verdict="FAILED(timeout | memory)")
@pytest.mark.parametrize(
    "code",
    [
        "import re; re.match(r'(a+)+$', 'a' * 40 + 'b')",
        "x = '((' * 50_000; compile('a=' + '+'.join(['1'] * 3_000_000), 'f', 'exec')",
        "10 ** 10 ** 9",
    ],
    ids=["regular expression", "syntax tree", "power"],
)
def test_what_takes_long_to_compile_is_under_the_same_limits(run, code):
    assert run(code, wall_s=1.5, memory_bytes=200 * MIB).reason in ("timeout", "memory", "exit")


@pytest.mark.attack(43, verdict="nobody to reach")
def test_nothing_leaves_the_sandbox_by_any_socket(run, tmp_path):
    name = f"\0course-{uuid.uuid4().hex}"
    path = tmp_path / "service"
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as tcp,
        closing(socket.socket(socket.AF_UNIX)) as abstract,
        closing(socket.socket(socket.AF_UNIX)) as bound,
    ):
        for server, place in ((abstract, name), (bound, str(path))):
            server.bind(place)
            server.listen()
        done = run(f"""
            import socket
            def attempt(what, family, address, kind=socket.SOCK_STREAM):
                try:
                    s = socket.socket(family, kind); s.settimeout(1); s.connect(address)
                    if kind == socket.SOCK_DGRAM: s.send(b"x")
                    print("REACHED", what)
                except OSError: pass
            attempt("loopback", socket.AF_INET, ("127.0.0.1", {tcp.getsockname()[1]}))
            attempt("internet", socket.AF_INET, ("1.1.1.1", 53))
            attempt("dns", socket.AF_INET, ("1.1.1.1", 53), socket.SOCK_DGRAM)
            attempt("metadata", socket.AF_INET, ("169.254.169.254", 80))
            attempt("ipv6", socket.AF_INET6, ("::1", {tcp.getsockname()[1]}))
            attempt("abstract", socket.AF_UNIX, {name!r})
            attempt("bound", socket.AF_UNIX, {str(path)!r})
            for place in ("/run/docker.sock", "/var/run/dbus/system_bus_socket", "/run/systemd/private"):
                attempt(place, socket.AF_UNIX, place)
            for family in (40, 38, 17, 31, 29):  # vsock, alg, packet, bluetooth, can
                try: socket.socket(family, socket.SOCK_DGRAM); print("REACHED family", family)
                except OSError: pass
        """)
    assert (done.reason, done.stdout) == ("ok", b""), done


SYSTEM_CALLS = """
import ctypes, os, platform
libc = ctypes.CDLL(None, use_errno=True)
def call(what, *arguments):
    ctypes.set_errno(0)
    if libc.syscall(*arguments) != -1: print("ALLOWED", what)
    return ctypes.get_errno()
numbers = {numbers}
for name, number in numbers.items():
    call(name, number, 0, 0, 0, 0, 0)
for flag in (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x4000000, 0x8000000, 0x2000000):
    pid = libc.syscall({clone}, flag | 17, 0, 0, 0, 0)
    if pid == 0: os._exit(0)
    if pid > 0: print("ALLOWED clone", hex(flag))
print("clone3", call("clone3", 435, 0, 0), "new", call("new", 470, 0))
if os.fork() == 0: os._exit(0)
print("fork works", os.wait()[1])
"""


@pytest.mark.attack(44, verdict="not permitted")
def test_the_kernels_interfaces_that_lead_out_are_closed(run):
    machine = os.uname().machine
    audit, column, (clone, *_) = system_calls._MACHINES[machine]
    numbers = {name: pair[column] for name, pair in system_calls._DENIED.items() if pair[column] is not None}
    done = run(SYSTEM_CALLS.format(numbers=numbers, clone=clone))
    assert done.reason == "ok" and b"ALLOWED" not in done.stdout, done
    assert done.stdout == b"clone3 38 new 38\nfork works 0\n" and audit


@pytest.mark.attack(44, verdict="killed")
def test_another_architectures_calls_are_the_end(run):
    """int 0x80 has other numbers for the same calls; whoever uses it is killed."""
    if os.uname().machine != "x86_64":
        pytest.skip("x86-64 only")
    done = run("""
        import ctypes, mmap
        page = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=7)
        page.write(bytes.fromhex("b814000000cd80c3"))  # mov eax, 20 (getpid); int 0x80; ret
        print("pid", ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))())
    """)
    assert b"pid" not in done.stdout and done.reason == "signal"


@pytest.mark.attack(44, verdict="no privileges to gain")
def test_privileges_cannot_be_gained(run):
    done = run("""
        import os, subprocess
        status = dict(l.rstrip("\\n").split(":\\t", 1) for l in open("/proc/self/status"))
        print(status["NoNewPrivs"], status["Seccomp"], [status[n] for n in ("CapEff", "CapPrm", "CapAmb", "CapInh")])
        try: os.setuid(0); print("ROOT")
        except OSError: pass
        for tool in ("su", "sudo", "mount", "newgrp"):
            try:
                if subprocess.run([tool, "--help"], capture_output=True).returncode == 0 and os.geteuid() == 0: print("ROOT")
            except OSError: pass
        print(os.getuid() != 0)
    """)
    zero = "0000000000000000"
    assert done.stdout.decode() == f"1 2 {[zero] * 4}\nTrue\n", done


@pytest.mark.attack(44, verdict="refuses to grade")
def test_without_isolation_nothing_is_graded_unless_told_so_and_scores_say_it(house, monkeypatch):
    from autograder.errors import SandboxError
    from autograder.grading import sandbox
    from autograder.grading.score import score
    from autograder.records.gradebook import Gradebook

    house.hand_in("honest")
    house.collect()
    with monkeypatch.context() as patch:
        patch.setattr(sandbox, "TOOL_PATH", "/nowhere")
        with pytest.raises(SandboxError, match="apt-get install bubblewrap"):
            score(house.course, house.exercise.id, house.course_dir, progress=False)
        assert house.verdict("honest") == "queued"
        score(house.course, house.exercise.id, house.course_dir, progress=False, unsafe=True)
    with Gradebook(house.course_dir) as book:
        assert [row.sandboxed for row in book.results(house.exercise.id)] == [False]


@pytest.mark.attack(32, 35, 36, 37, 38, 43, 44, verdict="the doctor tries them all")
def test_the_doctor_finds_this_machine_safe_and_a_hole_when_there_is_one(box, monkeypatch):
    found = list(doctor.examine())
    assert doctor.is_safe(found), [finding for finding in found if finding.state == doctor.UNSAFE]
    assert {finding.name for finding in found} >= {"sandbox", "network", "files", "system calls", "memory", "room"}

    allow_all = system_calls._step(system_calls._RETURN, system_calls._ALLOW)
    descriptor = os.memfd_create("allow")
    os.write(descriptor, allow_all)
    monkeypatch.setattr(system_calls, "_descriptor", lambda: descriptor)
    problem = doctor._system_calls(Sandbox.detect())
    os.close(descriptor)
    assert problem is not None and "memfd" in problem  # the mutation check: without the filter the probe notices


@pytest.mark.attack(44, verdict="exit code 2")
def test_the_doctor_says_what_to_do_where_grading_is_not_safe(monkeypatch, capsys):
    from autograder import __main__ as cli
    from autograder.grading import sandbox

    monkeypatch.setattr(sandbox, "TOOL_PATH", "/nowhere")
    assert cli.main(["doctor"]) == 2
    text = capsys.readouterr().out
    assert "UNSAFE" in text and "apt-get install bubblewrap" in text and "do NOT grade" in text
