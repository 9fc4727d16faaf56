"""Rebuild a submitted notebook from scratch before any other program reads it.

Of the student's file only the texts of the cells, their order and their grade ids are taken over: outputs,
execution counts, tags, duplicate ids, foreign metadata and kernels cannot reach nbgrader.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_BYTES = 20_000_000
MAX_CELLS = 2_000


class Refused(Exception):
    """The file is no notebook of this exercise; `code` is the reason in one word, `detail` one sentence."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail


@dataclass(frozen=True)
class Prepared:
    """A clean notebook; `missing` are the grade ids of check cells that the submission does not have."""

    notebook: dict[str, Any]
    missing: frozenset[str]
    notes: tuple[str, ...]


def prepare(content: bytes, released: Mapping[str, Any], checks: Mapping[str, str]) -> Prepared:
    """Rebuild a submission with the cell identities of the released notebook.

    Args:
        content: the submitted file.
        released: the released notebook, each cell's source one string.
        checks: grade id -> text of the check cell with its hidden tests, which is no edit either.

    Raises:
        Refused: not JSON, not nbformat 4, too large, or without any cell of this exercise.
    """
    templates = {
        cell["metadata"]["nbgrader"]["grade_id"]: cell for cell in released["cells"] if "nbgrader" in cell["metadata"]
    }
    submitted = [(cell, _grade_id(cell, templates)) for cell in _parse(content)]
    found = [name for _, name in submitted if name]
    if not found:
        raise Refused("wrong_notebook", "none of this exercise's cells is in the notebook; was it renamed?")
    cells: list[dict[str, Any]] = []
    notes = [
        f"{name} appears {found.count(name)} times, the last one counts" for name in templates if found.count(name) > 1
    ]
    for position, (cell, name) in enumerate(submitted):
        text = _text(cell)
        if name is None or name in (later for _, later in submitted[position + 1 :]):
            cells.append(_cell(cell["cell_type"], f"student-{position}", {}, text))
            continue
        template = templates[name]
        if _is_check(template) and text.split() not in (template["source"].split(), checks[name].split()):
            notes.append(f"{name} was edited and has been restored")
        cells.append(_cell(template["cell_type"], name, template["metadata"], text))
    missing = [name for name, cell in templates.items() if _is_check(cell) and name not in found]
    notes += [f"{name} is missing" for name in templates if name not in found]
    cells += [_cell("code", name, templates[name]["metadata"], templates[name]["source"]) for name in missing]
    return Prepared({**released, "cells": cells}, frozenset(missing), tuple(notes))


def nothing(released: Mapping[str, Any]) -> Prepared:
    """Stand in for a refused submission: every check cell missing, so that nbgrader records zeros."""
    checks = [cell for cell in released["cells"] if _is_check(cell)]
    cells = [_cell("code", cell["id"], cell["metadata"], cell["source"]) for cell in checks]
    return Prepared({**released, "cells": cells}, frozenset(cell["id"] for cell in checks), ())


def restore(notebook: Mapping[str, Any], restored: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Give the cells of a prepared notebook the identity, and locked ones the text, that nbgrader wants them to have.

    Args:
        restored: grade id -> cell.
    """
    cells = []
    for cell in notebook["cells"]:
        about = restored.get(cell["metadata"].get("nbgrader", {}).get("grade_id", ""))
        if about is not None:
            cell = {**cell, "metadata": json.loads(json.dumps(about["metadata"]))}
            if about["metadata"]["nbgrader"]["locked"]:
                cell["source"] = about["source"]
        cells.append(cell)
    return {**notebook, "cells": cells}


def clean_text(text: object, limit: int = 10_000_000) -> str:
    """Return a string that can be encoded as UTF-8, whatever a notebook or a kernel called a string."""
    return str(text)[:limit].encode("utf-8", "replace").decode("utf-8")


def _parse(content: bytes) -> list[dict[str, Any]]:
    if len(content) > MAX_BYTES:
        raise Refused("notebook_too_large", f"{len(content)} bytes, at most {MAX_BYTES} are graded; clear the outputs")
    try:
        document = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise Refused("notebook_not_json", f"not a Jupyter notebook: {str(error)[:200]}") from error
    version = document.get("nbformat") if isinstance(document, dict) else None
    if version != 4:
        raise Refused("notebook_format", f"nbformat is {str(version)[:20]}, expected 4; save it with a current Jupyter")
    cells = document.get("cells")
    if not isinstance(cells, list) or not all(map(_is_cell, cells)):
        raise Refused("notebook_format", "the cells of the notebook are damaged; save it with Jupyter again")
    if len(cells) > MAX_CELLS:
        raise Refused("notebook_too_large", f"{len(cells)} cells, at most {MAX_CELLS} are graded")
    return cells


def _is_cell(cell: Any) -> bool:
    if not isinstance(cell, dict) or cell.get("cell_type") not in ("code", "markdown", "raw"):
        return False
    source = cell.get("source")
    return isinstance(source, str) or (isinstance(source, list) and all(isinstance(line, str) for line in source))


def _grade_id(cell: dict[str, Any], templates: Mapping[str, Any]) -> str | None:
    metadata = cell.get("metadata")
    about = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    named = about.get("grade_id") if isinstance(about, dict) else None
    for name in (named, cell.get("id")):  # the id still tells when a tool has dropped the metadata
        if isinstance(name, str) and name in templates:
            return name
    return None


def _is_check(cell: Mapping[str, Any]) -> bool:
    about = cell["metadata"].get("nbgrader", {})
    return bool(about.get("grade")) and not about.get("solution")


def _text(cell: Mapping[str, Any]) -> str:
    return clean_text("".join(cell["source"]))


def _cell(cell_type: str, name: str, metadata: Mapping[str, Any], text: str) -> dict[str, Any]:
    cell = {"cell_type": cell_type, "id": name, "metadata": json.loads(json.dumps(metadata)), "source": text}
    return cell | ({"execution_count": None, "outputs": []} if cell_type == "code" else {})
