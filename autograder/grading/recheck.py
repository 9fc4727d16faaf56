"""A second look at a notebook whose checks passed: would they have passed for an answer that is wrong by construction?

Checks run beside the student's code, in one process, and whoever shares a process with a check can change it. So no
pass can be proved; but a check that was replaced, silenced or deceived as a whole can be shown to accept nonsense.
`reasons` finds, without running anything, what could reach a check from a cell; only then is the whole notebook run
again, in kernels of their own, with decoys in place of the answers: first the released stubs, put before each check,
which no check may accept; then the student's own cells with the answers returning something else of the same kind,
which a check that reads answers cannot accept, but one that looks at what they changed may, so that this is for a
person to judge.

What remains: code that fools a check for its own answer only, and an object that claims to be equal to anything (the
decoys do not return it; `reasons` names it for a person). Points from notebooks are low stakes; models are scored apart.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MAX_CELL = 200_000
_MAGIC = re.compile(r"^[ \t]*(?:%[%a-zA-Z].*|[!?].*|[\w.%]+\?{1,2}[ \t]*)$", re.MULTILINE)
_HARMLESS_MAGIC = re.compile(r"\s*%{1,2}(?:matplotlib|time|timeit|capture|autoreload|load_ext\s+autoreload|config)\b.*")
_REACHES_OUT = _names(
    "get_ipython __builtins__ builtins globals vars setattr delattr exec eval compile __import__ importlib "
    "ctypes gc inspect atexit threading signal subprocess multiprocessing socket types unittest mock pickle "
    "asyncio faulthandler zmq ipykernel IPython _getframe modules settrace setprofile system fork kill popen "
    "execv _exit meta_path path_hooks settrace displayhook excepthook unraisablehook showtraceback do_execute "
)
_METHODS_TOO = _names("eval exec compile modules types signal system")  # as in model.eval(), re.compile()
_USUAL = _names(
    "__init__ __name__ __call__ __len__ __getitem__ __setitem__ __iter__ __next__ __repr__ __str__ __file__ "
    "__version__ __enter__ __exit__ __doc__ __post_init__ __contains__ __main__ "
)
# what checks compare with; nobody has to assign to these
_COMPARES = re.compile(r"check|.*close|.*equal|assert.*|is(?:finite|nan|instance)|testing|raises")
_BUILTINS = frozenset(dir(builtins))


def reasons(cells: Iterable[str], used_by_checks: Iterable[str]) -> tuple[str, ...]:
    """What in these cells could reach the checks, in words, each once; empty for ordinary code.

    Args:
        cells: the texts of all code cells that the student may have changed.
        used_by_checks: the texts of the check cells and of the locked cells.
    """
    names = frozenset(name for text in used_by_checks for name in re.findall(r"[A-Za-z_]\w*", text))
    found: dict[str, None] = {}
    for text in cells:
        for magic in _MAGIC.findall(text):
            if not _HARMLESS_MAGIC.fullmatch(magic):
                found["a magic command or a shell command"] = None
        tree = _parse(text)
        if tree is None:
            if text.strip():
                found["a cell that is no plain Python"] = None
            continue
        found |= dict.fromkeys(_of_tree(tree, names))
    return tuple(found)


def _of_tree(tree: ast.Module, used: frozenset[str]) -> Iterator[str]:
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            imported |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
            if isinstance(node, ast.ImportFrom) and node.module == "IPython.display":
                continue
            parts = [part for alias in node.names for part in alias.name.split(".")]
            parts += (node.module or "").split(".") if isinstance(node, ast.ImportFrom) else []
            yield from (f"imports {part}" for part in parts if part in _REACHES_OUT)
    yield from (
        f"defines {name}, which the checks use" for name in _bound(tree.body) if name in used & _shared(imported)
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            method = isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("sys", "os", "signal")
            named = name in _REACHES_OUT and not (method and name in _METHODS_TOO)
            if named or (_is_dunder(name) and name not in _USUAL):
                yield f"uses {name}"
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _is_dunder(node.name):
            if node.name not in _USUAL:
                yield f"defines {node.name}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if _is_dunder(node.value) and node.value not in _USUAL:
                yield f"names {node.value}"
        elif isinstance(node, ast.Call):
            modules = {value.id for value in node.args if isinstance(value, ast.Name)} & imported
            yield from (f"passes {name} to a function" for name in sorted(modules) if name in ("np", "numpy", "math"))
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            root = node.value
            while isinstance(root, ast.Attribute | ast.Subscript):
                root = root.value
            owner = root.id if isinstance(root, ast.Name) else ""
            if owner in imported or (owner not in ("self", "cls") and _COMPARES.fullmatch(node.attr)):
                yield f"assigns to .{node.attr}"


def _shared(imported: set[str]) -> frozenset[str]:
    """Names that are nobody's answer: builtins, what was imported, and the checks' own."""
    return _BUILTINS | imported | {"check", "hint", "np", "math", "torch", "exercise_code"}


def _bound(body: list[ast.stmt]) -> Iterator[str]:
    """Names that these statements define, not looking into functions and classes."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
            continue
        for child in ast.walk(node):
            if isinstance(child, ast.Name) and not isinstance(child.ctx, ast.Load):
                yield child.id


def _is_dunder(name: str) -> bool:
    return len(name) > 4 and name.startswith("__") and name.endswith("__")


_SPOIL = """
def _spoilt_(value):
    kind = type(value)
    if kind in (tuple, list):
        return kind(map(_spoilt_, value))
    if kind is dict:
        return {name: _spoilt_(each) for name, each in value.items()}
    if kind in (bool, str):
        return not value if kind is bool else value + "?"
    try:
        return value * 1.37 + 0.41
    except Exception:
        return None
"""


def spoilt(text: str, answers: frozenset[str]) -> str | None:
    """The cell with its answers returning other values of the same kind; None where there is nothing to change or it
    cannot be read.

    Args:
        answers: names of the functions and classes that are asked for; what else the cell defines stays as it is.
    """
    tree = _parse(text)
    if tree is None:
        return None
    changes = _Spoil()
    try:
        tree.body = [changes.visit(node) if answers & set(_bound([node])) else node for node in tree.body]
        changed = ast.unparse(ast.fix_missing_locations(tree))
    except (RecursionError, ValueError):
        return None
    return f"{_SPOIL}\n{changed}" if changes.count else None


class _Spoil(ast.NodeTransformer):
    def __init__(self) -> None:
        self.count = 0

    def _other(self, value: ast.expr) -> ast.expr:
        self.count += 1
        return ast.Call(ast.Name("_spoilt_", ast.Load()), [value], [])

    def visit_Return(self, node: ast.Return) -> ast.AST:
        self.generic_visit(node)
        if node.value is not None:
            node.value = self._other(node.value)
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self.generic_visit(node)
        node.body = self._other(node.body)
        return node

    def visit_Yield(self, node: ast.Yield) -> ast.AST:
        self.generic_visit(node)
        if node.value is not None:
            node.value = self._other(node.value)
        return node


def with_stubs(cells: list[dict[str, Any]], stubs: Mapping[str, str]) -> list[dict[str, Any]]:
    """Copies of the cells with the released stub once more before each check, so that whatever the notebook did to the
    check stays and the answer is gone.

    Args:
        stubs: grade id of each check cell -> text of its task's cell in the released notebook.
    """
    decoys: list[dict[str, Any]] = []
    for cell in cells:
        name = _name(cell)
        if name in stubs:
            decoys.append({**cell, "id": f"decoy-{len(decoys)}", "metadata": {}, "source": stubs[name], "outputs": []})
        decoys.append(dict(cell))
    return decoys


def with_spoilt(
    cells: list[dict[str, Any]], stubs: Mapping[str, str], own: Callable[[dict[str, Any]], bool]
) -> list[dict[str, Any]] | None:
    """Copies of the cells, the answers in the student's `own` ones spoilt; None when that changes nothing."""
    trees = [_parse(text) for text in stubs.values()]
    answers = frozenset(name for tree in trees if tree is not None for name in _bound(tree.body))
    decoys, changed = [], False
    for cell in cells:
        text = spoilt(cell["source"], answers) if cell["cell_type"] == "code" and own(cell) else None
        changed = changed or text is not None
        decoys.append(dict(cell) if text is None else {**cell, "source": text})
    return decoys if changed else None


def _name(cell: Mapping[str, Any]) -> str:
    return cell.get("metadata", {}).get("nbgrader", {}).get("grade_id", "")


def _parse(text: str) -> ast.Module | None:
    if len(text) > _MAX_CELL:
        return None
    try:
        return ast.parse(_MAGIC.sub("", text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
