"""The system calls that untrusted code may not make, as a seccomp filter in classic BPF.

Denied is what no notebook and no model needs and what opens a way around the other limits: new namespaces and
mounts (a tmpfs of one's own is memory that nobody counts), tracing, other kernel interfaces with a history of
holes, and memory that belongs to no process (memfd, System V, shared anonymous pages). Calls newer than this
table do not exist for the code. Bubblewrap loads the program just before it starts the code, for good.
"""

import functools
import os
import platform
import struct

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS, _EAFNOSUPPORT = 1, 38, 97
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_FIRST_UNKNOWN = 451  # both architectures share the numbers from 424 on
_X32 = 0x40000000

# name -> number on x86-64, number on aarch64 (None: not there)
_DENIED: dict[str, tuple[int | None, int | None]] = {
    # namespaces and mounts
    **{"unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "chroot": (161, 51)},
    **{"pivot_root": (155, 41), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430)},
    **{"fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442)},
    # other processes and files without a name
    **{"ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272)},
    **{"pidfd_getfd": (438, 438), "process_madvise": (440, 440), "open_by_handle_at": (304, 265)},
    **{"name_to_handle_at": (303, 264)},
    # memory that is counted for no process
    **{"memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "semget": (64, 190)},
    **{"msgget": (68, 186), "mq_open": (240, 180), "vmsplice": (278, 75)},
    # large and rarely used parts of the kernel
    **{"bpf": (321, 280), "userfaultfd": (323, 282), "perf_event_open": (298, 241), "keyctl": (250, 219)},
    **{"add_key": (248, 217), "request_key": (249, 218), "io_uring_setup": (425, 425), "fanotify_init": (300, 262)},
    **{"io_uring_enter": (426, 426), "io_uring_register": (427, 427), "lookup_dcookie": (212, 18)},
    **{"mbind": (237, 235), "move_pages": (279, 239), "migrate_pages": (256, 238), "set_mempolicy": (238, 237)},
    **{"modify_ldt": (154, None), "uselib": (134, None), "ustat": (136, None), "sysfs": (139, None)},
    # the machine itself
    **{"init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104)},
    **{"kexec_file_load": (320, 294), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225)},
    **{"acct": (163, 89), "quotactl": (179, 60), "quotactl_fd": (443, 443), "syslog": (103, 116), "iopl": (172, None)},
    **{"ioperm": (173, None), "settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266)},
    **{"adjtimex": (159, 171), "sethostname": (170, 161), "setdomainname": (171, 162), "vhangup": (153, 58)},
    **{"nfsservctl": (180, 42)},
}
# AUDIT_ARCH, column of the table, numbers of clone, socket, personality, ioctl, mmap
_MACHINES = {
    "x86_64": (0xC000003E, 0, (56, 41, 135, 16, 9)),
    "aarch64": (0xC00000B7, 1, (220, 198, 92, 29, 222)),
}
_CLONE3 = 435
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_FAMILIES = (1, 2, 10, 16)  # unix, inet, inet6, netlink; not vsock, which reaches the host of a virtual machine
_PERSONALITIES = (0, 0xFFFFFFFF)  # plain Linux, and asking
_TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
_MAP_SHARED, _MAP_ANONYMOUS = 0x01, 0x20


def supported() -> bool:
    """Whether there is a table for this kind of machine."""
    return platform.machine() in _MACHINES


@functools.cache
def program(machine: str | None = None) -> bytes:
    """The filter as an array of `struct sock_filter`.

    Args:
        machine: "x86_64" or "aarch64"; this machine's when None.
    Raises:
        KeyError: there is no table for it, see `supported`.
    """
    audit, column, (clone, socket, personality, ioctl, mmap) = _MACHINES[machine or platform.machine()]
    steps = [_step(_LOAD, _ARCHITECTURE), _step(_EQUAL, audit, 1, 0), _step(_RETURN, _KILL), _step(_LOAD, _NUMBER)]
    if column == 0:  # the x32 interface has numbers of its own for the same calls
        steps += [_step(_AT_LEAST, _X32, 0, 1), _step(_RETURN, _KILL)]
    # clone3 hides its flags behind a pointer; libraries then use clone
    steps += [_step(_AT_LEAST, _FIRST_UNKNOWN, 0, 1), _step(_RETURN, _ERRNO | _ENOSYS)]
    steps += [_step(_EQUAL, _CLONE3, 0, 1), _step(_RETURN, _ERRNO | _ENOSYS)]
    for numbers in _DENIED.values():
        number = numbers[column]
        if number is not None:
            steps += [_step(_EQUAL, number, 0, 1), _step(_RETURN, _ERRNO | _EPERM)]
    steps += _when(clone, [_step(_LOAD, _argument(0)), _step(_ANY_BIT, _NEW_NAMESPACES, 0, 1), _deny()])
    shared = [_step(_LOAD, _argument(3)), _step(_ANY_BIT, _MAP_SHARED, 0, 2)]
    steps += _when(mmap, [*shared, _step(_ANY_BIT, _MAP_ANONYMOUS, 0, 1), _deny()])
    for number, argument, values in ((socket, 0, _FAMILIES), (personality, 0, _PERSONALITIES)):
        allowed = [word for value in values for word in (_step(_EQUAL, value, 0, 1), _step(_RETURN, _ALLOW))]
        error = _EAFNOSUPPORT if number == socket else _EPERM
        steps += _when(number, [_step(_LOAD, _argument(argument)), *allowed, _step(_RETURN, _ERRNO | error)])
    refused = [word for value in _TERMINAL_INPUT for word in (_step(_EQUAL, value, 0, 1), _deny())]
    steps += _when(ioctl, [_step(_LOAD, _argument(1)), *refused])
    return b"".join([*steps, _step(_RETURN, _ALLOW)])


def program_path() -> str:
    """A path under which a child of this process can open the filter; nothing lies on any disk."""
    return f"/proc/{os.getpid()}/fd/{_descriptor()}"


@functools.cache
def _descriptor() -> int:
    fd = os.memfd_create("system-calls", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, program())
    return fd


def _when(number: int, steps: list[bytes]) -> list[bytes]:
    """`steps` only for this call; after them it is allowed, so that the number need not be loaded again."""
    return [_step(_EQUAL, number, 0, len(steps) + 1), *steps, _step(_RETURN, _ALLOW)]


def _argument(index: int) -> int:
    return 16 + 8 * index  # its lower half; both machines are little-endian


def _deny() -> bytes:
    return _step(_RETURN, _ERRNO | _EPERM)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)
