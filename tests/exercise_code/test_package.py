"""The package as a whole: quick to import, its examples true, its NumPy part free of heavy imports."""

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest

import exercise_code

MODULES = sorted(m.name for m in pkgutil.walk_packages(exercise_code.__path__, "exercise_code."))


def _fresh(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name):
    result = doctest.testmod(importlib.import_module(name))

    assert result.failed == 0


def test_the_numpy_part_loads_nothing_heavy():
    loaded = _fresh(
        "import sys, exercise_code, exercise_code.data, exercise_code.networks, exercise_code.solver,"
        "exercise_code.hyperparameter_tuning, exercise_code.checks, exercise_code.plots, exercise_code.submit,"
        "exercise_code.data.registry; print(' '.join(sys.modules))"
    ).split()

    assert not {"torch", "torchvision", "hyperopt", "matplotlib", "sklearn", "onnx", "onnxruntime", "pooch"} & set(
        loaded
    )


def test_the_package_itself_imports_in_under_a_fifth_of_a_second():
    times = [
        float(_fresh("import time; t = time.perf_counter(); import exercise_code; print(time.perf_counter() - t)"))
        for _ in range(5)
    ]

    assert min(times) < 0.2


def test_names_are_where_i2dl_students_know_them():
    from exercise_code.data import ComposeTransform, DataLoader, ImageFolderDataset  # noqa: F401 -- the import is the test
    from exercise_code.hyperparameter_tuning import grid_search, random_search  # noqa: F401
    from exercise_code.networks import ClassificationNet  # noqa: F401
    from exercise_code.networks.layer import LeakyRelu, Relu, Sigmoid, Tanh  # noqa: F401
    from exercise_code.networks.loss import BCE, MSE, CrossEntropyFromLogits  # noqa: F401
    from exercise_code.networks.optimizer import SGD, Adam, sgd_momentum  # noqa: F401
    from exercise_code.solver import Solver  # noqa: F401
