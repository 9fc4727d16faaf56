"""Exercise 06's two models: what a student's export holds, the scorer's own check reads, with the same count."""

from pathlib import Path

import pytest

from autograder.course.manifest import load
from autograder.grading.model_check import check_model
from autograder.grading.model_refusal import ModelRefused
from exercise_code.data import ComposeTransform, NormalizeTransform, RescaleTransform
from exercise_code.labs.networks import MLP, parameter_count
from exercise_code.onnx_export import count_parameters, export_onnx
from exercise_code.submit import SubmissionRefused, submit

ROOT = Path(__file__).resolve().parents[2]
TRANSFORM = ComposeTransform([RescaleTransform(), NormalizeTransform(0.1307, 0.3081)])
LARGEST = (640, 640, 640)  # of the search space


@pytest.fixture(scope="module")
def exercise():
    return load(ROOT / "solutions" / "course.toml").exercise("06_hyperopt")


def _export(model, tmp_path):
    return export_onnx(model, tmp_path / "m.onnx", input_shape=(1, 28, 28), transform=TRANSFORM).read_bytes()


def test_the_board_shows_before_and_after(exercise):
    assert sorted(model.file for model in exercise.models) == ["baseline.onnx", "tuned.onnx"]
    assert exercise.board.rank == "tuned.onnx" and exercise.board.before == "baseline.onnx"
    assert exercise.hidden_set.dataset == "mnist" and exercise.hidden_set.pass_percent == 97


@pytest.mark.parametrize("hidden", [(100,), LARGEST])
def test_networks_from_the_default_to_the_largest_of_the_space_are_accepted(exercise, tmp_path, hidden):
    model = MLP(hidden, dropout=0.3)
    content = _export(model, tmp_path)

    for contract in exercise.models:
        facts = check_model(content, contract)
        assert facts.parameters == count_parameters(content) == parameter_count(model) + 2  # and the normalisation
        assert len(content) <= contract.max_bytes


def test_a_network_of_another_order_of_size_is_refused(exercise, tmp_path):
    content = _export(MLP((2100, 2000)), tmp_path)

    with pytest.raises(ModelRefused, match="at most 5,000,000"):
        check_model(content, exercise.models[0])


def test_submit_wants_both_networks_and_both_accuracies(tmp_path, monkeypatch):
    folder = ROOT / "exercises" / "06_hyperopt"
    if not folder.is_dir():
        pytest.skip("exercises/06_hyperopt is not released yet")
    for file in folder.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.chdir(tmp_path)
    settings = {"input_shape": (1, 28, 28), "transform": TRANSFORM, "data": "mnist stand-in"}
    models = {"baseline.onnx": MLP(20, seed=0), "tuned.onnx": MLP((30, 30), seed=0)}
    claimed = {"baseline.onnx": 0.97, "tuned.onnx": 0.98}

    with pytest.raises(SubmissionRefused, match="baseline.onnx"):
        submit("06_hyperopt", {"tuned.onnx": models["tuned.onnx"]}, {"tuned.onnx": 0.98}, **settings)
    with pytest.raises(SubmissionRefused, match="tuned.onnx"):
        submit("06_hyperopt", models, {"baseline.onnx": 0.97}, **settings)
    assert submit("06_hyperopt", models, claimed, **settings).is_file()
