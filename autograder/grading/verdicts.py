"""Decide on a check cell from what the kernel reported, and bring untrusted outputs into a safe form."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from nbformat import NotebookNode

from autograder.grading.sanitise import clean_text

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class Stop:
    """Why the rest of the notebook did not run."""

    code: str  # "timeout", "memory", "kernel_died", "kernel_unresponsive", ...
    message: str


@dataclass(frozen=True)
class Verdict:
    """What became of one check cell: `ran` to its end (right or wrong), `passed`, and why not."""

    passed: bool
    ran: bool
    message: str


def judge(
    cell: NotebookNode, *, expected: str, status: str | None, missing: bool, stop: Stop | None, timeout_s: int
) -> Verdict:
    """Decide on one check cell after the run.

    It passes when it ran, the kernel replied "ok", it shows no error and its text is the one of the source
    notebook. What it printed, warned about or returned plays no part.

    Args:
        expected: text of the check cell in the source notebook.
        status: the kernel's reply for this cell, None when the cell did not run to its end.
        missing: the submission does not have this cell.
        stop: why the run ended early, if it did.
    """
    errors = [output for output in cell.outputs if output.output_type == "error"]
    if missing:
        return Verdict(False, False, "cell missing: take it from the released notebook and hand in again")
    if cell.source != expected:
        return Verdict(False, False, "the check cell could not be restored")
    if status is None:
        return Verdict(False, False, f"not run: {stop.message if stop else 'the cell is empty'}")
    if errors and errors[-1].ename == "CellTimeoutError":
        return Verdict(False, True, f"the check took longer than {timeout_s} s (an endless loop?)")
    if errors:
        return Verdict(False, True, one_line(f"{errors[-1].ename}: {errors[-1].evalue}"))
    if status != "ok":
        return Verdict(False, True, "the check did not end well")
    return Verdict(True, True, "passed")


def align_with_nbgrader(cell: NotebookNode, verdict: Verdict) -> None:
    """Change the outputs of a judged cell so that nbgrader's own rule comes to the same points.

    nbgrader gives full points to a cell that never ran and to one that returns nan, none to one with a
    warning on stderr, and stops at one that returns more than its points.
    """
    for output in cell.outputs:
        if output.output_type == "execute_result":
            output.output_type = "display_data"
            del output["execution_count"]
    if not verdict.passed:
        if not any(output.output_type == "error" for output in cell.outputs):
            cell.outputs.append(
                NotebookNode(output_type="error", ename="Check", evalue=verdict.message, traceback=[verdict.message])
            )
        return
    for output in cell.outputs:
        if output.output_type == "stream":
            output.name = "stdout"


def one_line(text: str, limit: int = 300) -> str:
    """Return printable text on one line, without terminal colours; students choose what it says."""
    plain = " ".join(_ANSI.sub("", text).split())
    return "".join(char if char.isprintable() else "?" for char in plain)[:limit]


def rebuilt_outputs(outputs: list[Any]) -> list[NotebookNode]:
    """Copy outputs field by field with the types that nbformat demands."""
    rebuilt = []
    for output in outputs:
        kind = output.get("output_type")
        if kind == "stream":
            name = "stderr" if output.get("name") == "stderr" else "stdout"
            rebuilt.append(NotebookNode(output_type=kind, name=name, text=clean_text(output.get("text"))))
        elif kind == "error":
            lines = output.get("traceback")
            rebuilt.append(
                NotebookNode(
                    output_type=kind,
                    ename=clean_text(output.get("ename"), 1000),
                    evalue=clean_text(output.get("evalue"), 10_000),
                    traceback=[clean_text(line, 20_000) for line in (lines if isinstance(lines, list) else [])[:200]],
                )
            )
        elif kind in ("display_data", "execute_result"):
            data = output.get("data")
            bundle = {
                clean_text(mime, 100): clean_text(text)
                for mime, text in (data if isinstance(data, dict) else {}).items()
                if isinstance(text, str) and re.fullmatch(r"(text|image)/[\w.+-]+", mime)
            }
            result = NotebookNode(output_type=kind, data=NotebookNode(bundle), metadata=NotebookNode())
            if kind == "execute_result":
                result.execution_count = None
            rebuilt.append(result)
    return rebuilt
