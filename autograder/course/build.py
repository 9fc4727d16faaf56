"""Build the solved nbgrader source notebook of an exercise from its percent file and the package.

A cell's header says what it is: `# %% task="tanh" source="exercise_code.networks.layer:Tanh"` (solution cell,
text pulled from the package by parsing, never by importing), `# %% check="tanh"` (locked test cell),
`# %% [markdown] question="why"` (answer cell graded by hand; its text is the model answer, which the release
takes out; the question itself stands in the cell above),
`# %% locked="setup"` (read-only code without points). Any other cell is the student's to edit.
The same sources give the same bytes.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autograder.course.manifest import PACKAGE, TASK_ID, Course, Exercise
from autograder.course.strip import find_regions
from autograder.course.toml_table import nearest
from autograder.errors import ManifestError, MarkerError

_KINDS = ("task", "check", "question", "locked")
_HEADER_KEYS = {*_KINDS, "source", "tags"}
_FROM_JUPYTEXT = {"title", "lines_to_next_cell"}  # a free-text header and a spacing note, not shown to anyone
_CELL_START = re.compile(r"#\s*%%(\s|$)")


@dataclass(frozen=True)
class SourceCell:
    """One parsed cell; `kind` is task, check, question, locked or empty; `line` is where its text starts."""

    cell_type: str
    kind: str
    id: str
    text: str
    line: int
    pulls: tuple[str, ...] = field(default=())


def grade_id(kind: str, cell_id: str) -> str:
    """Return the nbgrader grade id, which is also the notebook cell's id: `check_tanh`."""
    return f"{kind}_{cell_id}"


def notebook_source(course: Course, exercise: Exercise) -> Path:
    """Return the percent file of an exercise."""
    return course.path.parent / exercise.id / f"{exercise.id}.py"


def build(course: Course, exercise_id: str, course_dir: Path) -> Path:
    """Write `<course_dir>/source/NN_slug/NN_slug.ipynb` (solved) and return its path.

    Raises:
        ManifestError: the notebook's tasks and checks are not those of the manifest, or a header is wrong.
        MarkerError: a marker is wrong, or a task cell has nothing to strip.
    """
    exercise = course.exercise(exercise_id)
    folder = Path(course_dir) / "source" / exercise.id
    notebook = build_notebook(course, exercise)
    images = notebook_source(course, exercise).parent / "images"
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    if images.is_dir():
        shutil.copytree(images, folder / "images")
    target = folder / exercise.notebook
    target.write_bytes(notebook_bytes(notebook))
    return target


def notebook_bytes(notebook: dict[str, Any]) -> bytes:
    """Return the one spelling of a notebook in bytes: sorted keys, texts as lists of lines, UTF-8."""
    cells = [{**cell, "source": cell["source"].splitlines(keepends=True)} for cell in notebook["cells"]]
    notebook = {**notebook, "cells": cells}
    return (json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode("utf-8")


def read_notebook(content: bytes) -> dict[str, Any]:
    """Parse a notebook that we wrote; the inverse of `notebook_bytes`, each text one string again."""
    notebook = json.loads(content)
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
    return notebook


def build_notebook(course: Course, exercise: Exercise) -> dict[str, Any]:
    """Return the solved notebook as nbformat 4.5 data with nbgrader metadata (schema 3)."""
    path = notebook_source(course, exercise)
    cells = read_cells(path)
    _compare_with_manifest(path, exercise, cells)
    points = {part.id: part.points for part in exercise.graded}
    used: set[str] = set()
    built = []
    for cell in cells:
        text = _with_pulled_source(course, cell, path)
        _check_markers(course, exercise, cell, text, path)
        metadata: dict[str, Any] = {}
        if cell.kind:
            name = grade_id(cell.kind, cell.id)
            metadata["nbgrader"] = _nbgrader_metadata(cell.kind, name, points.get(cell.id, 0))
        else:  # named after its text, so that inserting a cell renames no other
            name = f"{cell.cell_type}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
            name += f"-{1 + sum(other.startswith(name) for other in used)}" if name in used else ""
        used.add(name)
        entry: dict[str, Any] = {
            "cell_type": cell.cell_type,
            "id": name,
            "metadata": metadata,
            "source": text,
        }
        if cell.cell_type == "code":
            entry |= {"execution_count": None, "outputs": []}
        built.append(entry)
    return {
        "cells": built,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def read_cells(path: Path) -> list[SourceCell]:
    """Parse a percent file.

    Raises:
        ManifestError: no such file, or a cell header that is not understood.
    """
    import jupytext  # half a second, and only the build needs it

    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"cannot read the notebook source {path}: {error}") from error
    parsed = jupytext.reads(content, fmt="py:percent").cells
    starts = _first_lines(content, len(parsed))
    return [_source_cell(cell, path, line) for cell, line in zip(parsed, starts, strict=True)]


def _first_lines(content: str, count: int) -> list[int]:
    lines = content.split("\n")
    headers = [index for index, line in enumerate(lines) if _CELL_START.match(line)]
    if len(headers) != count:  # text before the first header; errors then point at the file's start
        return [1] * count
    firsts = []
    for header in headers:
        first = header + 1
        while first < len(lines) and not lines[first].strip():
            first += 1
        firsts.append(first + 1)
    return firsts


def _source_cell(cell: Any, path: Path, line: int) -> SourceCell:
    where = f"{path}:{line}"
    keys = {key: value for key, value in cell.metadata.items() if key not in _FROM_JUPYTEXT}
    for key in keys:
        if key not in _HEADER_KEYS:
            raise ManifestError(f"{where}: unknown cell header key {key!r}{nearest(key, _HEADER_KEYS)}")
    kinds = [kind for kind in _KINDS if kind in keys]
    if len(kinds) > 1:
        raise ManifestError(f"{where}: a cell is either {kinds[0]} or {kinds[1]}, not both")
    kind = kinds[0] if kinds else ""
    cell_id = keys.get(kind, "")
    if kind and not (isinstance(cell_id, str) and TASK_ID.fullmatch(cell_id)):
        raise ManifestError(f'{where}: {kind}={cell_id!r}, expected a name like {kind}="tanh"')
    wanted = "markdown" if kind == "question" else "code"
    if cell.cell_type == "raw" or (kind and cell.cell_type != wanted):
        spelt = f"; write # %% [markdown] question={cell_id!r}" if kind == "question" else ""
        raise ManifestError(f"{where}: a {cell.cell_type} cell here, expected {wanted}{spelt}")
    source = keys.get("source", "")
    pulls = tuple(name.strip() for name in str(source).split(",") if name.strip())
    if pulls and kind != "task":
        raise ManifestError(f"{where}: source= belongs to a task cell only")
    return SourceCell(cell.cell_type, kind, cell_id, cell.source, line, pulls)


def _compare_with_manifest(path: Path, exercise: Exercise, cells: list[SourceCell]) -> None:
    order = [(cell.kind, cell.id) for cell in cells if cell.kind]
    for kind, cell_id in order:
        if order.count((kind, cell_id)) > 1:
            raise ManifestError(f"{path}: {kind} {cell_id!r} appears more than once")
    wanted = {
        "check": [task.id for task in exercise.tasks],
        "question": [question.id for question in exercise.questions],
    }
    for kind, cell_id in order:
        known = wanted.get("check" if kind == "task" else kind, [cell_id])
        if cell_id not in known:
            what = "a question" if kind == "question" else "a task"
            raise ManifestError(f"{path}: {cell_id!r} is not {what} of {exercise.id}{nearest(cell_id, known)}")
    for kind, ids in wanted.items():
        for cell_id in ids:
            if (kind, cell_id) not in order:
                what = "question" if kind == "question" else "task"
                raise ManifestError(f"{path}: {what} {cell_id!r} of the manifest needs a {kind} cell, there is none")
    for cell_id in wanted["check"]:
        if ("task", cell_id) not in order:
            raise ManifestError(f"{path}: check {cell_id!r} has no task cell of that name")
        if order.index(("task", cell_id)) > order.index(("check", cell_id)):
            raise ManifestError(f"{path}: check {cell_id!r} stands before its task cell")


def _check_markers(course: Course, exercise: Exercise, cell: SourceCell, text: str, path: Path) -> None:
    if not cell.pulls:
        regions = find_regions(text, name=str(path), known=course.ids, first_line=cell.line)
    else:  # the package file was checked with its own line numbers when the text was pulled
        regions = find_regions(text, name=f"{path}: cell {grade_id(cell.kind, cell.id)}", known=course.ids)
    where = f"{path}:{cell.line}"
    for region in regions:
        allowed = {"solution": ("task",), "hidden": ("check",)}[region.kind]
        if cell.kind not in allowed:
            raise MarkerError(f"{where}: a {region.kind} region here, it belongs in a {allowed[0]} cell")
    if cell.kind == "task" and not any(region.exercise == exercise.id for region in regions):
        raise MarkerError(
            f"{where}: task cell {cell.id!r} has no '### BEGIN SOLUTION {exercise.id}' region, "
            "so nothing would be left to solve"
        )


def _nbgrader_metadata(kind: str, name: str, points: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "grade": kind in ("check", "question"),
        "grade_id": name,
        "locked": kind in ("check", "locked"),
        "schema_version": 3,
        "solution": kind in ("task", "question"),
        "task": False,
    }
    if metadata["grade"]:
        metadata["points"] = points
    return metadata


def _with_pulled_source(course: Course, cell: SourceCell, path: Path) -> str:
    pieces = [_pull(course, name, f"{path}:{cell.line}") for name in cell.pulls]
    return "\n\n\n".join([*pieces, cell.text] if cell.text.strip() else pieces) if pieces else cell.text


def _pull(course: Course, reference: str, where: str) -> str:
    """Return the text of `pkg.module:Name` with its decorators and its trailing END marker."""
    module, _, name = reference.partition(":")
    base = course.root.joinpath(*module.split("."))
    path = next((file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()), None)
    if module.split(".")[0] != PACKAGE or path is None or not name:
        raise ManifestError(f'{where}: source={reference!r} not found, expected "{PACKAGE}.module:Name"')
    text = path.read_text(encoding="utf-8")
    find_regions(text, name=str(path), known=course.ids)
    try:
        body = ast.parse(text, str(path)).body
    except SyntaxError as error:
        raise MarkerError(f"{path}:{error.lineno}: not Python: {error.msg}") from error
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    nodes = {node.name: node for node in body if isinstance(node, kinds)}
    if name not in nodes:
        raise ManifestError(f"{where}: no class or function {name!r} in {path}{nearest(name, nodes)}")
    node = nodes[name]
    lines = text.split("\n")
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
    last = end = node.end_lineno or node.lineno
    while end < len(lines) and (not lines[end].strip() or re.match(r"[ \t]+#", lines[end])):
        end += 1  # an END marker after the last statement is a comment, which the tree does not hold
        last = end if lines[end - 1].strip() else last
    return "\n".join(lines[first:last])
