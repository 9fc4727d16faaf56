"""Every case of the table of attacks has a test; `python -m pytest tests/attacks -m attack --collect-only` lists them."""

import ast
from pathlib import Path

HERE = Path(__file__).parent
CASES = {
    "4a loading": range(1, 15),
    "4b escaping or faking the score": range(15, 32),
    "4c resources": range(32, 45),
    "4d packaging": range(45, 52),
    "4e identity and display": range(52, 58),
    "4f integrity over time": range(58, 73),
    "4g notebooks": range(73, 78),
}


def covered():
    """Case number -> [(test, verdict)], read from the marks."""
    found: dict[int, list[tuple[str, str]]] = {}
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            for mark in getattr(node, "decorator_list", []):
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.attack":
                    (verdict,) = [ast.literal_eval(word.value) for word in mark.keywords if word.arg == "verdict"]
                    for number in map(ast.literal_eval, mark.args):
                        found.setdefault(number, []).append((f"{path.name}::{node.name}", verdict))
    return found


def test_all_77_cases_have_a_test_with_a_verdict():
    found = covered()
    assert [number for part in CASES.values() for number in part] == list(range(1, 78))
    assert sorted(set(range(1, 78)) - set(found)) == [], "cases without a test"
    assert sorted(number for number in set(found) - set(range(1, 78)) if number < 100) == [], "numbers that are no case"
    assert all(
        name.partition("::")[2].startswith("test_") and verdict for rows in found.values() for name, verdict in rows
    )
