"""Take solutions out of source text: pure functions from text to text, strict about the markers.

Grammar, each marker alone on its line at any indentation, no nesting:

    ### BEGIN SOLUTION 04_grid_search        ### BEGIN HIDDEN TESTS
    ### END SOLUTION                         ### END HIDDEN TESTS

A comment that nearly reads like one of them is an error, because a marker that is not recognised would
publish the answer it was meant to hide.
"""

from __future__ import annotations

import ast
import difflib
import functools
import re
import warnings
from collections.abc import Collection
from dataclasses import dataclass

from autograder.course.toml_table import nearest
from autograder.errors import MarkerError

_BEGIN = re.compile(r"([ \t]*)### BEGIN SOLUTION ([0-9]{2}_[a-z0-9_]+)[ \t]*")
_STRICT = {  # line pattern -> (kind, begins a region)
    _BEGIN: ("solution", True),
    re.compile(r"[ \t]*### END SOLUTION[ \t]*"): ("solution", False),
    re.compile(r"[ \t]*### BEGIN HIDDEN TESTS[ \t]*"): ("hidden", True),
    re.compile(r"[ \t]*### END HIDDEN TESTS[ \t]*"): ("hidden", False),
}
_SPELLINGS = {
    "BEGIN SOLUTION": "### BEGIN SOLUTION NN_slug",
    "END SOLUTION": "### END SOLUTION",
    "BEGIN HIDDEN TESTS": "### BEGIN HIDDEN TESTS",
    "END HIDDEN TESTS": "### END HIDDEN TESTS",
}
_SIGNS = ("#", *_SPELLINGS)  # a line with none of them is no marker, however misspelt
_NEAR = 0.85  # similarity from which a comment counts as a misspelt marker ("BEST SOLUTION" has 0.81)


@dataclass(frozen=True)
class Region:
    """Lines `begin` to `end` (indices of the two marker lines); `exercise` is empty for hidden tests."""

    kind: str  # "solution" or "hidden"
    exercise: str
    begin: int
    end: int
    indent: str


def find_regions(text: str, *, name: str, known: Collection[str] | None = None, first_line: int = 1) -> list[Region]:
    """List the marked regions of a file or notebook cell, in order.

    Args:
        name: what to call the text in errors, usually its path.
        known: the ids that exist; None accepts any well-formed id.
        first_line: number of the text's first line in the file `name`.

    Raises:
        MarkerError: a marker is misspelt, unclosed, nested, without its BEGIN, or of an unknown exercise.
    """
    regions: list[Region] = []
    opened: Region | None = None
    for index, line in enumerate(text.split("\n")):
        where = f"{name}:{first_line + index}"
        if not any(sign in line for sign in _SIGNS):
            continue
        hit = next((meaning for pattern, meaning in _STRICT.items() if pattern.fullmatch(line)), None)
        if hit is None:
            _refuse_near_miss(line, where)
            continue
        kind, begins = hit
        if begins and opened is not None:
            raise MarkerError(
                f"{where}: {line.strip()!r} inside the region opened on line {first_line + opened.begin}; "
                "regions do not nest, close the first one"
            )
        if begins:
            match = _BEGIN.fullmatch(line)
            exercise = match.group(2) if match else ""
            if match and known is not None and exercise not in known:
                raise MarkerError(
                    f"{where}: unknown exercise {exercise!r}{nearest(exercise, known)}; ids come from the manifest"
                )
            opened = Region(kind, exercise, index, -1, line[: len(line) - len(line.lstrip())])
        elif opened is None or opened.kind != kind:
            raise MarkerError(f"{where}: {line.strip()!r} without its BEGIN; add it or delete this line")
        else:
            regions.append(Region(kind, opened.exercise, opened.begin, index, opened.indent))
            opened = None
    if opened is not None:
        raise MarkerError(f"{name}:{first_line + opened.begin}: region opened here is never closed")
    return regions


def strip_regions(
    text: str,
    *,
    from_exercise: str,
    name: str,
    known: Collection[str] | None = None,
    task: str | None = None,
) -> str:
    """Replace each solution of `from_exercise` or later by one raising line; keep earlier solutions.

    Markers of earlier exercises go, their code stays. `task` is the task id when the text is a notebook
    cell; package files (None) may have regions inside functions only, or the package could not be imported.

    Raises:
        MarkerError: bad markers (`find_regions`), or what is left is not Python.
    """
    lines: list[str | None] = list(text.split("\n"))
    owners: dict[int, str] | None = None
    regions = find_regions(text, name=name, known=known)
    if not regions and task is None:
        return text
    for region in regions:
        if region.kind == "hidden":
            raise MarkerError(f"{name}:{region.begin + 1}: hidden tests belong in a check cell of a notebook")
        lines[region.begin] = lines[region.end] = None
        if not is_open(region.exercise, from_exercise):
            continue
        owners = _function_at_line(text, name) if owners is None else owners
        owner = owners.get(region.begin + 1, "")
        if task is None and not owner:
            raise MarkerError(
                f"{name}:{region.begin + 1}: this region is not inside a function, so its stub would "
                "stop the import of the package; move the markers into the function's body"
            )
        lines[region.begin : region.end + 1] = [None] * (region.end + 1 - region.begin)
        lines[region.begin] = region.indent + _stub(region.exercise, task, owner)
    result = "\n".join(line for line in lines if line is not None)
    _parse(result, name, "after stripping; regions must enclose whole statements")
    return result


def is_open(exercise: str, from_exercise: str) -> bool:
    """Tell whether a region of `exercise` is still to be solved in the release of `from_exercise`."""
    return exercise[:2] >= from_exercise[:2]


def secret_lines(text: str, *, from_exercise: str, name: str) -> tuple[list[str], list[str]]:
    """Split a master text into lines no release may show (solutions, hidden tests) and the rest."""
    secret: set[int] = set()
    markers: set[int] = set()
    for region in find_regions(text, name=name):
        markers |= {region.begin, region.end}
        if region.kind == "hidden" or is_open(region.exercise, from_exercise):
            secret |= set(range(region.begin + 1, region.end))
    numbered = list(enumerate(text.split("\n")))
    hidden = [line for index, line in numbered if index in secret]
    return hidden, [line for index, line in numbered if index not in secret | markers]


def _stub(exercise: str, task: str | None, owner: str) -> str:
    if task is None:
        hint = f"write this part in {exercise}.ipynb"
    else:
        hint = f"write the body of {owner} here" if owner else "write your code here"
    return f'raise NotImplementedError("{exercise}, task {task or owner}: {hint}")'


def _refuse_near_miss(line: str, where: str) -> None:
    exact = next((marker for marker in _SPELLINGS if marker in line), None)  # nbgrader matches substrings
    comment = line.partition("#")[2].lstrip("#")
    marker = exact or _nearest_marker(tuple(re.findall(r"[A-Z]+", comment.upper())[:3]))
    if marker:
        raise MarkerError(f"{where}: {line.strip()!r} looks like a marker, expected {_SPELLINGS[marker]!r} alone")


@functools.cache  # a release reads every file of the package several times
def _nearest_marker(words: tuple[str, ...]) -> str | None:
    """Return the marker that the first one, two or three words of a comment nearly spell."""
    for marker in _SPELLINGS:
        for count in range(1, len(words) + 1):
            match = difflib.SequenceMatcher(None, marker, " ".join(words[:count]))
            if match.real_quick_ratio() >= _NEAR and match.quick_ratio() >= _NEAR and match.ratio() >= _NEAR:
                return marker
    return None


def _function_at_line(text: str, name: str) -> dict[int, str]:
    """Map line number -> qualified name of the innermost function whose body holds that line."""
    owners: dict[int, str] = {}

    def visit(node: ast.AST, qualified: tuple[str, ...]) -> None:
        for child in ast.iter_child_nodes(node):
            inner = qualified
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inner = (*qualified, child.name)
                is_function = not isinstance(child, ast.ClassDef)
                # comments after the last statement belong to the body too: END may be the last line
                for line in range(child.lineno + 1, (child.end_lineno or child.lineno) + 1):
                    owners[line] = ".".join(inner) if is_function else ""
            visit(child, inner)

    visit(_parse(text, name, "before stripping"), ())
    return owners


def _parse(text: str, name: str, when: str) -> ast.AST:
    # IPython's magics are not Python: each becomes a statement of the same height
    plain = re.sub(r"(?m)^([ \t]*)(%%?[A-Za-z]|!).*$", r"\1pass", text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in course text is not this module's business
            tree = ast.parse(plain, name)
            compile(tree, name, "exec")
    except SyntaxError as error:
        raise MarkerError(f"{name}:{error.lineno}: not Python {when}: {error.msg}") from error
    return tree
