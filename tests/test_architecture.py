"""Walks every import and call of the three packages and keeps the rules of the house (see CONTRIBUTING).

1. `exercise_code` imports neither of the others; heavy libraries only inside functions.
2. `autograder` reads course code as text: it never imports, unpickles or executes a submission.
3. Only `sandbox.py` starts untrusted code, only `gradebook.py` opens a database, `leaderboard` stands alone.
4. Hidden labels are read in `hidden_set.py` and counted in `score.py`, nowhere else.
"""

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {
    "torch",
    "torchvision",
    "matplotlib",
    "hyperopt",
    "distributed",
    "optuna",
    "pandas",
    "sklearn",
    "pooch",
    "onnx",
    "onnxruntime",
    "onnxscript",
}
DATABASES = {"sqlite3", "sqlalchemy", "dbm", "nbgrader.api"}
UNPICKLERS = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "torch"}
STARTERS = {
    "subprocess",
    "multiprocessing",
    "pty",
    "concurrent.futures.process",
    "concurrent.futures.ProcessPoolExecutor",
    "asyncio.subprocess",
    "pexpect",
}
OS_STARTERS = ("system", "popen", "fork", "forkpty", "exec", "spawn", "posix_spawn")
KERNELS = {"jupyter_client", "nbclient", "nbconvert", "papermill", "ipykernel"}

SANDBOX = {
    "autograder/grading/sandbox.py",
    "autograder/grading/supervise.py",  # the door and its watchman
    "autograder/grading/judge_server.py",  # starts what sandbox.command() says
    "autograder/grading/judge_server_inside.py",  # runs only in the sandbox
}
KERNEL_MODULES = {
    "autograder/grading/kernel.py",
    "autograder/grading/execute.py",
    "autograder/grading/kernel_inside.py",  # runs only in the sandbox
}  # argv comes from the sandbox
STARTS_OUR_OWN_PROGRAMS = {
    "autograder/grading/runtime.py": "asks bwrap for its options",
    "autograder/grading/hidden_place.py": "asks git whether a folder is ignored",
    "autograder/grading/hidden_set.py": "python -m exercise_code.data.pack of this checkout",
    "autograder/course/gate/programs.py": "catalogues and one-task-open runs of this checkout, the gate's own workers",
    "autograder/demo/stage.py": "plays the students of the demo with programs of this checkout",
    "leaderboard/writing.py": "a copy of itself that writes the pages of users; answers with their names",
}


@dataclass(frozen=True)
class Use:
    """One import (dotted name) or call in a file; `inside` says that it is in a function."""

    file: str
    line: int
    name: str
    inside: bool


def sources(package):
    found = sorted((ROOT / package).rglob("*.py"))
    assert found, f"nothing to look at in {package}"
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in found}


def uses(file, text):
    """(imports, calls); an import of the form `from a import b` counts as `a` and as `a.b`."""
    imports, calls = [], []

    def walk(node, inside, guarded):
        for child in ast.iter_child_nodes(node):
            deeper = inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            typing_only = guarded or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
            names = []
            if isinstance(child, ast.Import):
                names = [alias.name for alias in child.names]
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    package = file.removesuffix(".py").split("/")[: -child.level]
                    base = ".".join([*package, *filter(None, [base])])
                names = [base, *(f"{base}.{alias.name}" for alias in child.names)]
            elif isinstance(child, ast.Call):
                calls.append((Use(file, child.lineno, ast.unparse(child.func), inside), child))
            if not guarded:
                imports.extend(Use(file, child.lineno, name, inside) for name in names)
            walk(child, deeper, typing_only)

    walk(ast.parse(text), False, False)
    return imports, calls


def is_of(name, modules):
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def imports_of(files, modules, *, allowed=()):
    """Imports of any of `modules` in files that are not allowed to, as readable lines."""
    return [
        f"{use.file}:{use.line} imports {use.name}"
        for file, text in files.items()
        if file not in allowed
        for use in uses(file, text)[0]
        if is_of(use.name, modules)
    ]


def process_starts(files, *, allowed=()):
    found = imports_of(files, STARTERS, allowed=allowed)
    for file, text in files.items():
        for use, _ in uses(file, text)[1] if file not in allowed else []:
            owner, _, name = use.name.rpartition(".")
            if owner == "os" and name.startswith(OS_STARTERS):
                found.append(f"{file}:{use.line} calls {use.name}")
            if name in ("ProcessPoolExecutor", "create_subprocess_exec", "create_subprocess_shell"):
                found.append(f"{file}:{use.line} calls {use.name}")
    return found


def executions(files):
    """Code made from text, imports by name, and NumPy files that could hold pickles."""
    found = []
    for file, text in files.items():
        for use, call in uses(file, text)[1]:
            owner, _, name = use.name.rpartition(".")
            if use.name in ("exec", "eval", "__import__", "builtins.exec", "builtins.eval"):
                found.append(f"{file}:{use.line} calls {use.name}")
            if name in ("import_module", "run_path", "run_module", "exec_module", "spec_from_file_location"):
                found.append(f"{file}:{use.line} calls {use.name}")
            if owner in ("np", "numpy") and name == "load":
                given = {word.arg: ast.unparse(word.value) for word in call.keywords}
                if given.get("allow_pickle") != "False":
                    found.append(f"{file}:{use.line} calls {use.name} without allow_pickle=False")
            if use.name == "compile" and (len(call.args) < 3 or ast.unparse(call.args[2]) != "'exec'"):
                found.append(f"{file}:{use.line} calls compile")
    return found


def mentions(files, word, *, allowed):
    return [file for file, text in files.items() if word in text and file not in allowed]


def test_the_student_package_imports_neither_of_the_others():
    assert imports_of(sources("exercise_code"), {"autograder", "leaderboard"}) == []


def test_the_leaderboard_imports_neither_of_the_others_and_no_database():
    assert imports_of(sources("leaderboard"), {"autograder", "exercise_code", "nbgrader", *DATABASES}) == []


def test_the_autograder_imports_nothing_of_the_student_package_but_the_executor():
    found = imports_of(sources("autograder"), {"exercise_code"})
    assert [line for line in found if not is_of(line.split()[-1], {"exercise_code.jobs"})] == []


# A scikit-learn estimator has to inherit from scikit-learn; nothing else of the package imports this module.
MAY_LOAD_SKLEARN = "exercise_code/estimator.py"
# The PyTorch labs; the rest of the package imports them inside functions only.
LABS = "exercise_code/labs/"


def test_heavy_libraries_are_imported_only_inside_functions_of_the_student_package():
    at_top = [
        f"{use.file}:{use.line} {use.name}"
        for file, text in sources("exercise_code").items()
        for use in uses(file, text)[0]
        if is_of(use.name, HEAVY)
        and not use.inside
        and not (file == MAY_LOAD_SKLEARN and is_of(use.name, {"sklearn"}))
        and not (file.startswith(LABS) and is_of(use.name, {"torch"}))
    ]
    assert at_top == []


def test_importing_every_module_of_the_student_package_loads_no_heavy_library():
    modules = [
        file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for file in sources("exercise_code")
        if not file.endswith("__main__.py") and file != MAY_LOAD_SKLEARN and not file.startswith(LABS)
    ]
    code = f"import sys, {', '.join(modules)}\nprint(sorted(set(sys.modules) & {HEAVY!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_only_the_sandbox_starts_processes_apart_from_named_programs_of_ours():
    files = sources("autograder") | sources("leaderboard")
    assert process_starts(files, allowed={*SANDBOX, *STARTS_OUR_OWN_PROGRAMS}) == []
    assert set(STARTS_OUR_OWN_PROGRAMS) <= set(files), "a file of the list is gone; take it off"


def test_only_the_kernel_modules_can_start_a_kernel():
    found = imports_of(sources("autograder"), KERNELS, allowed=KERNEL_MODULES)
    assert found == []


def test_only_the_gradebook_opens_a_database():
    files = sources("autograder") | sources("leaderboard") | sources("exercise_code")
    ours = {"autograder/records/gradebook.py", "autograder/records/rows.py"}
    nbgraders = {"autograder/records/nbgrader_book.py"}
    assert imports_of(files, DATABASES, allowed=ours | nbgraders) == []
    connects = [
        f"{use.file}:{use.line}"
        for file, text in files.items()
        if file != "autograder/records/gradebook.py"
        for use, _ in uses(file, text)[1]
        if use.name.endswith((".connect", "create_engine")) or use.name == "connect"
    ]
    assert connects == []


def test_the_autograder_neither_unpickles_nor_executes_text():
    files = sources("autograder") | sources("leaderboard")
    assert imports_of(files, UNPICKLERS) == []
    assert executions(files) == []


def test_models_are_run_only_by_the_program_inside_the_sandbox():
    files = sources("autograder")
    inside = {"autograder/grading/predict_inside.py"}
    assert imports_of(files, {"onnxruntime"}, allowed=inside) == []
    server = "autograder/grading/judge_server_inside.py"
    starts_it = {"autograder/grading/judge_inside.py", server}
    assert imports_of(files, {"autograder.grading.predict_inside"}, allowed=starts_it) == []
    assert imports_of(files, {"autograder.grading.judge_inside"}, allowed={server}) == []
    assert imports_of(files, {"autograder.grading.judge_server_inside"}) == []


def test_whoever_imports_onnxruntime_has_told_it_first_to_report_to_nobody():
    files = sources("autograder") | sources("exercise_code") | sources("solutions")
    importing = {name: text for name, text in files.items() if "import onnxruntime" in text}
    assert len(importing) >= 3
    for name, text in importing.items():
        assert 0 < text.find("ORT_DISABLE_TELEMETRY") < text.index("import onnxruntime"), name


def test_hidden_labels_are_read_in_one_module_and_counted_in_one():
    files = sources("autograder") | sources("leaderboard") | sources("exercise_code")
    places = {"autograder/grading/hidden_set.py", "autograder/grading/hidden_place.py"}
    callers = {use.file for file, text in files.items() for use, _ in uses(file, text)[1] if "load_labels" in use.name}
    counting = {
        "autograder/grading/score.py",
        "autograder/grading/perturbed.py",
    }  # perturbed: for staff, on changed images
    assert callers == {"autograder/grading/hidden_set.py", *counting}
    hidden = {file: text for file, text in files.items() if file.startswith("autograder/grading/")}
    assert mentions(hidden, "labels.npy", allowed=places) == []


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("import exercise_code.networks", lambda files: imports_of(files, {"exercise_code"})),
        ("from exercise_code import networks", lambda files: imports_of(files, {"exercise_code"})),
        ("def f():\n from exercise_code.data import x", lambda files: imports_of(files, {"exercise_code"})),
        ("from .. import demo", lambda files: imports_of(files, {"autograder.demo"})),
        ("from nbgrader import api", lambda files: imports_of(files, DATABASES)),
        ("import subprocess as s", process_starts),
        ("from subprocess import run", process_starts),
        ("import os\nos.execvp('x', [])", process_starts),
        ("import os\nos.system('x')", process_starts),
        ("from concurrent.futures import ProcessPoolExecutor as P\nP()", process_starts),
        ("eval('1')", executions),
        ("import numpy as np\nnp.load('x')", executions),
        ("import numpy as np\nnp.load('x', allow_pickle=True)", executions),
        ("import importlib\nimportlib.import_module('x')", executions),
        ("compile('x', 'y', 'eval')", executions),
    ],
)
def test_the_walker_sees_each_kind_of_breach(text, check):
    assert check({"autograder/intake/planted.py": text}) != []


def test_the_walker_leaves_types_and_harmless_calls_alone():
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import sqlite3, subprocess, exercise_code\n"
    text += "import numpy as np\nnp.load('x', allow_pickle=False)\nimport os\nos.open('x', 0)\n"
    files = {"autograder/intake/planted.py": text}
    assert imports_of(files, {*DATABASES, "exercise_code"}) == process_starts(files) == executions(files) == []
