"""From the percent file and the package to nbgrader's source notebook."""

import shutil
from pathlib import Path

import pytest

from autograder.course import manifest
from autograder.course.build import build, build_notebook, read_notebook
from autograder.errors import ManifestError, MarkerError

TOY = Path(__file__).parent / "toy_course"


@pytest.fixture
def root(tmp_path):
    shutil.copytree(TOY, tmp_path / "course")
    return tmp_path / "course"


def load(root):
    return manifest.load(root / "solutions" / "course.toml")


def build_main(root):
    course = load(root)
    return build_notebook(course, course.exercise("02_main"))


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def cell(notebook, name):
    return next(cell for cell in notebook["cells"] if cell["id"] == name)


def test_marked_cells_get_nbgrader_metadata_and_their_name_as_id(root):
    notebook = build_main(root)

    about = {item["id"]: item["metadata"].get("nbgrader") for item in notebook["cells"]}
    common = {"schema_version": 3, "task": False}
    task = {"grade": False, "grade_id": "task_tanh", "locked": False, "solution": True}
    check = {"grade": True, "grade_id": "check_mean", "locked": True, "solution": False, "points": 3}
    assert about["task_tanh"] == task | common
    assert about["check_mean"] == check | common
    assert about["locked_setup"]["locked"] and not about["locked_setup"]["grade"]
    assert about["question_why"]["points"] == 1 and about["question_why"]["solution"]
    assert [name for name, metadata in about.items() if metadata is None and name.startswith("code-")]


def test_the_notebook_is_valid_nbformat_and_nbgrader_schema(root):
    import nbformat
    from nbgrader.nbgraderformat import MetadataValidator

    course = load(root)
    path = build(course, "02_main", root / ".course")

    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    MetadataValidator().validate_nb(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert path == root / ".course" / "source" / "02_main" / "02_main.ipynb"


def test_a_task_cell_pulls_the_text_of_a_class_with_its_markers(root):
    text = cell(build_main(root), "task_tanh")["source"]

    package = (root / "exercise_code" / "layer.py").read_text(encoding="utf-8")
    assert text == package[package.index("class Tanh:") :].rstrip("\n")
    assert text.endswith("### END SOLUTION")


def test_pulled_text_includes_decorators_several_names_and_the_cells_own_lines(root):
    path = root / "exercise_code" / "layer.py"
    path.write_text(
        path.read_text(encoding="utf-8")
        + "\n\n@staticmethod\n@print\ndef helper(x):\n"
        + "    ### BEGIN SOLUTION 02_main\n    return x\n    ### END SOLUTION\n"
        + "\n\n# a comment of the file\nLAST = 1\n",
        encoding="utf-8",
    )
    edit(
        root / "solutions" / "02_main" / "02_main.py",
        'source="exercise_code.layer:Tanh"\n',
        'source="exercise_code.layer:Tanh, exercise_code.layer:helper"\nTanh().forward(1.0)\n',
    )

    text = cell(build_main(root), "task_tanh")["source"]

    assert text.startswith("class Tanh:")
    assert "\n\n\n@staticmethod\n@print\ndef helper(x):\n" in text
    assert text.endswith("    ### END SOLUTION\n\n\nTanh().forward(1.0)")


def test_pulling_does_not_import_the_package(root):
    (root / "exercise_code" / "__init__.py").write_text("raise SystemExit('imported')\n", encoding="utf-8")

    assert "class Tanh" in cell(build_main(root), "task_tanh")["source"]


def test_building_twice_gives_the_same_bytes_and_a_new_cell_renames_no_other(root):
    course = load(root)
    first = build(course, "02_main", root / ".course").read_bytes()
    assert build(course, "02_main", root / ".course").read_bytes() == first

    edit(
        root / "solutions" / "02_main" / "02_main.py",
        "# %% [markdown]\n",
        "# %% [markdown]\n# New.\n\n# %% [markdown]\n",
    )
    ids = [item["id"] for item in read_notebook(build(course, "02_main", root / ".course").read_bytes())["cells"]]

    old_ids = [item["id"] for item in read_notebook(first)["cells"]]
    assert ids[1:] == old_ids
    assert len(set(ids)) == len(ids)


def test_cells_with_the_same_text_get_different_ids(root):
    path = root / "solutions" / "02_main" / "02_main.py"
    path.write_text(path.read_text(encoding="utf-8") + "\n# %%\n1 + 1\n" * 3, encoding="utf-8")

    ids = [item["id"] for item in build_main(root)["cells"]]

    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('check="mean"', 'check="maen"', "'maen' is not a task of 02_main, did you mean 'mean'"),
        ('check="mean"', 'chek="mean"', "unknown cell header key 'chek', did you mean 'check'"),
        ('# %% check="mean"', "# %%", "task 'mean' of the manifest needs a check cell"),
        ('question="why"', "", "question 'why' of the manifest needs a question cell"),
        ('question="why"', 'question="wy"', "'wy' is not a question of 02_main, did you mean 'why'"),
        ('question="why"', 'question="mean"', "'mean' is not a question of 02_main"),
        ('# %% check="mean"', '# %% check="tanh"', "check 'tanh' appears more than once"),
        ('# %% check="mean"', '# %% check="mean" task="mean"', "not both"),
        (
            '# %% [markdown] question="why"',
            '# %% question="why"',
            "expected markdown; write # %% .markdown. question='why'",
        ),
        ('check="mean"', 'check="mean" source="exercise_code.layer:Tanh"', "source= belongs to a task cell"),
        ("layer:Tanh", "layer:Tahn", "no class or function 'Tahn'.*did you mean 'Tanh'"),
        ("exercise_code.layer:", "exercise_code.layers:", "not found"),
        ("exercise_code.layer:", "os:", "not found"),
        ('check="mean"', 'check="../mean"', "expected a name like"),
    ],
)
def test_headers_that_disagree_with_grammar_or_manifest_are_refused(root, old, new, message):
    edit(root / "solutions" / "02_main" / "02_main.py", old, new)

    with pytest.raises(ManifestError, match=message):
        build_main(root)


def test_a_check_before_its_task_is_refused(root):
    path = root / "solutions" / "02_main" / "02_main.py"
    text = path.read_text(encoding="utf-8")
    start, end = text.index('# %% task="mean"'), text.index('# %% check="mean"')
    path.write_text(text[:start] + text[end:] + "\n" + text[start:end], encoding="utf-8")

    with pytest.raises(ManifestError, match="stands before its task"):
        build_main(root)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "math.tanh(0.5)",
            "### BEGIN SOLUTION 02_main\nmath.tanh(0.5)\n### END SOLUTION",
            "belongs in a task cell",
        ),
        ("# ## Tanh", "# ### BEGIN HIDDEN TESTS\n# ### END HIDDEN TESTS", "belongs in a check cell"),
        (
            "### BEGIN SOLUTION 02_main",
            "### BEGIN SOLUTON 02_main",
            r"02_main\.py:\d+: .*looks like a marker",
        ),
        ("### BEGIN SOLUTION 02_main", "### BEGIN SOLUTION 01_warm_up", "nothing would be left to solve"),
        ("### BEGIN SOLUTION 02_main", "### BEGIN SOLUTION 07_x", r"unknown exercise '07_x'"),
        ("### BEGIN HIDDEN TESTS", "### BEGIN HIDDEN TEST", "looks like a marker"),
    ],
)
def test_markers_in_the_wrong_place_or_spelling_are_refused(root, old, new, message):
    edit(root / "solutions" / "02_main" / "02_main.py", old, new)

    with pytest.raises(MarkerError, match=message):
        build_main(root)


def test_a_marker_error_names_the_line_of_the_source_file(root):
    path = root / "solutions" / "02_main" / "02_main.py"
    edit(path, "### BEGIN SOLUTION 02_main", "### BEGIN SOLUTON 02_main")
    line = 1 + path.read_text(encoding="utf-8").split("\n").index("    ### BEGIN SOLUTON 02_main")

    with pytest.raises(MarkerError, match=rf"02_main\.py:{line}: "):
        build_main(root)
