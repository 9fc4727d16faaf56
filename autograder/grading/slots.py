"""A uid of its own for each sandbox that may run at the same time, as RLIMIT_NPROC counts per uid."""

import os
import secrets
import socket

from autograder.errors import SandboxError

# 60578..61183 is used neither by distributions, nor by systemd, nor by containers
FIRST_UID = 60600
UIDS = 500

_claims: dict[tuple[int, int], int] = {}  # (process id, slot) -> uid


def claim_uid(slot: int) -> int:
    """The uid of this process's `slot`, the same at every call, and no other living process's.

    The claim is a bound abstract socket: the kernel gives the name to one process and frees it when that has
    ended. The search starts anywhere, because containers share the count but not the names.

    Raises:
        SandboxError: all are taken.
    """
    key = (os.getpid(), slot)  # after a fork the child needs claims of its own
    if key in _claims:
        return _claims[key]
    start = secrets.randbelow(UIDS)
    for step in range(UIDS):
        uid = FIRST_UID + (start + step) % UIDS
        proof = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            proof.bind(f"\0autograder-sandbox-{uid}")
        except OSError:
            proof.close()
            continue
        proof.detach()  # stays open until this process ends
        _claims[key] = uid
        return uid
    raise SandboxError(f"all {UIDS} sandbox users are taken; wait until other graders here have ended")
