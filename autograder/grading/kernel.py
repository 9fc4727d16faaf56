"""One Jupyter kernel inside the sandbox, and our two ends of its sockets.

nbgrader stays outside and talks to the kernel over Unix sockets in a folder of this run. What comes back is
bounded here, because the program behind the sockets is the student's.

Importing this module imports jupyter_client; other modules import it inside functions.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

import zmq
import zmq.asyncio
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from traitlets import default

from autograder.grading.sandbox import Limits, Mount, Sandbox
from autograder.grading.warm import COURSE, Warm

_SCRIPT = Path(__file__).with_name("kernel_inside.py")
_FIGURES = Path(__file__).with_name("kernel_figures.py")
_FONTS = "/fonts"
# the largest message that the kernel may send us; ipykernel joins 0.2 s of printing in one
_MESSAGE_BYTES = 64_000_000
_QUEUED_MESSAGES = 16  # messages held in our memory when the kernel sends faster than we read
_KNOCK_MS = 10  # between two attempts to connect to a socket that the kernel has not made yet


def kernel_limits(notebook_timeout_s: int) -> Limits:
    """Return the limits of one submission's kernel; torch needs most of the memory."""
    return Limits(
        wall_s=float(notebook_timeout_s),
        cpu_s=2 * notebook_timeout_s + 10,
        memory_bytes=3 << 30,
        processes=128,
        file_bytes=256 << 20,
        output_bytes=1 << 20,
        tmp_bytes=512 << 20,
    )


def kernel_argv(sandbox: Sandbox, warm: Warm, sockets: Path, scratch: Path, limits: Limits) -> list[str]:
    """Return the command that starts a kernel which sees the released package, read-only, and its sockets' folder.

    Its working folder is the sandbox's own /tmp; without a sandbox it is `scratch`.
    """
    home = "/tmp" if sandbox.is_safe else str(scratch)
    mounts = [
        Mount(_SCRIPT, "/kernel.py"),
        Mount(_FIGURES, f"/figures/{_FIGURES.name}"),
        Mount(warm.course, COURSE),
        Mount(sockets, str(sockets), writable=True),
    ]
    env = {
        "PYTHONPATH": COURSE,
        "PYTHONDONTWRITEBYTECODE": "1",
        "EXERCISE_FAST": "1",
        "DATASETS_OFFLINE": "1",
        "DATASETS_CACHE": "off",
        "MPLBACKEND": f"module://{_FIGURES.stem}",
        "KERNEL_FIGURES": f"/figures/{_FIGURES.name}",
        "MPLCONFIGDIR": f"{home}/.matplotlib",
        "IPYTHONDIR": f"{home}/.ipython",
        "JUPYTER_RUNTIME_DIR": f"{home}/.jupyter",
    }
    if warm.fonts is not None:
        mounts.append(Mount(warm.fonts, _FONTS))
        env["KERNEL_FONTS"] = _FONTS
    argv = [sandbox.python, "/kernel.py", "-f", "{connection_file}"]
    return sandbox.command(argv, mounts=mounts, env=env, limits=limits, cwd=home)


def _bounded_context() -> zmq.asyncio.Context:
    context = zmq.asyncio.Context()
    context.setsockopt(zmq.SocketOption.MAXMSGSIZE, _MESSAGE_BYTES)
    context.setsockopt(zmq.SocketOption.RCVHWM, _QUEUED_MESSAGES)
    context.setsockopt(zmq.SocketOption.RECONNECT_IVL, _KNOCK_MS)
    return context


class BoundedKernelClient(AsyncKernelClient):
    """A client whose sockets neither take nor queue more than our memory allows."""

    @default("context")
    def _own_context(self) -> zmq.asyncio.Context:
        self._created_context = True
        return _bounded_context()

    async def wait_for_ready(self, timeout: float | None = None) -> None:
        """As the base class, without its 0.2 s and more of waiting for messages that nbclient ignores anyway.

        Raises:
            RuntimeError: the kernel has died, or is not ready in time.
        """
        deadline = time.monotonic() + (timeout or float("inf"))
        while True:
            self.kernel_info()
            with suppress(Empty):
                reply = await self.shell_channel.get_msg(timeout=1)
                if reply["msg_type"] == "kernel_info_reply":
                    await self.iopub_channel.get_msg(timeout=0.05)  # the second socket is connected, too
                    self._handle_kernel_info_reply(reply)
                    return
            if not await self.is_alive():
                raise RuntimeError("it died before it was ready")
            if time.monotonic() > deadline:
                raise RuntimeError(f"it is not ready after {timeout:g} s")


class SandboxedKernelManager(AsyncKernelManager):
    """Starts one kernel from a given command, sockets in a given folder; no kernelspec is ever looked up."""

    def __init__(self, argv: list[str], folder: Path, uid: int, **options: Any) -> None:
        self._argv, self._uid = argv, uid
        # an absolute prefix: otherwise client and kernel disagree where the sockets are, and the client hangs
        super().__init__(
            kernel_name="python3",
            transport="ipc",
            ip=str(folder / "s"),
            connection_file=str(folder / "kernel.json"),
            client_factory=BoundedKernelClient,
            **options,
        )

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(argv=self._argv, display_name="Python 3", language="python", interrupt_mode="message")

    @property
    def pid(self) -> int:
        """Process id of the sandbox, once started."""
        return self.provisioner.pid  # type: ignore[union-attr]  # every local provisioner has one

    @default("context")
    def _own_context(self) -> zmq.asyncio.Context:
        self._created_context = True
        return _bounded_context()

    def write_connection_file(self, **options: Any) -> None:
        super().write_connection_file(**options)
        if os.geteuid() == 0:  # written with mode 0600, and the kernel has another uid
            os.chown(self.connection_file, self._uid, self._uid)
