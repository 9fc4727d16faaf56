"""A sandbox that stays for many models, outside: starting one costs more than running a course's network.

What one model could do to the next is bounded by this. Each is judged by a process of its own, forked from one that never
reads a model and that its children can neither trace nor read. After each the sandbox must be as it was: the child has
ended by itself with code 0, no other process is there, no file lies anywhere; else it is thrown away. And no failure
that was seen here counts: whoever asks judges such a model again in a sandbox of its own (`judge.judge_served`). What a
child may still touch, pipes and priorities, can make a later model fail here, not change its classes.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from autograder.errors import SandboxError
from autograder.grading import control_groups
from autograder.grading.process_tree import kill_tree, measure
from autograder.grading.sandbox import Completed, Limits, Mount, Sandbox, in_memory
from autograder.grading.supervise import STDERR_BYTES, TICK_S, breach, check_stopped, printable, tick_s

_START_S = 60.0
_MODELS = 500  # then a new one, whatever may have added up


class JudgeServer:
    """Started in a sandbox; `ask` for one model after the other, from one thread at a time, then `close`.

    Args:
        argv: the program of `judge_server_inside` with its arguments.
        limits: of every single model; the sandbox's own are the same.

    Raises:
        SandboxError: it does not start.
    """

    def __init__(self, sandbox: Sandbox, argv: Sequence[str], mounts: Sequence[Mount], limits: Limits) -> None:
        self.is_usable = True  # until something is left over or a limit is passed
        self._limits, self._left = limits, _MODELS
        self._channel, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._process = subprocess.Popen(
                sandbox.command(argv, mounts=mounts, limits=limits),
                stdin=inside.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C in the terminal is for us
            )
        except OSError as error:
            self._channel.close()
            raise SandboxError(f"could not start {argv[0]}: {error}") from error
        finally:
            inside.close()
        assert self._process.stdout is not None and self._process.stderr is not None
        self._stdout, self._stderr = bytearray(), bytearray()
        self._selector = selectors.DefaultSelector()
        for stream, buffer in ((self._process.stdout, self._stdout), (self._process.stderr, self._stderr)):
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ, buffer)
        self._channel.setblocking(False)
        self._selector.register(self._channel, selectors.EVENT_READ)
        try:
            cut, message = self._until_message(replace(limits, wall_s=_START_S))
            if message.get("ready") is not True:
                why = printable(self._stderr).strip()[-300:] or cut or "it ended"
                raise SandboxError(f"the sandbox could not be set up: {why}")
        except BaseException:
            self.close()
            raise

    def ask(self, classes: int, asked: str, model: bytes) -> Completed:
        """What the program said of one model, as `Sandbox.run` of `judge_inside` would return it.

        When `is_usable` is False afterwards, the server is good for nothing more.

        Raises:
            SandboxError: it could not be asked, or the run that this belongs to is being stopped.
        """
        started = time.monotonic()
        self._stdout.clear()
        self._stderr.clear()
        self._left -= 1
        self.is_usable = False  # until it has answered
        try:
            with in_memory(model) as file, suppress(ConnectionError):  # it may have ended, which is seen next
                message = json.dumps({"classes": classes, "asked": asked}).encode()
                socket.send_fds(self._channel, [message], [file])
            cut, answer = self._until_message(self._limits)
        except OSError as error:
            raise SandboxError(f"the sandbox does not answer: {error}") from error
        status = answer.get("status", -1)
        code = os.waitstatus_to_exitcode(status) if status >= 0 else None
        if cut is None:
            cut = "ok" if code == 0 else "signal" if code is None or code < 0 else "exit"
        self.is_usable = cut == "ok" and answer.get("clean") is True and self._left > 0
        return Completed(cut, code, bytes(self._stdout), printable(self._stderr), time.monotonic() - started)

    def close(self) -> None:
        """End it, and all that is in it."""
        self.is_usable = False
        self._selector.close()
        self._channel.close()
        kill_tree(self._process.pid)
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _until_message(self, limits: Limits) -> tuple[str | None, dict]:
        """(the limit that was passed, {}) or (None, the message); (None, {}) when the other side is gone."""
        group = control_groups.of(self._process.pid)
        limits = replace(limits, cpu_s=limits.cpu_s + int(measure(self._process.pid, limits.memory_bytes).cpu_s))
        started, message = time.monotonic(), None
        tick = tick_s(group)
        look = started + tick
        while message is None:
            check_stopped()
            for key, _ in self._selector.select(TICK_S):
                if key.fileobj is self._channel:
                    message = self._receive()
                elif not self._read(key):
                    self._selector.unregister(key.fileobj)
            if len(self._stdout) > limits.output_bytes:
                return "output", {}
            if message is None and time.monotonic() >= look:
                if (cut := breach(self._process.pid, limits, started, group)) is not None:
                    return cut, {}
                look = time.monotonic() + tick
        for key in list(self._selector.get_map().values()):  # what was written before the message
            while key.fileobj is not self._channel and len(self._stdout) <= limits.output_bytes and self._read(key):
                pass
        return ("output" if len(self._stdout) > limits.output_bytes else None), message

    def _receive(self) -> dict:
        with suppress(ValueError, ConnectionError):
            answer = json.loads(self._channel.recv(4096))
            return answer if isinstance(answer, dict) else {}
        return {}

    def _read(self, key: selectors.SelectorKey) -> bool:
        """Take what is there; False when there is nothing (more)."""
        try:
            chunk = os.read(key.fd, 65536)
        except BlockingIOError:
            return False
        key.data.extend(chunk)
        del self._stderr[:-STDERR_BYTES]
        return bool(chunk)
