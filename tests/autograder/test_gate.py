"""The gate finds every kind of fault: each is planted into a small course that is green without it."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from autograder.course import build, bundle, manifest
from autograder.course.gate import catalogue, check_course, execution, released, structure
from autograder.course.gate.findings import COURSE, Outcome
from autograder.course.new import new
from autograder.course.release import make, release
from autograder.errors import CourseError, ManifestError

ROOT = Path(__file__).resolve().parents[2]
FIRST = """\
[course]
name = "Small course"
term = "2026w"
[[exercise]]
id = "01_gone"
title = "Only there because a manifest has an exercise"
due = "2026-11-25T15:59:59+01:00"
cell_timeout_s = 20
notebook_timeout_s = 60
[[exercise.task]]
id = "gone"
points = 1
"""
ID, TASK = "02_small", "clip_small"
SOURCE = f"solutions/{ID}/{ID}.py"
CHECKS = "exercise_code/checks/exercise_02.py"
WRONG, RIGHT = "tests/wrong_answers/exercise_02.py", "tests/right_answers/exercise_02.py"
PACKAGE = "exercise_code/arithmetic.py"
# A second task, pulled from the package, so that tasks can get in each other's way.
PULLED = f'''"""Arithmetic."""


def triple(x):
    """Three times x."""
    ### BEGIN SOLUTION {ID}
    return x + x + x
    ### END SOLUTION
'''
CELLS = """# %% task="triple" source="exercise_code.arithmetic:triple"

# %% check="triple"
check("triple", triple)
### BEGIN HIDDEN TESTS
check("triple", triple, seed=7)
assert triple(-2) == -6
### END HIDDEN TESTS

# %%
limit = clip_small(np.array([0.5, 2.0]))
print(limit, triple(1))

# %% [markdown]
# **Question.**"""
CHECK = """    "triple": Check(
        EXERCISE,
        function(lambda rng: [Case("x", (int(rng.integers(1, 9)),))], lambda x: 3 * x, "Count to three."),
        ("One.", "Two.", "Three."),
        "exercise_code.arithmetic:triple",
    ),
}
"""
MORE_WRONG = """
for number in (0, 1, 2, 4, 5, 6, 7, 8, 9, 10):
    wrong("triple", f"times {number}", says="Count")(lambda x, number=number: number * x)
"""
MORE_RIGHT = """
for number in range(5):
    right("triple", f"a sum with {number}")(lambda x, number=number: 3 * (x + number) - 3 * number)
"""


def edit(root, file, *pairs):
    path = root / file
    text = path.read_text(encoding="utf-8")
    for old, new_text in zip(pairs[::2], pairs[1::2], strict=True):
        assert old in text, (file, old)
        text = text.replace(old, new_text, 1)
    path.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def green(tmp_path_factory):
    """A course of one exercise made by `new`, with a second task, released."""
    root = tmp_path_factory.mktemp("gate") / "course"
    shutil.copytree(ROOT / "exercise_code" / "checks", root / "exercise_code" / "checks")
    for path in (root / "exercise_code" / "checks").iterdir():
        if path.name not in ("__init__.py", "core.py", "verifiers.py"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (root / "exercise_code" / "__init__.py").write_text("")
    (root / "exercise_code" / "submit.py").write_text("def submit(exercise):\n    print(exercise)\n")
    (root / PACKAGE).write_text(PULLED.replace(ID, "01_gone"))
    (root / "datasets").mkdir()
    (root / "requirements.txt").write_text("numpy\n")
    (root / "tests").mkdir()
    for name in ("catalogue.py", "one_task_open.py"):
        shutil.copy(ROOT / "tests" / name, root / "tests" / name)
    (root / "solutions").mkdir()
    (root / "solutions" / "course.toml").write_text(FIRST)
    new(manifest.load(root / "solutions" / "course.toml"), ID, "Small things")
    text = (root / "solutions" / "course.toml").read_text()
    text = text[: text.index("[[exercise]]")] + text[text.index("[[exercise]]", text.index("[[exercise]]") + 1) :]
    (root / "solutions" / "course.toml").write_text(
        text.replace(
            f'id = "{TASK}"\npoints = 1', f'id = "{TASK}"\npoints = 2\n[[exercise.task]]\nid = "triple"\npoints = 3'
        )
    )
    (root / PACKAGE).write_text(PULLED)
    edit(root, SOURCE, "# %% [markdown]\n# **Question.**", CELLS)
    (root / CHECKS).write_text((root / CHECKS).read_text().rstrip().removesuffix("}") + CHECK)
    for file, more in ((WRONG, MORE_WRONG), (RIGHT, MORE_RIGHT)):
        (root / file).write_text((root / file).read_text() + more)
    release(load(root), ID, root / ".course", root / "exercises")
    shutil.rmtree(root / ".course")
    return root


@pytest.fixture
def root(green, tmp_path):
    return Path(shutil.copytree(green, tmp_path / "course"))


def load(root):
    return manifest.load(root / "solutions" / "course.toml")


def structure_of(root):
    course = load(root)
    return [str(finding) for finding in structure.examine(course, course.exercise(ID))]


def released_of(root):
    course = load(root)
    return [str(finding) for finding in released.examine(course, course.exercise(ID))]


def catalogue_of(root):
    course, outcome = load(root), Outcome(ID)
    catalogue.examine(course, course.exercise(ID), outcome)
    return [str(finding) for finding in outcome.findings]


def one_open_of(root):
    """The one-task-open runs of the sources as they are, without nbgrader's gradebook."""
    course = load(root)
    exercise = course.exercise(ID)
    made = make(course, ID, root / "scratch")
    bundle.write_folder(root / "scratch" / "snapshot", made.mounted)
    solved = build.build_notebook(course, exercise)
    unsolved = build.read_notebook(made.released[exercise.notebook])
    found = execution.one_open(
        course, exercise, solved, unsolved, root / "scratch" / "snapshot", root / "scratch" / "run"
    )
    return [str(finding) for finding in execution.judge_runs(exercise, *found)]


def executed(root, tmp_path):
    course, outcome = load(root), Outcome(ID)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    execution.examine(course, course.exercise(ID), outcome, scratch)
    return outcome


def test_every_look_at_the_small_course_is_green(root):
    assert structure_of(root) == []
    assert released_of(root) == []
    assert catalogue_of(root) == []
    assert one_open_of(root) == []
    assert list(structure.stray_folders(load(root))) == []


STRUCTURE = {
    "no checks": (lambda r: (r / CHECKS).unlink(), "no checks: exercise_code/checks/exercise_02.py is missing"),
    "no mistakes": (lambda r: (r / WRONG).unlink(), "no typical mistakes: tests/wrong_answers/exercise_02.py"),
    "no variants": (lambda r: (r / RIGHT).unlink(), "no honest variants"),
    "no notebook": (lambda r: (r / SOURCE).unlink(), "no notebook source"),
    "a task less": (lambda r: edit(r, SOURCE, 'task="triple"', 'task="tripple"'), "'tripple' is not a task of 02_small"),
    "a check less": (
        lambda r: edit(r, SOURCE, '# %% check="triple"\n', "# %%\n"), "belongs in a check cell|needs a check cell"),
    "a question less": (lambda r: edit(r, SOURCE, ' question="why"', ""), "question 'why' .* needs a question cell"),
    "a misspelt marker": (lambda r: edit(r, SOURCE, "### BEGIN SOLUTION", "### BEGIN SOLUTON"), "looks like a marker"),
    "a misspelt marker in the package": (
        lambda r: edit(r, PACKAGE, "### END SOLUTION", "### END SOLUTIONS"), "looks like a marker|never closed"),
    "nothing to solve": (
        lambda r: edit(r, SOURCE, f"    ### BEGIN SOLUTION {ID}\n", "", "    ### END SOLUTION\n", ""),
        "nothing would be left to solve"),
    "a check cell without check": (
        lambda r: edit(r, SOURCE, 'check("triple", triple)\n', "assert triple(1) == 3\n",
                       'check("triple", triple, seed=7)\n', ""), "has no call of check"),
    "a check cell of another task": (
        lambda r: edit(r, SOURCE, 'check("triple", triple, seed=7)', f'check("{TASK}", {TASK}, seed=7)'),
        f"checks '{TASK}'"),
    "no hidden tests": (
        lambda r: edit(r, SOURCE, "### BEGIN HIDDEN TESTS\n", "", "### END HIDDEN TESTS\n", ""), "has no hidden tests"),
    "a region nobody shows": (
        lambda r: (r / PACKAGE).write_text(PULLED + PULLED.replace("triple", "fourfold").partition("\n\n\n")[2]),
        "no task cell shows this region of fourfold"),
}  # fmt: skip


@pytest.mark.parametrize(("plant", "says"), STRUCTURE.values(), ids=STRUCTURE.keys())
def test_a_fault_of_structure_is_named(root, plant, says):
    plant(root)

    found = structure_of(root)
    assert any(re.search(says, line) for line in found), found


def test_folders_that_the_manifest_does_not_know_are_named(root):
    (root / "solutions" / "07_left").mkdir()
    (root / "exercises" / "08_over").mkdir()

    found = [str(finding) for finding in structure.stray_folders(load(root))]

    assert [line.split(": ")[1].split("/ ")[0] for line in found] == ["solutions/07_left", "exercises/08_over"]
    assert all(line.startswith(COURSE) for line in found)


def _notebook(root, change):
    path = root / "exercises" / ID / f"{ID}.ipynb"
    content = json.loads(path.read_text())
    change(content["cells"])
    path.write_text(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def _output(cells):
    cell = next(cell for cell in cells if cell["cell_type"] == "code")
    cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "42\n"}]


RELEASED = {
    "never released": (lambda r: shutil.rmtree(r / "exercises"), "exercises/02_small/ is missing"),
    "a stale text": (lambda r: edit(r, SOURCE, "Why this matters", "Why it matters"), "02_small.ipynb is stale"),
    "stale facts": (
        lambda r: (r / "exercises" / ID / "exercise.json").write_text("{}"), "exercise.json is stale"),
    "a file too many": (
        lambda r: (r / "exercises" / ID / "notes.txt").write_text("x"), "notes.txt does not belong to the release"),
    "a solution": (
        lambda r: _notebook(r, lambda cells: cells[0]["source"].append("\nreturn np.clip(x, 0, 1)")), "leak: .*np.clip"),
    "a hidden test": (
        lambda r: _notebook(r, lambda cells: cells[0]["source"].append("\nassert triple(-2) == -6")), "leak: .*triple"),
    "a model answer": (
        lambda r: _notebook(
            r, lambda cells: cells[0]["source"].append("\nAll entries outside of the range: there the result is "
                                                       "constant, so its derivative is zero.")), "leak: .*derivative"),
    "a marker": (
        lambda r: _notebook(r, lambda cells: cells[0]["source"].append("\n### BEGIN SOLUTION 02_small")), "leak: .*BEGIN"),
    "an output": (lambda r: _notebook(r, _output), "has outputs"),
    "a damaged notebook": (
        lambda r: (r / "exercises" / ID / f"{ID}.ipynb").write_text("{"), "is missing or no notebook|stale"),
    "a leak in the package": (
        lambda r: edit(r, CHECKS, "EXERCISE =", "# return np.clip(x, 0, 1)\nEXERCISE ="), "leak: .*exercise_02.py"),
}  # fmt: skip


@pytest.mark.parametrize(("plant", "says"), RELEASED.values(), ids=RELEASED.keys())
def test_a_fault_of_the_release_is_named(root, plant, says):
    plant(root)

    found = released_of(root)
    assert any(re.search(says, line) for line in found), found


def test_two_releases_that_differ_are_named(root, monkeypatch):
    import dataclasses

    count = iter(range(9))
    monkeypatch.setattr(released, "make", lambda *a: dataclasses.replace(make(*a), archive=str(next(count)).encode()))

    assert "two releases of the same sources differ" in released_of(root)[0]


def _weaken(root):
    edit(root, CHECKS, 'lambda x: 3 * x, "Count', 'lambda x: 3 * x, "Measure')


CATALOGUE = {
    "does not import": (lambda r: (r / WRONG).write_text("import nothing_of_the_kind"), "do not run: ModuleNotFoundError"),
    "few mistakes": (lambda r: edit(r, WRONG, "8, 9, 10)", "8)"), "'triple' has 8 wrong answers, expected 10"),
    "few variants": (lambda r: edit(r, RIGHT, "range(5)", "range(4)"), "'triple' has 4 right answers, expected 5"),
    "a mistake that passes": (
        lambda r: edit(r, WRONG, "(0, 1, 2,", "(0, 1, 2, 3,"), "wrong answer 'times 3' to 'triple' passes"),
    "a variant that fails": (
        lambda r: edit(r, RIGHT, "- 3 * number)", "- 2 * number)"), "right answer 'a sum with 1' to 'triple' fails"),
    "a message that points elsewhere": (_weaken, "the message does not say 'Count'"),
    "a check less": (
        lambda r: edit(r, CHECKS, '"triple": Check', '"tripel": Check'), "no check for task 'triple'"),
    "a check too many": (
        lambda r: edit(r, CHECKS, '"triple": Check', '"tripel": Check'), "check 'tripel' has no task in the manifest"),
    "two hints": (lambda r: edit(r, CHECKS, '"Two."', '"One."'), "'triple' has no three different hints"),
    "another home": (
        lambda r: edit(r, CHECKS, '"exercise_code.arithmetic:triple"', "None"),
        "takes the place of None, but its cell shows 'exercise_code.arithmetic:triple'"),
    "the check breaks": (
        lambda r: edit(r, CHECKS, "lambda x: 3 * x", "lambda x: 3 * x / 0"), "right answer .* fails|does not say"),
    "of another exercise": (
        lambda r: edit(r, CHECKS, '"triple": Check(\n        EXERCISE', '"triple": Check(\n        "02_smal"'),
        "check 'triple' is for '02_smal'"),
}  # fmt: skip


@pytest.mark.parametrize(("plant", "says"), CATALOGUE.values(), ids=CATALOGUE.keys())
def test_a_fault_of_checks_or_catalogues_is_named(root, plant, says):
    plant(root)

    found = catalogue_of(root)
    assert any(re.search(says, line) for line in found), found


OPEN = {
    "a check that needs another task": (
        lambda r: edit(r, SOURCE, "assert triple(-2) == -6", f"assert triple(-2) == -6 and {TASK}(np.ones(1)) is not None"),
        f"with '{TASK}' open check 'triple' fails too: NotImplementedError"),
    "a task that needs another": (
        lambda r: edit(r, PACKAGE, "return x + x + x", f"return x + x + x + 0 * {TASK}(x)",
                       '"""Arithmetic."""\n', f'"""Arithmetic."""\n\n\ndef {TASK}(x):\n    return x\n'),
        f"with '{TASK}' open check 'triple' fails too"),
    "a stub outside of a function": (
        lambda r: edit(r, SOURCE, f"    ### BEGIN SOLUTION {ID}\n    return np.clip(x, 0, 1)\n    ### END SOLUTION\n",
                       f"    return x\n\n\n### BEGIN SOLUTION {ID}\n{TASK} = lambda x: np.clip(x, 0, 1)\n### END SOLUTION\n"),
        f"with '{TASK}' open cell '{TASK}' stops with NotImplementedError"),
    "a check that passes on the stub": (
        lambda r: edit(r, SOURCE, 'check("triple", triple)\n', "try:\n    check('triple', triple)\nexcept Exception:\n    pass\n",
                       'check("triple", triple, seed=7)\nassert triple(-2) == -6\n', ""),
        "its check should say not attempted, but it passes"),
    "an assertion before the check": (
        lambda r: edit(r, SOURCE, 'check("triple", triple)\n', 'assert triple(1) == 3\ncheck("triple", triple)\n'),
        "should say not attempted, but NotImplementedError"),
    "a check that fails when all is solved": (
        lambda r: edit(r, SOURCE, "assert triple(-2) == -6", "assert triple(-2) == -7"),
        "solved check 'triple' fails too: AssertionError"),
    "a name that no cell defines": (
        lambda r: edit(r, SOURCE, "assert triple(-2) == -6", "assert triple(two) == -6"),
        "solved check 'triple' fails too: NameError"),
    "a process that dies": (
        lambda r: edit(r, SOURCE, "assert triple(-2) == -6", f"import os\ntry:\n    {TASK}(np.ones(1))\nexcept NotImplementedError:\n    os._exit(3)"),
        f"with '{TASK}' open the process ends without a word"),
}  # fmt: skip


@pytest.mark.parametrize(("plant", "says"), OPEN.values(), ids=OPEN.keys())
def test_a_fault_that_an_open_task_shows_is_named(root, plant, says):
    plant(root)

    found = one_open_of(root)
    assert any(re.search(says, line) for line in found), found


def test_a_free_cell_is_run_only_when_a_task_or_check_needs_it(root):
    never = "\n# %%\nraise RuntimeError('hours of training')\n"
    needed = "\n# %%\nminus_two = -2\n\n"
    edit(root, SOURCE, '\n# %% check="triple"\n', f'{never}{needed}# %% check="triple"\n',
         "assert triple(-2) == -6", "assert triple(minus_two) == -6")  # fmt: skip

    assert one_open_of(root) == []


@pytest.mark.slow
def test_execution_of_the_small_course_is_green_with_its_figures(root, tmp_path):
    outcome = executed(root, tmp_path)

    assert outcome.findings == []
    assert outcome.figures["solved"].startswith("5/5 in ")
    assert outcome.figures["unsolved"].startswith("0/5 in ")
    assert outcome.figures["one open"].startswith("2 tasks in ")


EXECUTED = {
    "a task that earns nothing": (
        lambda r: edit(r, SOURCE, "assert triple(-2) == -6", "assert triple(-2) == -7"),
        "solved: task 'triple' earns nothing: AssertionError"),
    "a cell that stops": (
        lambda r: edit(r, SOURCE, "print(limit, triple(1))", "print(limit[7])"), r"solved: cell 9 .limit = clip_small.* stops with IndexError"),
    "a cell over its time": (
        lambda r: (edit(r, SOURCE, "print(limit, triple(1))", "import time\ntime.sleep(9)"),
                   edit(r, "solutions/course.toml", "cell_timeout_s = 30", "cell_timeout_s = 2")),
        "solved: cell 9 .limit = clip.* stops with the time limit of 2 s"),
    "points for a stub": (
        lambda r: edit(r, SOURCE, 'check("triple", triple)\n', "try:\n    check('triple', triple)\nexcept Exception:\n    pass\n",
                       'check("triple", triple, seed=7)\nassert triple(-2) == -6\n', ""),
        "unsolved: task 'triple' earns 3 points"),
    "no word of not attempted": (
        lambda r: edit(r, SOURCE, 'check("triple", triple)\n', 'assert triple(1) == 3\ncheck("triple", triple)\n'),
        "unsolved: task 'triple' does not say that it is not attempted"),
    "a set-up that needs a task": (
        lambda r: edit(r, SOURCE, "# %% [markdown]\n# ## 1 A first task",
                       "# %%\nfrom exercise_code.arithmetic import triple\n\ntriple(1)\n\n# %% [markdown]\n# ## 1 A first task"),
        r"unsolved: cell 4 .from exercise_code.arithmetic import triple., before any task, stops with NotImplementedError"),
    "salad in a later cell": (
        lambda r: edit(r, SOURCE, "limit = clip_small(np.array([0.5, 2.0]))",
                       "try:\n    limit = clip_small(np.array([0.5, 2.0]))\nexcept NotImplementedError:\n    limit = None\nlimit[0]"),
        "unsolved: cell 9 .try:. stops with TypeError"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("plant", "says"), EXECUTED.values(), ids=EXECUTED.keys())
def test_a_fault_that_only_running_shows_is_named(root, tmp_path, plant, says):
    plant(root)

    found = [str(finding) for finding in executed(root, tmp_path).findings]
    assert any(re.search(says, line) for line in found), found


# -- the whole, from outside -------------------------------------------------------------------------------------------


def run_check(root, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "autograder", "check", "--course", str(root / "solutions" / "course.toml"), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_quick_gate_prints_a_table_and_its_exit_code_tells(root):
    fine = run_check(root, "--quick")
    edit(root, WRONG, "(0, 1, 2,", "(0, 1, 2, 3,")
    (root / "solutions" / "07_left").mkdir()
    bad = run_check(root, "02", "--quick")

    assert (fine.returncode, fine.stderr) == (0, ""), fine.stdout + fine.stderr
    assert "1/1 02_small: green" in fine.stdout and "ok 23 wrong, 11 right" in fine.stdout
    assert "all green in" in fine.stdout
    assert (bad.returncode, bad.stderr) == (1, "")
    assert "- 02_small, catalogue: wrong answer 'times 3' to 'triple' passes (seed 0). Correct the check" in bad.stdout
    assert "- the course, structure: solutions/07_left/ is not in the manifest" in bad.stdout
    assert "2 finding(s) in" in bad.stdout


@pytest.mark.slow
def test_the_whole_gate_of_the_small_course_is_green(root):
    done = run_check(root)

    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert "ok 5/5 in" in done.stdout and "ok 0/5 in" in done.stdout


def test_an_unknown_exercise_or_a_bad_manifest_is_the_staffs_mistake(root):
    course = load(root)
    with pytest.raises(ManifestError, match="no exercise '09'; there are 02_small"):
        check_course(course, "09", Console(quiet=True))
    edit(root, "solutions/course.toml", "points = 2", "points = two")
    done = run_check(root)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


# -- new -----------------------------------------------------------------------------------------------------------------


def test_new_writes_a_skeleton_at_its_place_in_the_manifest(root):
    before = (root / "solutions" / "course.toml").read_text()
    created = new(load(root), "01_early", 'Early "birds"')
    new(load(root), "05_late", "Late")

    course = load(root)
    assert course.ids == ("01_early", "02_small", "05_late")
    assert course.exercise("01_early").title == 'Early "birds"'
    assert course.exercise("05_late").due > course.exercise("02_small").due
    text = (root / "solutions" / "course.toml").read_text()
    assert text.index("01_early") < text.index("02_small") < text.index("05_late")
    assert before[before.index("[[exercise]]") :].rstrip() in text, "what was there stays as it was"
    assert created.files[0] == "solutions/01_early/01_early.py"
    for exercise_id in ("01_early", "05_late"):
        assert list(structure.examine(course, course.exercise(exercise_id))) == []
        outcome = Outcome(exercise_id)
        catalogue.examine(course, course.exercise(exercise_id), outcome)
        assert outcome.findings == []


@pytest.mark.slow
def test_a_new_exercise_once_released_passes_the_whole_gate(root):
    new(load(root), "05_late", "Late")
    release(load(root), "05_late", root / ".course", root / "exercises")
    shutil.rmtree(root / ".course")

    done = run_check(root, "05")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok 1/1 in" in done.stdout and "ok 0/1 in" in done.stdout


@pytest.mark.parametrize(
    ("exercise_id", "title", "message"),
    [
        ("02_other", "Other", "number 02 is taken by 02_small"),
        ("2_other", "Other", "expected two digits and a name"),
        ("../02_other", "Other", "expected two digits and a name"),
        ("05-other", "Other", "expected two digits and a name"),
        ("05_other", " ", "expected one line"),
        ("05_other", "a\nb", "expected one line"),
        ("05_small", "Other", "task 'clip_small' of the skeleton exists already"),
    ],
)
def test_new_refuses_what_is_malformed_or_taken_and_writes_nothing(root, exercise_id, title, message):
    before = bundle.read_folder(root)

    with pytest.raises(CourseError, match=message):
        new(load(root), exercise_id, title)

    assert bundle.read_folder(root) == before


@pytest.mark.parametrize(
    "taken",
    ["solutions/05_late/05_late.py", "exercise_code/checks/exercise_05.py", "tests/wrong_answers/exercise_05.py"],
)
def test_new_overwrites_no_file(root, taken):
    (root / taken).parent.mkdir(exist_ok=True)
    (root / taken).write_text("years of work")
    before = bundle.read_folder(root)

    with pytest.raises(CourseError, match="exists already; `new` overwrites nothing"):
        new(load(root), "05_late", "Late")

    assert bundle.read_folder(root) == before
