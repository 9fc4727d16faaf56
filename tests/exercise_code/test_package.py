"""The package as a whole: quick to import, its examples true, its NumPy part free of heavy imports."""

import dataclasses
import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys

import matplotlib
import pytest

import exercise_code

matplotlib.use("agg")
import matplotlib.pyplot  # noqa: E402 -- after the choice of the backend

MODULES = sorted(m.name for m in pkgutil.walk_packages(exercise_code.__path__, "exercise_code."))


def _fresh(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def _no_open_figures():
    yield
    matplotlib.pyplot.close("all")


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name, _no_open_figures):
    result = doctest.testmod(importlib.import_module(name))

    assert result.failed == 0


# Parts of the package that students call from notebooks only through others, with what they rest on instead of examples.
WITHOUT_EXAMPLES = {
    "exercise_code.checks": "called by check cells; the catalogues of right and wrong answers run them",
    "exercise_code.hyperparameter_tuning.trial": "its run_isolated starts a process",
    "exercise_code.jobs": "starts processes",
    "exercise_code.child_process": "starts processes",
    "exercise_code.dask_engine": "starts a cluster",
    "exercise_code.limited_child": "limits the process it runs in",
    "exercise_code.data.download": "needs the network",
}
EXPLAINED = [m for m in MODULES if not m.startswith(tuple(WITHOUT_EXAMPLES))]


def _public(module):
    for name, thing in vars(module).items():
        made_here = getattr(thing, "__module__", None) == module.__name__ and not name.startswith("_")
        if made_here and (inspect.isfunction(thing) or inspect.isclass(thing)):
            yield name, thing


def _needs_no_example(name, thing):
    """Command lines, exceptions, and records, which the functions that return them show."""
    is_record = dataclasses.is_dataclass(thing) or hasattr(thing, "_fields")
    is_exception = inspect.isclass(thing) and issubclass(thing, Exception)
    return name in ("main", "CommandLine", "exit_code") or is_record or is_exception


@pytest.mark.parametrize("name", EXPLAINED)
def test_every_public_name_is_explained_and_shown_by_an_example(name):
    module = importlib.import_module(name)
    shown = module.__doc__ if ">>>" in (module.__doc__ or "") else ""

    lacking = [
        public
        for public, thing in _public(module)
        if not thing.__doc__
        or not (">>>" in thing.__doc__ or f"{public}(" in shown or _needs_no_example(public, thing))
    ]

    assert not lacking


@pytest.mark.parametrize("name", EXPLAINED)
def test_every_public_method_and_property_is_explained_where_it_is_defined_first(name):
    lacking = [
        f"{public}.{member}"
        for public, thing in _public(importlib.import_module(name))
        if inspect.isclass(thing)
        for member, value in vars(thing).items()
        if not member.startswith("_")
        and (callable(value) or isinstance(value, property | classmethod | staticmethod))
        and not any(inspect.getdoc(vars(base)[member]) for base in thing.__mro__ if member in vars(base))
    ]

    assert not lacking


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_is_for(name):
    assert importlib.import_module(name).__doc__


def test_exempt_modules_exist():
    for start in WITHOUT_EXAMPLES:
        assert any(name.startswith(start) for name in MODULES), start


def test_the_numpy_part_loads_nothing_heavy():
    loaded = _fresh(
        "import sys, exercise_code, exercise_code.data, exercise_code.networks, exercise_code.solver,"
        "exercise_code.hyperparameter_tuning, exercise_code.checks, exercise_code.plots, exercise_code.submit,"
        "exercise_code.data.registry; print(' '.join(sys.modules))"
    ).split()

    assert not {"torch", "torchvision", "hyperopt", "matplotlib", "sklearn", "onnx", "onnxruntime", "pooch"} & set(
        loaded
    )


def test_importing_the_package_itself_loads_none_of_its_parts_and_no_library():
    before, after = (
        set(_fresh(f"import sys{more}; print(' '.join(sys.modules))").split()) for more in ("", ", exercise_code")
    )

    assert after - before == {"exercise_code"}


def test_names_are_where_i2dl_students_know_them():
    from exercise_code.data import ComposeTransform, DataLoader, ImageFolderDataset  # noqa: F401 -- the import is the test
    from exercise_code.hyperparameter_tuning import grid_search, random_search  # noqa: F401
    from exercise_code.networks import ClassificationNet  # noqa: F401
    from exercise_code.networks.layer import LeakyRelu, Relu, Sigmoid, Tanh  # noqa: F401
    from exercise_code.networks.loss import BCE, MSE, CrossEntropyFromLogits  # noqa: F401
    from exercise_code.networks.optimizer import SGD, Adam, sgd_momentum  # noqa: F401
    from exercise_code.solver import Solver  # noqa: F401
