"""The filter of system calls, run by a small interpreter of its own for both machines, and control groups."""

import platform
import struct
from pathlib import Path

import pytest

from autograder.grading import control_groups, system_calls

ALLOW, KILL, EPERM, ENOSYS, EAFNOSUPPORT = 0x7FFF0000, 0x80000000, 0x50001, 0x50026, 0x50061
X86, ARM = 0xC000003E, 0xC00000B7


def judged(machine, number, *arguments, audit=None):
    """What the kernel would do with this call: classic BPF over struct seccomp_data."""
    audit = audit or {"x86_64": X86, "aarch64": ARM}[machine]
    data = struct.pack("<iIQ6Q", number, audit, 0, *[*arguments, 0, 0, 0, 0, 0, 0][:6])
    steps = list(struct.iter_unpack("<HBBI", system_calls.program(machine)))
    accumulator = at = 0
    while True:
        code, if_true, if_false, value = steps[at]
        at += 1
        if code == 0x06:
            return value
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
            continue
        truth = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
        at += if_true if truth else if_false


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_calls_that_programs_need_are_allowed_and_those_of_the_table_are_not(machine):
    denied = {n for pair in system_calls._DENIED.values() if (n := pair[machine == "aarch64"]) is not None}
    clone = {"x86_64": 56, "aarch64": 220}[machine]
    special = {"x86_64": {41, 56, 135, 16, 9}, "aarch64": {198, 220, 92, 29, 222}}[machine]
    for number in range(451):
        verdict = judged(machine, number)
        if number in denied:
            assert verdict == EPERM, number
        elif number == 435:
            assert verdict == ENOSYS
        elif number not in special:
            assert verdict == ALLOW, number
    assert {judged(machine, number) for number in range(451, 1200)} == {ENOSYS}
    assert judged(machine, clone, 17) == ALLOW
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert judged(machine, clone, flag | 17) == EPERM


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_arguments_decide_where_a_call_is_needed_for_some_things(machine):
    numbers = {"x86_64": (41, 135, 16, 9), "aarch64": (198, 92, 29, 222)}[machine]
    socket, personality, ioctl, mmap = numbers
    assert [judged(machine, socket, family) for family in (1, 2, 10, 16)] == [ALLOW] * 4
    assert {judged(machine, socket, family) for family in (0, 3, 17, 38, 40, 44)} == {EAFNOSUPPORT}
    assert judged(machine, personality, 0) == judged(machine, personality, 0xFFFFFFFF) == ALLOW
    assert judged(machine, personality, 0x40000) == EPERM
    assert judged(machine, ioctl, 3, 0x5412) == judged(machine, ioctl, 3, 0x541C) == EPERM
    assert judged(machine, ioctl, 3, 0x5401) == ALLOW
    shared, private, anonymous = 1, 2, 0x20
    assert judged(machine, mmap, 0, 4096, 3, shared | anonymous) == EPERM
    assert judged(machine, mmap, 0, 4096, 3, 3 | anonymous) == EPERM  # MAP_SHARED_VALIDATE
    assert judged(machine, mmap, 0, 4096, 3, private | anonymous) == judged(machine, mmap, 0, 4096, 3, shared) == ALLOW


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_calls_of_another_architecture_are_killed(machine):
    assert judged(machine, 20, audit=0x40000003) == KILL  # i386
    assert judged("x86_64", 0x40000000 | 39) == KILL  # x32


def test_no_call_of_the_table_is_written_with_a_wrong_number():
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if platform.machine() != "x86_64" or not header.exists():
        pytest.skip("needs the kernel's headers for x86-64")
    lines = (line.split() for line in header.read_text().splitlines() if line.startswith("#define __NR_"))
    known = {words[1].removeprefix("__NR_"): int(words[2]) for words in lines}
    for name, (number, _) in system_calls._DENIED.items():
        assert known.get(name, number) == number, name


def fake(folder, **files):
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.fixture
def hierarchy(tmp_path, monkeypatch):
    """A folder in which a new group gets the given files, as the kernel does it; and takes them with it."""
    given = {}

    def mkdir(path, *arguments, real=Path.mkdir, **options):
        real(path, *arguments, **options)
        if path.name.startswith("autograder-"):
            fake(path, **given)

    def rmdir(path, real=Path.rmdir):
        for file in path.iterdir():
            file.unlink()
        real(path)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    monkeypatch.setattr(Path, "rmdir", rmdir)
    return tmp_path, given


@pytest.mark.parametrize(
    ("files", "limits"),
    [
        ({"cgroup__procs": "", "memory__max": "max", "memory__swap__max": "max", "memory__oom__group": "0"},
         {"memory.max": "1000", "memory.swap.max": "0", "memory.oom.group": "1"}),
        ({"cgroup__procs": "", "memory__limit_in_bytes": "9", "memory__memsw__limit_in_bytes": "9"},
         {"memory.limit_in_bytes": "1000", "memory.memsw.limit_in_bytes": "1000"}),
    ],
    ids=["v2", "v1"],
)  # fmt: skip
def test_a_group_gets_its_limits_in_both_hierarchies(hierarchy, files, limits):
    parent, given = hierarchy
    given.update(files)
    group = control_groups.create(1000, (parent,))
    assert group is not None and group.entrance == group.path / "cgroup.procs"
    assert {name: (group.path / name).read_text()[: len(limits[name])] for name in limits} == limits
    assert not group.ran_out()
    (group.path / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    assert group.ran_out()
    group.remove()
    assert list(parent.iterdir()) == []


def test_a_group_without_a_limit_of_memory_is_no_group(hierarchy):
    parent, given = hierarchy
    given.update(cgroup__procs="")
    assert control_groups.create(1000, (parent, parent / "absent")) is None
    assert list(parent.iterdir()) == []


def test_groups_of_graders_that_are_gone_are_swept(hierarchy):
    parent, given = hierarchy
    given.update(cgroup__procs="", memory__max="max")
    (parent / "autograder-999999999-0").mkdir()
    (parent / "autograder-1-7").mkdir()  # process 1 lives, and the group is young
    (parent / "somebody-elses").mkdir()
    group = control_groups.create(1000, (parent,))
    assert group is not None
    assert {path.name for path in parent.iterdir()} == {"autograder-1-7", "somebody-elses", group.path.name}
