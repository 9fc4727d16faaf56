"""nbgrader's execution step with its kernel in the sandbox.

Whatever the kernel sends is taken as coming from the student: counted, bounded and rebuilt before it is kept.

Importing this module imports nbgrader (two seconds); other modules import it inside functions.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nbclient.client import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode, from_dict
from nbgrader.preprocessors import Execute

from autograder.errors import SandboxError
from autograder.grading import control_groups, recheck
from autograder.grading.kernel import SandboxedKernelManager, kernel_argv
from autograder.grading.process_tree import Watch, kill_tree
from autograder.grading.sandbox import Limits, Sandbox
from autograder.grading.verdicts import Stop, Verdict, align_with_nbgrader, judge, rebuilt_outputs
from autograder.grading.warm import Warm

MAX_OUTPUT_BYTES = 8_000_000  # of all cells together; a course notebook with 40 figures has about 2 MB
_FOLDER_BYTES = 1_000_000  # the socket folder is on disk, so it must not be a place to fill
NOT_A_CHECK = (
    "the check also passes when the task is not solved: something in this notebook replaces or silences it; "
    "take that out and hand in again"
)
_OUTPUTS = ("stream", "display_data", "execute_result", "error")


class SandboxedExecute(Execute):
    """nbgrader's execution step with a sandboxed kernel; afterwards `verdicts` and `stop` tell the outcome.

    Args:
        checks: grade id -> text of the check cell in the source notebook, which the restored cell must equal.
        missing: grade ids that the submission lacks; those cells do not run.
        stubs: grade id of each check -> released text of its task cell, for the second look of `recheck`; none without.
        released: texts of the cells that students got; a cell that still has one of them is not the student's.
        prefix: how the names of its folders in /tmp begin, so that a caller can find them when this process is killed.
    Attributes:
        suspicions: what a person should look at, in words; never by itself a reason to take points.
    """

    def __init__(
        self,
        *,
        sandbox: Sandbox,
        warm: Warm,
        checks: Mapping[str, str],
        missing: frozenset[str],
        limits: Limits,
        stubs: Mapping[str, str] | None = None,
        released: Collection[str] = (),
        prefix: str = "k",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.stubs, self.released = dict(stubs or {}), frozenset(released)
        self.suspicions: tuple[str, ...] = ()
        self.sandbox, self.warm, self.limits, self.prefix = sandbox, warm, limits, prefix
        self.checks, self.missing = checks, missing
        self.verdicts: dict[str, Verdict] = {}
        self.stop: Stop | None = None
        self.failure: SandboxError | None = None
        self._status: dict[int, str] = {}
        self._left = MAX_OUTPUT_BYTES
        self._group: control_groups.Group | None = None
        self.record_timing = False  # wall-clock times would make two runs differ
        self.store_widget_state = False
        self.skip_cells_with_tag = ""
        self.shutdown_kernel = "immediate"  # no last words: atexit hooks of a student could take their time
        self.iopub_timeout = 10
        self.startup_timeout = 120

    def preprocess(self, nb: NotebookNode, resources: Any, km: Any = None) -> tuple[NotebookNode, Any]:
        NotebookClient.__init__(self, nb, km)
        self.reset_execution_trackers()
        self._check_assign_resources(resources)
        todo = [index for index, cell in enumerate(nb.cells) if self._is_to_run(cell)]
        if todo:
            try:
                with self._kernel():
                    self._run_cells(nb, todo)
                self._judge(nb)
                self._look_again(nb, resources)
            except SandboxError as error:  # nbgrader swallows exceptions; the caller asks for it afterwards
                self.failure = error
                raise
        else:
            self._judge(nb)
        for cell in nb.cells:
            if (name := _grade_id(cell)) in self.verdicts:
                align_with_nbgrader(cell, self.verdicts[name])
        return nb, resources

    def _judge(self, nb: NotebookNode) -> None:
        for index, cell in enumerate(nb.cells):
            if cell.cell_type == "code":
                cell.outputs = rebuilt_outputs(cell.outputs)
                cell.execution_count = index + 1 if index in self._status else None
                self._settle(cell, self._status.get(index))

    def _look_again(self, nb: NotebookNode, resources: Any) -> None:
        """Take back what was passed by a check that passes wrong answers, too; see `recheck`."""
        passed = {name for name, verdict in self.verdicts.items() if verdict.passed}
        if not self.stubs or not passed:
            return
        code = [cell for cell in nb.cells if cell.cell_type == "code"]
        locked = [cell.source for cell in code if _is_locked(cell)]
        own = [cell.source for cell in code if not _is_locked(cell) and cell.source not in self.released]
        why = recheck.reasons(own, [*locked, *self.checks.values()])
        if not why:
            return
        fooled = {spoilt: self._accepted(nb, resources, spoilt) & passed for spoilt in (False, True)}
        for name in fooled[False]:
            self.verdicts[name] = Verdict(False, True, NOT_A_CHECK)
        found = "; ".join(why)[:200]
        if fooled[False] or fooled[True]:
            names = ", ".join(sorted(fooled[False] | fooled[True]))
            self.suspicions = (f"{names} also accept wrong answers in this notebook ({found})",)
        elif any(reason.startswith("defines __") for reason in why):
            self.suspicions = (f"objects that decide how they compare ({found})",)

    def _accepted(self, nb: NotebookNode, resources: Any, spoilt: bool) -> set[str]:
        """Which checks pass with decoys in place of the answers, in a kernel of its own."""
        if spoilt:
            cells = recheck.with_spoilt(nb.cells, self.stubs, lambda cell: not _is_locked(cell))
        else:
            cells = recheck.with_stubs(nb.cells, self.stubs)
        if cells is None:
            return set()
        fresh = [{**cell, "outputs": []} if cell["cell_type"] == "code" else cell for cell in cells]
        again = SandboxedExecute(
            sandbox=self.sandbox,
            warm=self.warm,
            checks=self.checks,
            missing=self.missing,
            limits=self.limits,
            prefix=self.prefix,
            timeout=self.timeout,
            log=self.log,
        )
        again.preprocess(from_dict({**nb, "cells": fresh}), resources)
        return {name for name, verdict in again.verdicts.items() if verdict.passed}

    def _settle(self, cell: NotebookNode, status: str | None) -> None:
        name = _grade_id(cell)
        if name in self.checks:
            self.verdicts[name] = judge(
                cell,
                expected=self.checks[name],
                status=status,
                missing=name in self.missing,
                stop=self.stop,
                timeout_s=self.timeout,
            )

    def _is_to_run(self, cell: NotebookNode) -> bool:
        return cell.cell_type == "code" and bool(cell.source.strip()) and _grade_id(cell) not in self.missing

    @contextmanager
    def _kernel(self) -> Iterator[None]:
        """Keep a watched, sandboxed kernel while the block runs; raise SandboxError if it cannot start."""
        # not in TMPDIR, which may be long: a socket's path may have 107 characters only
        folder = Path(tempfile.mkdtemp(prefix=self.prefix, dir="/tmp"))
        scratch = Path(tempfile.mkdtemp(prefix=self.prefix, dir="/tmp"))
        pid = None
        try:
            if os.geteuid() == 0:
                os.chown(folder, self.sandbox.uid, self.sandbox.uid)
            argv = kernel_argv(self.sandbox, self.warm, folder, scratch, self.limits)
            self.km = SandboxedKernelManager(argv, folder, self.sandbox.uid)
            log = scratch / "kernel.log"
            with log.open("wb") as stream:
                try:
                    self.start_new_kernel(cwd="/", env={}, stdout=stream, stderr=stream)
                    pid = self.km.pid
                    self.start_new_kernel_client()
                except (RuntimeError, TimeoutError, OSError) as error:
                    tail = log.read_text(errors="replace").strip()[-300:]
                    raise SandboxError(f"the kernel does not start in the sandbox: {error}; {tail}") from error
            if os.geteuid() == 0:  # the sockets exist; from now on the kernel can neither replace nor add a file
                os.chown(folder, 0, 0)
            self._group = control_groups.of(pid)
            self._watches = [  # an ordinary user's kernel can, within this size
                self.sandbox.watch(pid, self.limits),
                Watch(pid, lambda _: "files" if _size(folder) > _FOLDER_BYTES else None, interval_s=0.5),
            ]
            with self._watches[0], self._watches[1]:
                yield
        finally:
            if pid is not None:
                kill_tree(pid)
            if self.km is not None:
                self._cleanup_kernel()
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(scratch, ignore_errors=True)

    def _run_cells(self, nb: NotebookNode, todo: list[int]) -> None:
        for index in todo:
            try:
                self.execute_cell(nb.cells[index], index)
            except DeadKernelError:
                self.stop = self._why_dead()
            except CellTimeoutError:
                self.stop = self._why_dead(
                    Stop(
                        "kernel_unresponsive",
                        "the kernel stopped answering (a cell that ignores interrupts, or a huge output?)",
                    )
                )
            except Exception as error:  # the edge of the sandbox: a kernel can send us any nonsense
                self.log.exception("the kernel broke the protocol in cell %s", index)
                self.stop = self._why_dead(
                    Stop("kernel_protocol", f"the kernel's messages made no sense ({type(error).__name__})")
                )
            if self.stop is not None:
                return

    def _why_dead(self, otherwise: Stop | None = None) -> Stop:
        reason = next((watch.reason for watch in self._watches if watch.reason), None)
        if reason is None and self._group is not None and self._group.ran_out():
            reason = "memory"  # the system was faster than the watchdog
        messages = {
            "timeout": f"the whole notebook took longer than {self.limits.wall_s:.0f} s",
            "memory": f"the notebook used more than {self.limits.memory_bytes >> 20} MB of memory",
            "processes": f"the notebook started more than {self.limits.processes} processes",
            "files": "the notebook wrote outside of /tmp",
        }
        if reason in messages:
            return Stop(reason, messages[reason])
        return otherwise or Stop("kernel_died", "the notebook ended its own kernel (os._exit, a crash?)")

    async def _async_check_alive(self) -> None:
        if self.kc is None:  # a poller of nbclient that outlived its cell; the base class would assert
            raise DeadKernelError("the run is over")
        await super()._async_check_alive()

    def on_cell_executed(self, **details: Any) -> None:
        super().on_cell_executed(**details)
        self._status[details["cell_index"]] = str(details["execute_reply"]["content"]["status"])

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> Any:
        kind, content = msg["msg_type"], msg["content"]
        if kind.startswith("comm") or kind in ("update_display_data", "clear_output"):
            return None  # widgets and redrawing: nobody watches, and they could change other cells' outputs
        content.pop("transient", None)
        if kind in _OUTPUTS:
            before, self._left = self._left, self._left - len(str(content))
            if self._left < 0 and kind == "error" and not any(o.output_type == "error" for o in cell.outputs):
                content["traceback"] = []  # that it failed matters, how is no longer affordable
            elif self._left < 0:
                if before >= 0:
                    note = f"... output cut after {MAX_OUTPUT_BYTES} bytes\n"
                    cell.outputs.append(NotebookNode(output_type="stream", name="stdout", text=note))
                return None
        return super().process_message(msg, cell, cell_index)


def _grade_id(cell: NotebookNode) -> str:
    return str(cell.metadata.get("nbgrader", {}).get("grade_id", ""))


def _is_locked(cell: Mapping[str, Any]) -> bool:
    """Restored from the source whatever the student made of it."""
    about = cell["metadata"].get("nbgrader", {})
    return bool(about.get("locked") or about.get("grade")) and not about.get("solution")


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # it may go while we look
            total += 4096 + path.lstat().st_size
    return total
