"""Packing a submission: complete, deterministic, or refused with a list."""

import json
import sys
import types
import zipfile

import numpy as np
import onnxruntime
import pytest

from exercise_code.networks import ClassificationNet
from exercise_code.submit import SubmissionRefused, submit

SHAPE = (3, 4, 5)


@pytest.fixture
def notebook(tmp_path):
    path = tmp_path / "04_grid_search.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": "1"}], "nbformat": 4}))
    return path


def _submit(tmp_path, notebook, **changes):
    arguments = {
        "models": {"model.onnx": ClassificationNet(input_size=60)},
        "claimed": {"model.onnx": 0.5},
        "input_shape": SHAPE,
        "data": "cifar10",
        "notebook": notebook,
        "out": tmp_path / "submission.zip",
    }
    return submit("04_grid_search", **(arguments | changes))


def test_the_zip_holds_the_notebook_a_working_model_and_the_description(tmp_path, notebook, capsys):
    path = _submit(tmp_path, notebook)

    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["04_grid_search.ipynb", "model.onnx", "submission.json"]
        assert archive.read("04_grid_search.ipynb") == notebook.read_bytes()
        description = json.loads(archive.read("submission.json"))
        session = onnxruntime.InferenceSession(archive.read("model.onnx"))
    assert description["exercise"] == "04_grid_search"
    assert description["claimed"] == {"model.onnx": 0.5}
    assert description["data"] == "cifar10"
    assert session.run(None, {"images": np.zeros((2, *SHAPE), np.float32)})[0].shape == (2, 10)
    assert "Hand in this one file" in capsys.readouterr().out


def test_packing_twice_gives_the_same_bytes(tmp_path, notebook):
    first = _submit(tmp_path, notebook).read_bytes()

    assert _submit(tmp_path, notebook).read_bytes() == first


def test_everything_that_is_missing_is_listed_at_once_and_nothing_is_written(tmp_path):
    with pytest.raises(SubmissionRefused) as refused:
        _submit(tmp_path, tmp_path / "gone.ipynb", models={"model.onnx": None}, claimed={"other.onnx": 0.5})

    message = str(refused.value)
    assert "gone.ipynb is not there" in message
    assert "the model is None" in message
    assert "claimed accuracy is missing" in message
    assert "'other.onnx', which is not among the models" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [-0.1, 52.0, float("nan")])
def test_a_claimed_accuracy_that_is_no_fraction_is_refused(tmp_path, notebook, value):
    with pytest.raises(SubmissionRefused, match="fraction from 0 to 1"):
        _submit(tmp_path, notebook, claimed={"model.onnx": value})


def test_a_file_that_is_no_notebook_is_refused(tmp_path):
    broken = tmp_path / "04_grid_search.ipynb"
    broken.write_text("{")

    with pytest.raises(SubmissionRefused, match="is not a notebook"):
        _submit(tmp_path, broken)


def test_a_model_that_cannot_be_exported_is_named_and_an_older_zip_survives(tmp_path, notebook):
    older = _submit(tmp_path, notebook).read_bytes()

    class Odd:
        def forward(self, x):
            return x, x

    with pytest.raises(
        SubmissionRefused, match="model.onnx: the activation of ClassificationNet, Odd, has no ONNX rule"
    ):
        _submit(tmp_path, notebook, models={"model.onnx": ClassificationNet(Odd(), input_size=60)})

    assert (tmp_path / "submission.zip").read_bytes() == older


def _contract(folder, **limits):
    model = {"file": "model.onnx", "input": [3, 4, 5], "classes": 10, "max_parameters": 10**6, "max_bytes": 10**7}
    facts = {"schema": 1, "exercise": "04_grid_search", "models": [model | limits]}
    (folder / "exercise.json").write_text(json.dumps(facts))


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        ({"file": "tuned.onnx"}, "tuned.onnx is missing: this exercise hands in tuned.onnx"),
        ({"file": "tuned.onnx"}, "'model.onnx' is not a model of this exercise"),
        ({"input": [3, 32, 32]}, r"expected input_shape \(3, 32, 32\), got \(3, 4, 5\)"),
        ({"max_parameters": 7110}, "at most 7,110 parameters, got 7,116"),  # 60*100+100 + 100*10+10, and 6 of scaling
        ({"max_bytes": 1000}, "at most 1,000 bytes"),
    ],
)
def test_a_model_outside_the_exercises_contract_is_refused_before_it_is_handed_in(tmp_path, notebook, limits, problem):
    _contract(tmp_path, **limits)

    with pytest.raises(SubmissionRefused, match=problem):
        _submit(tmp_path, notebook)

    assert not (tmp_path / "submission.zip").exists()


def test_a_model_inside_the_contract_is_packed(tmp_path, notebook):
    _contract(tmp_path)

    assert _submit(tmp_path, notebook).is_file()


def test_open_tasks_are_counted_but_do_not_stop_the_hand_in(tmp_path, notebook, capsys):
    stub = {"cell_type": "code", "source": ['    raise NotImplementedError("04_grid_search, task tanh: write it")']}
    notebook.write_text(json.dumps({"cells": [stub, stub, {"cell_type": "code", "source": "1"}], "nbformat": 4}))

    _submit(tmp_path, notebook)

    assert "2 task cell(s)" in capsys.readouterr().out


def test_the_notebook_is_found_from_its_own_folder_and_from_the_course_folder(tmp_path, monkeypatch):
    folder = tmp_path / "exercises" / "01_sigmoid"
    folder.mkdir(parents=True)
    (folder / "01_sigmoid.ipynb").write_text(json.dumps({"cells": [{"cell_type": "code", "source": "1"}]}))
    for place in (folder, tmp_path):
        monkeypatch.chdir(place)

        submit("01_sigmoid")

        with zipfile.ZipFile(place / "submission.zip") as archive:
            assert archive.read("01_sigmoid.ipynb") == (folder / "01_sigmoid.ipynb").read_bytes()


def _on_colab(monkeypatch, blocking_request):
    for name in ("google", "google.colab"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    message = types.ModuleType("google.colab._message")
    message.blocking_request = blocking_request
    monkeypatch.setitem(sys.modules, "google.colab._message", message)


def test_on_colab_the_notebook_of_the_browser_tab_is_packed_and_not_the_empty_one_of_the_bundle(tmp_path, monkeypatch):
    (tmp_path / "01_sigmoid.ipynb").write_text(json.dumps({"cells": [{"cell_type": "code", "source": "the stub"}]}))
    edited = {"cells": [{"cell_type": "code", "source": ["def solved():\n", "    return 1"]}], "nbformat": 4}
    _on_colab(monkeypatch, lambda request, timeout_sec: {"ipynb": edited} if request == "get_ipynb" else None)
    monkeypatch.chdir(tmp_path)

    submit("01_sigmoid")

    with zipfile.ZipFile(tmp_path / "submission.zip") as archive:
        assert json.loads(archive.read("01_sigmoid.ipynb")) == edited


def test_when_colab_hands_out_no_notebook_the_message_says_what_to_do_and_nothing_is_packed(tmp_path, monkeypatch):
    (tmp_path / "01_sigmoid.ipynb").write_text(json.dumps({"cells": [{"cell_type": "code", "source": "the stub"}]}))
    _on_colab(monkeypatch, lambda request, timeout_sec: None)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SubmissionRefused, match=r"Download \.ipynb.*notebook="):
        submit("01_sigmoid")
    assert not (tmp_path / "submission.zip").exists()
