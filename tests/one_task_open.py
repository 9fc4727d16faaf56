"""Run an exercise's task and check cells once per task, each time with that one task left open.

    python -P tests/one_task_open.py cells.json      (started by `python -m autograder check` with the stripped package)

cells.json is a list of {"kind": "task" | "check" | "", "id", "text", "stub"}; printed is one JSON object per run:
{"open": task or null, "checks": {id: {"error", "message", "seconds"}}, "cells": {id: "Error: text"}}.

Check cells depend only on task cells and on what these need, so the long free cells (training, plots) are left out.
Everything runs in one process; for each task it forks where the task's cell stands, and the child goes on with the stub:
no cell runs twice that has not changed.
"""

import ast
import builtins
import contextlib
import json
import os
import re
import sys
import time
from typing import Any

FREE_TO_FAIL = (NotImplementedError, NameError)  # what a free cell may meet when a task before it is open


def names(text: str) -> tuple[set[str], set[str], bool]:
    """Return the names that a cell binds and uses anywhere in it, and whether it imports something."""
    tree = ast.parse(re.sub(r"(?m)^([ \t]*)(%%?[A-Za-z]|!).*$", r"\1pass", text))
    binds, uses, imports = set(), set(), False
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (uses if isinstance(node.ctx, ast.Load) else binds).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            binds.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            imports = True
            binds |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(node.ctx, ast.Load):
            inner: ast.expr = node
            while isinstance(inner, ast.Subscript | ast.Attribute):
                inner = inner.value
            binds |= {inner.id} if isinstance(inner, ast.Name) else set()
    return binds, uses - set(dir(builtins)), imports


def needed(cells: list[dict[str, str]]) -> list[dict[str, str]]:
    """Keep task and check cells, cells that import, and the free cells whose names they need."""
    wanted: set[str] = set()
    kept: list[dict[str, str]] = []
    for cell in reversed(cells):
        binds, uses, imports = names(cell["text"])
        if cell["kind"] or imports or binds & wanted:
            wanted |= uses
            kept.append(cell)
    return kept[::-1]


class Run:
    """One pass over the cells in one namespace; `done` collects what became of them."""

    def __init__(self, cells: list[dict[str, str]]):
        self.cells = cells
        self.namespace: dict[str, Any] = {"__name__": "__main__", "display": print, "get_ipython": lambda: None}
        self.done: dict[str, Any] = {"open": None, "checks": {}, "cells": {}}

    def all(self) -> list[dict[str, Any]]:
        """Run everything solved, and in children once more with each task left open."""
        others = []
        for position, cell in enumerate(self.cells):
            if cell["kind"] == "task":
                others.append(self._in_a_child(position))
            self._one(cell, cell["text"])
        return [self.done, *others]

    def _in_a_child(self, position: int) -> dict[str, Any]:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(reading)
                self.done["open"] = self.cells[position]["id"]
                self._one(self.cells[position], self.cells[position]["stub"])
                for cell in self.cells[position + 1 :]:
                    self._one(cell, cell["text"])
                with os.fdopen(writing, "w") as stream:
                    json.dump(self.done, stream)
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as stream:
            text = stream.read()
        os.waitpid(child, 0)
        return json.loads(text) if text else {"open": self.cells[position]["id"], "crashed": True}

    def _one(self, cell: dict[str, str], text: str) -> None:
        code = re.sub(r"(?m)^([ \t]*)(%%?[A-Za-z]|!).*$", r"\1pass", text)
        error, start = None, time.perf_counter()
        try:
            exec(compile(code, f"<{cell['id']}>", "exec"), self.namespace)
        except (Exception, SystemExit) as caught:
            error = caught
        if cell["kind"] == "check":
            self.done["checks"][cell["id"]] = {
                "error": type(error).__name__ if error else "",
                "message": str(error) if error else "",
                "seconds": round(time.perf_counter() - start, 2),
            }
        elif error is not None and (cell["kind"] == "task" or not isinstance(error, FREE_TO_FAIL)):
            self.done["cells"][cell["id"]] = f"{type(error).__name__}: {error}"


def main(path: str) -> int:
    """Run the cells of a file and print one JSON object per run."""
    with open(path, encoding="utf-8") as stream:
        cells = json.load(stream)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        runs = Run(needed(cells)).all()
    for run in runs:
        print(json.dumps(run))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
