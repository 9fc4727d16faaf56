"""4g and more: notebooks against their checks, their kernel, nbgrader and us. Each runs in the real kernel and sandbox.

Numbers from 100 on are cases of our own; nbgrader kernels are where student code is closest to what judges it.
"""

import copy
import json
import os
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from autograder.course import manifest
from autograder.course.build import read_notebook
from autograder.course.release import release
from autograder.errors import CourseError
from autograder.grading import recheck
from autograder.grading.autograde import autograde_one

TOY = Path(__file__).resolve().parents[1] / "autograder" / "toy_course"
ALL = {"tanh": 2.0, "mean": 3.0}
WRONG = "def mean(numbers):\n    return 0.0\n"


class Term:
    """A released toy course; `grade` runs one notebook and looks at what must not have happened."""

    def __init__(self, root, box):
        self.root, self.box = root, box
        self.course = manifest.load(root / "solutions" / "course.toml")
        self.course_dir = root / ".course"
        for exercise_id in self.course.ids:
            release(self.course, exercise_id, self.course_dir, root / "exercises")
        self.exercise = self.course.exercise("02_main")
        self.solved = read_notebook((self.course_dir / "source/02_main/02_main.ipynb").read_bytes())
        self.released = read_notebook((root / "exercises/02_main/02_main.ipynb").read_bytes())
        (root / "outside").mkdir()
        (root / "outside" / "precious").write_text("untouched")

    def notebook(self, *extra, before="task_tanh", **answers):
        """The solved notebook with texts replaced by cell id, and further cells before `before`."""
        made = copy.deepcopy(self.released)
        for cell in made["cells"]:
            if cell["id"].startswith("task_"):
                cell["source"] = next(c["source"] for c in self.solved["cells"] if c["id"] == cell["id"])
            cell["source"] = answers.get(cell["id"], cell["source"])
        at = [cell["id"] for cell in made["cells"]].index(before)
        for number, text in enumerate(extra):
            made["cells"].insert(at + number, {
                "cell_type": "code", "execution_count": None, "id": f"own-{number}", "metadata": {}, "outputs": [],
                "source": text,
            })  # fmt: skip
        return made

    def grade(self, notebook, student="mallory", **changes):
        secrets = {path: path.read_bytes() for path in self._ours()}
        before = set(self._processes())
        exercise = replace(self.exercise, **changes)
        content = notebook if isinstance(notebook, bytes) else json.dumps(notebook).encode()
        result = autograde_one(self.course, exercise, self.course_dir, student, content, self.box)
        assert {path: path.read_bytes() for path in self._ours()} == secrets, "something of ours was changed"
        assert sorted(p.name for p in (self.root / "outside").iterdir()) == ["precious"]
        assert [p for p in self._processes() if p not in before] == [], "a process was left"
        assert result.points == sum(task.points for task in result.per_task.values())
        assert 0 <= result.points <= result.max_points == self.exercise.max_points
        return result

    def points(self, notebook, **changes):
        return {name: task.points for name, task in self.grade(notebook, **changes).per_task.items() if name in ALL}

    def printed(self, student="mallory"):
        path = self.course_dir / "autograded" / student / "02_main" / "02_main.ipynb"
        outputs = [o for cell in json.loads(path.read_text())["cells"] for o in cell.get("outputs", [])]
        return "\n".join("".join(o.get("text", "")) + str(o.get("evalue", "")) for o in outputs)

    def recorded(self, student):
        from nbgrader.api import Gradebook

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Gradebook(f"sqlite:///{self.course_dir / 'gradebook.db'}") as book:
                notebook = book.find_submission_notebook("02_main", "02_main", student)
                return {grade.name: grade.auto_score for grade in notebook.grades if grade.name.startswith("check_")}

    def _ours(self):
        folders = [self.course_dir / name for name in ("source", "release", "snapshot", "bundles")]
        return [path for folder in (*folders, TOY) for path in sorted(folder.rglob("*")) if path.is_file()]

    def _processes(self):
        """As root the sandbox's user is nobody else's; an ordinary user's kernels are our children.

        Children that were there before are somebody else's, such as idle workers of an earlier test of scikit-learn.
        """
        ours = [p for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]
        if os.geteuid() == 0:
            ours += [p for p in psutil.process_iter(["uids"]) if p.info["uids"] and p.info["uids"].real == self.box.uid]
        return [p for p in ours if "resource_tracker" not in " ".join(p.cmdline())]


@pytest.fixture(scope="module")
def term(tmp_path_factory, box):
    course = tmp_path_factory.mktemp("toy") / "course"
    shutil.copytree(TOY, course)
    return Term(course, box)


# A wrong answer and a cell that wants its check to pass nevertheless.
FAKES = {
    "silent traceback": "type(get_ipython()).showtraceback = lambda *a, **k: None",
    "silent traceback of syntax": "get_ipython().showsyntaxerror = get_ipython()._showtraceback = lambda *a, **k: None",
    "run_cell": "ip = get_ipython(); old = ip.run_cell\nip.run_cell = lambda *a, **k: old('pass')",
    "run_cell_async": (
        "ip = get_ipython(); old = ip.run_cell_async\nip.run_cell_async = lambda *a, **k: old('pass', store_history=False)"
    ),
    "input transformer": "get_ipython().input_transformers_cleanup.append(lambda lines: ['pass\\n'])",
    "syntax transformer": (
        "import ast\nclass Drop(ast.NodeTransformer):\n    def visit_Assert(self, node): return None\n"
        "get_ipython().ast_transformers.append(Drop())"
    ),
    "forged reply": (
        "kernel = get_ipython().kernel\nasync def fine(*a, **k):\n"
        "    return {'status': 'ok', 'execution_count': 1, 'user_expressions': {}, 'payload': []}\n"
        "kernel.do_execute = fine"
    ),
    "forged message": (
        "session = get_ipython().kernel.session; old = session.send\n"
        "def send(stream, kind, content=None, *a, **k):\n"
        "    kind = getattr(kind, 'get', lambda x: kind)('msg_type') if isinstance(kind, dict) else kind\n"
        "    if kind == 'error': return None\n"
        "    if kind == 'execute_reply': content = {'status': 'ok', 'execution_count': 1}\n"
        "    return old(stream, kind, content, *a, **k)\nsession.send = send"
    ),
    "assertions": "import builtins\nclass AssertionError(BaseException): pass\nbuiltins.AssertionError = SystemExit",
    "exit hook": "get_ipython().set_custom_exc((Exception,), lambda *a, **k: None)",
}


@pytest.mark.attack(73, verdict="0 points for that task, or the pass is taken back")
@pytest.mark.parametrize("fake", FAKES)
def test_patching_the_shell_earns_nothing(term, fake):
    points = term.points(term.notebook(FAKES[fake], task_mean=WRONG))
    assert points["mean"] == 0.0
    assert sum(term.recorded("mallory").values()) == sum(points.values())


DECEIVED = {
    "the check is replaced": ("task_tanh", "class Tanh: pass\ndef check(*a, **k): print('tanh: right')\n", "tanh"),
    "in the package": (
        "task_tanh",
        "import exercise_code.checks as c\nclass Tanh:\n    def backward(self, x): return x\nc.check = check = lambda *a: 1",
        "tanh",
    ),
    "by sys.modules": (
        "task_tanh",
        "import sys, types\nsys.modules['exercise_code.checks'] = types.SimpleNamespace(check=lambda *a: 1)\n"
        "from exercise_code.checks import check\nclass Tanh:\n    def backward(self, x): return x",
        "tanh",
    ),
}


@pytest.mark.attack(18, 73, verdict="0 points, or named for a person: the check accepts spoilt answers, too")
@pytest.mark.parametrize("what", DECEIVED)
def test_a_check_that_was_replaced_is_found_by_decoys(term, what):
    name, text, task = DECEIVED[what]
    hidden_passes = "def abs(x): return 0\n"  # the hidden test compares with abs()
    result = term.grade(term.notebook(**{name: hidden_passes + text}))
    assert result.per_task[task].points == 0.0 or "check_tanh also accept wrong answers" in result.suspicions[0]
    assert result.per_task["mean"].points == 3.0, "the honest task keeps its points"


@pytest.mark.attack(73, verdict="SCORED, named for a person to look at")
def test_objects_that_are_equal_to_everything_are_named_for_staff(term):
    text = "class Any(float):\n    def __eq__(self, other): return True\n    __hash__ = None\ndef mean(n): return Any()"
    result = term.grade(term.notebook(task_mean=text))
    assert "compare" in result.suspicions[0] and "__eq__" in result.suspicions[0]
    assert result.detail == ""  # nothing is said to the student, nothing is taken


@pytest.mark.attack(100, verdict="no false alarm")
@pytest.mark.parametrize(
    "cell",
    [
        "%matplotlib inline\nimport numpy as np\nnp.random.seed(3)",
        "class Net:\n    def __init__(self): self.max = 3\nnet = Net(); net.max = 4\nprint(net.max)",
        "import math\ntotal = sum(abs(x) for x in range(3))\nassert total == 3",
        "def helper(model):\n    model.weights = 1\n    return model",
    ],
)
def test_ordinary_cells_are_not_suspected(term, cell):
    texts = [c["source"] for c in term.solved["cells"] if c["cell_type"] == "code"]
    checks = [text for text in texts if "check(" in text]
    assert recheck.reasons([cell], checks) == ()
    own = [c["source"] for c in term.solved["cells"] if c["id"].startswith("task_")]
    assert recheck.reasons(own, checks) == ()


@pytest.mark.attack(100, verdict="SCORED: a second look takes nothing from the honest")
def test_a_suspicious_but_honest_notebook_keeps_every_point(term):
    result = term.grade(
        term.notebook(
            "import gc, inspect, threading\nimport numpy as np\nnp.set_printoptions(precision=3)\ngc.collect()\n"
            "exec('x = 1')\nsum = 3\n!true"
        )
    )
    assert {name: result.per_task[name].points for name in ALL} == ALL
    assert result.suspicions == ()


@pytest.mark.attack(73, 100, verdict="the mutation check: without decoys the fake would be paid")
def test_without_the_second_look_a_silenced_check_would_be_paid(term, monkeypatch):
    notebook = term.notebook(FAKES["input transformer"], task_mean=WRONG)
    with monkeypatch.context() as patch:
        patch.setattr(recheck, "reasons", lambda *a: ())
        assert term.points(notebook)["mean"] == 3.0
    result = term.grade(notebook)
    assert result.per_task["mean"].points == 0.0 and "take that out" in result.per_task["mean"].message
    assert "check_mean" in result.suspicions[0] and "get_ipython" in result.suspicions[0]


@pytest.mark.attack(74, verdict="only a check that ended well pays, and no more than its points")
@pytest.mark.parametrize("value", ["float('nan')", "-1", "10**9", "float('inf')", "1e400", "'100'"])
def test_what_a_cell_returns_is_no_points(term, value):
    text = f"import sys\ndef mean(numbers):\n    sys.displayhook({value})\n    return 0.0"
    assert term.points(term.notebook(task_mean=text, check_mean=value)) == ALL | {"mean": 0.0}


@pytest.mark.attack(75, verdict="SCORED: noise costs nothing")
def test_progress_bars_and_warnings_cost_nothing(term):
    text = (
        "import math, sys, warnings\nfrom tqdm import tqdm\n"
        "def mean(numbers):\n    warnings.warn('old')\n    sys.stderr.write('noise\\n')\n"
        "    for _ in tqdm(range(3)): pass\n    return math.fsum(numbers) / len(numbers)"
    )
    assert term.points(term.notebook(task_mean=text)) == ALL


@pytest.mark.attack(76, verdict="the release is refused")
@pytest.mark.parametrize(
    "typo",
    ["### BEGIN HIDDEN TEST\n", "### begin hidden tests\n", "###BEGIN HIDDEN TESTS\n", "## BEGIN HIDDEN TESTS\n"],
)
def test_a_misspelt_marker_releases_nothing(tmp_path, typo):
    course = tmp_path / "course"
    shutil.copytree(TOY, course)
    path = course / "solutions/02_main/02_main.py"
    path.write_text(path.read_text().replace("### BEGIN HIDDEN TESTS\n", typo, 1))
    loaded = manifest.load(course / "solutions" / "course.toml")
    with pytest.raises(CourseError):
        release(loaded, "02_main", tmp_path / ".course", tmp_path / "exercises")
    text = "".join(p.read_text() for p in (tmp_path / "exercises").rglob("*.ipynb"))
    assert "large numbers cancel" not in text and "total_of_all" not in text


@pytest.mark.attack(76, verdict="no hidden line is released")
def test_no_line_of_a_hidden_test_is_in_what_students_get(term):
    hidden = [line for cell in term.solved["cells"] for line in _hidden(cell["source"])]
    assert len(hidden) >= 3
    for path in [*(term.root / "exercises").rglob("*"), *(term.course_dir / "snapshot").rglob("*")]:
        if path.is_file():
            text = path.read_bytes().decode(errors="replace")
            assert [line for line in hidden if line in text] == []


def _hidden(text):
    inside = False
    for line in text.splitlines():
        if "END HIDDEN TESTS" in line:
            inside = False
        if inside and len(line.strip()) > 12:
            yield line.strip()
        inside = inside or "BEGIN HIDDEN TESTS" in line


@pytest.mark.attack(77, verdict="REJECTED(unexpected_file) with the name it should have; FAILED(wrong_notebook)")
def test_a_renamed_notebook_is_refused_by_name_and_another_one_by_content(house, term):
    files = house.files("x")
    files["04_grid_search (1).ipynb"] = files.pop("04_grid_search.ipynb")
    house.hand_in("renamed", _zip(files))
    house.grade()
    assert house.verdict("renamed") == "REJECTED(unexpected_file)"
    assert "did you mean 04_grid_search.ipynb" in house.detail("renamed")
    other = (term.root / "exercises/01_warm_up/01_warm_up.ipynb").read_bytes()
    result = term.grade(other)
    assert (result.state, result.code) == ("FAILED", "wrong_notebook")


def _zip(files):
    import io
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name, data in files.items():
            target.writestr(name, data)
    return buffer.getvalue()


ESCAPES = {
    "reads our files": """
import glob, os
for place in ({course_dir!r}, {root!r}, "/root/.bashrc", "/root/.ssh", "/home", "/var", "/run", "/etc/shadow"):
    print("SEEN" if os.path.exists(place) else "absent", place)
print("labels", [p for p in glob.glob("/**/labels*", recursive=True) if not p.startswith(("/usr", "/proc", "/sys"))])
""",
    "deletes the gradebook": """
import os, shutil
for place in ({course_dir!r} + "/gradebook.db", {root!r} + "/outside/precious", "/course"):
    try: (shutil.rmtree if os.path.isdir(place) else os.remove)(place); print("SEEN removed", place)
    except OSError: pass
""",
    "writes into the package": """
import os, exercise_code
for place in (exercise_code.__file__, "/course/exercise_code/new.py", "/course/x", os.__file__):
    try: open(place, "a").write("#"); print("SEEN wrote", place)
    except OSError: pass
""",
    "kills its parents": """
import os, signal
for pid in (os.getppid(), 1, -1 if False else {pid}, 0 if False else {pid} - 1):
    try: os.kill(pid, 0); print("at", pid)
    except OSError: pass
try: os.kill({pid}, signal.SIGKILL); print("SEEN killed")
except OSError: pass
""",
    "looks around in /proc": """
import os
for pid in filter(str.isdigit, os.listdir("/proc")):
    for name in ("environ", "cmdline", "maps"):
        try:
            data = open(f"/proc/{{pid}}/{{name}}", "rb").read()
            if b"pytest\\0" in data or b"labels" in data or b"gradebook" in data: print("SEEN", pid, name)
        except OSError: pass
""",
    "opens sockets": """
import socket
for family, address in ((socket.AF_INET, ("1.1.1.1", 53)), (socket.AF_INET, ("127.0.0.1", 22))):
    try: socket.create_connection(address, 1); print("SEEN", address)
    except OSError: pass
for family in (40, 17, 38):
    try: socket.socket(family, socket.SOCK_DGRAM); print("SEEN family", family)
    except OSError: pass
""",
    "opens a namespace": """
import ctypes, os
libc = ctypes.CDLL(None)
print("SEEN" if libc.unshare(0x10000000) == 0 else "no namespace")
print("SEEN" if libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0 else "no mount")
try: os.memfd_create("x"); print("SEEN memfd")
except OSError: print("no memfd")
""",
    "traces the kernel's parent": """
import ctypes, os
print("SEEN" if ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == 0 else "not traced")
""",
    "plants a library": """
open("numpy.py", "w").write("raise SystemExit"); open("json.py", "w").write("raise SystemExit")
open("sitecustomize.py", "w").write("print('SEEN')")
""",
    "waits for the end": """
import atexit, signal, threading, time, os
atexit.register(time.sleep, 600)
for n in (signal.SIGTERM, signal.SIGHUP): signal.signal(n, signal.SIG_IGN)
threading.Thread(target=time.sleep, args=(600,)).start()
if os.fork() == 0:
    os.setsid(); time.sleep(600)
class Never:
    def __del__(self): time.sleep(600)
never = Never()
""",
}


@pytest.mark.attack(17, 19, 33, 43, 101, verdict="SCORED; nothing was seen, written, killed or left")
@pytest.mark.parametrize("what", ESCAPES)
def test_a_cell_that_reaches_out_of_the_sandbox_finds_nothing_and_the_honest_part_is_paid(term, what):
    code = ESCAPES[what].format(course_dir=str(term.course_dir), root=str(term.root), pid=os.getpid())
    result = term.grade(term.notebook(code))
    assert "SEEN" not in term.printed()
    assert {name: result.per_task[name].points for name in ALL} == ALL


FLOODS = {
    "comms": "from ipykernel.comm import Comm\nfor i in range(3000): Comm(target_name='x', data={'a': 'b' * 1000})",
    "displays": "from IPython.display import display\nfor i in range(3000): display({'text/html': '<script>1</script>'}, raw=True)",
    "one huge output": "print('x' * 40_000_000)",
    "updates of other cells": "from IPython.display import display, update_display\ndisplay(1, display_id='a')\nfor i in range(2000): update_display(i, display_id='a')",
    "a message of 100 MB": "k = get_ipython().kernel\nk.session.send(k.iopub_socket, 'stream', {'name': 'stdout', 'text': 'x' * 100_000_000}, parent=k.get_parent())",
    "input": "try: input('password?')\nexcept Exception as e: print(type(e).__name__)",
    "shutdown": "get_ipython().kernel.do_shutdown(True)",
    "strange reply": "k = get_ipython().kernel\nk.session.send(k.shell_stream, 'execute_reply', {'status': 'ok'}, parent={}, ident=b'x')",
}


@pytest.mark.slow
@pytest.mark.attack(38, 39, 102, verdict="SCORED or FAILED(kernel_*), bounded, the next student as ever")
@pytest.mark.parametrize("what", FLOODS)
def test_floods_of_messages_are_bounded_and_the_next_notebook_is_graded(term, what):
    result = term.grade(term.notebook(FLOODS[what], before="task_mean"), cell_timeout_s=10, notebook_timeout_s=30)
    assert result.per_task["tanh"].points == 2.0, result
    path = term.course_dir / "autograded/mallory/02_main/02_main.ipynb"
    assert path.stat().st_size < 12_000_000
    after = term.grade(term.notebook(), student="after")
    assert {name: after.per_task[name].points for name in ALL} == ALL


KILLERS = {
    "fork bomb": (
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
        {"processes", "kernel_unresponsive", "timeout"},
    ),
    "memory": ("h = []\nwhile True: h.append(bytearray(b'x' * (32 << 20)))", {"memory"}),
    "leaves": ("import os; os._exit(0)", {"kernel_died"}),
    "crashes": ("import ctypes; ctypes.string_at(0)", {"kernel_died"}),
    "deaf": (
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass",
        {"kernel_unresponsive", "timeout"},
    ),
}


@pytest.mark.slow
@pytest.mark.attack(15, 32, 35, 36, 103, verdict="FAILED(kernel_died | memory | processes | kernel_unresponsive)")
@pytest.mark.parametrize("what", KILLERS)
def test_a_cell_that_ends_its_kernel_fails_its_notebook_only(term, what):
    code, codes = KILLERS[what]
    patience = 40 if what == "memory" else 4  # on a busy machine 3 GiB take their time
    result = term.grade(term.notebook(code), cell_timeout_s=patience, notebook_timeout_s=patience + 21)
    assert result.points == 0 and result.state == "FAILED" and result.code in codes, result
    assert sum(term.recorded("mallory").values()) == 0


@pytest.mark.attack(104, verdict="restored and reported")
def test_edited_deleted_duplicated_and_retyped_test_cells_earn_nothing_more(term):
    edited = term.notebook(task_mean=WRONG, check_mean="pass")
    assert term.points(edited) == ALL | {"mean": 0.0}
    deleted = term.notebook(task_mean=WRONG)
    deleted["cells"] = [cell for cell in deleted["cells"] if cell["id"] != "check_mean"]
    assert term.points(deleted) == ALL | {"mean": 0.0}
    retyped = term.notebook(task_mean=WRONG)
    for cell in retyped["cells"]:
        if cell["id"] == "check_mean":
            cell["cell_type"] = "markdown"
            cell["metadata"]["nbgrader"] |= {"points": 100, "grade": True, "solution": True, "locked": False}
    assert term.points(retyped) == ALL | {"mean": 0.0}
    twice = term.notebook(task_mean=WRONG)
    twice["cells"].append(copy.deepcopy(twice["cells"][3]))
    twice["cells"].append(
        copy.deepcopy(next(c for c in twice["cells"] if c["id"] == "check_mean")) | {"source": "pass"}
    )
    assert term.points(twice)["mean"] == 0.0
    swapped = term.notebook(task_mean=WRONG)
    for cell in swapped["cells"]:  # the identity of a passed check for the failing one
        if cell["id"] == "check_mean":
            cell["metadata"]["nbgrader"]["grade_id"] = "check_tanh"
    assert term.points(swapped)["mean"] == 0.0


@pytest.mark.attack(105, verdict="the message is the student's own text, one line, and no hidden test")
def test_a_failing_check_does_not_print_the_hidden_test(term):
    spy = "def mean(numbers):\n    raise ValueError(In[-1] + get_ipython().history_manager.input_hist_raw[-1])"
    result = term.grade(term.notebook(task_mean=spy))
    message = result.per_task["mean"].message
    assert result.per_task["mean"].points == 0.0 and "\n" not in message and len(message) <= 300
    assert "large numbers cancel" not in message and "1e16" not in message
