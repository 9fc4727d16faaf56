"""The leaderboard stands alone, and importing it starts nothing heavy."""

import ast
import re
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "leaderboard"


def imported_names(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: absolute imports keep this test honest"
            yield node.module
        elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in (
            "__import__",
            "import_module",
        ):
            raise AssertionError(f"{path.name}: an import this test cannot see")


def test_leaderboard_imports_neither_autograder_nor_exercise_code():
    modules = sorted(PACKAGE.rglob("*.py"))
    assert len(modules) >= 7
    tops = {name.split(".")[0] for path in modules for name in imported_names(path)}
    assert not tops & {"autograder", "exercise_code"}
    assert not tops & {"torch", "numpy", "sqlite3", "nbgrader"}


def test_templates_never_switch_autoescape_off():
    templates = sorted((PACKAGE / "templates").glob("*.html"))
    assert templates
    for path in templates:
        text = path.read_text(encoding="utf-8")
        for word in ("|safe", "| safe", "autoescape", "style=", "onclick"):
            assert word not in text, path.name
        assert text.count("<script") == len(re.findall(r'<script src="[^"]*assets/\w+\.js" defer></script>', text))


def test_scripts_write_text_and_never_markup():
    for path in sorted((PACKAGE / "assets").glob("*.js")):
        text = path.read_text(encoding="utf-8")
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "http:"):
            assert word not in text, path.name
