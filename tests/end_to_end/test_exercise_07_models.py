"""Exercise 07's two models: what a student's export holds, the scorer's own check reads, with the same count."""

from pathlib import Path

import pytest
import torch

from autograder.course.manifest import load
from autograder.grading.model_check import check_model
from autograder.grading.model_refusal import ModelRefused
from exercise_code.data import ComposeTransform, NormalizeTransform, RescaleTransform
from exercise_code.labs.distillation import StudentNet
from exercise_code.labs.networks import MLP
from exercise_code.onnx_export import count_parameters, export_onnx
from exercise_code.submit import SubmissionRefused, submit

ROOT = Path(__file__).resolve().parents[2]
TRANSFORM = ComposeTransform([RescaleTransform(), NormalizeTransform(0.1307, 0.3081)])


@pytest.fixture(scope="module")
def exercise():
    return load(ROOT / "solutions" / "course.toml").exercise("07_distillation")


def _export(model, tmp_path):
    return export_onnx(model, tmp_path / "m.onnx", input_shape=(1, 28, 28), transform=TRANSFORM).read_bytes()


def test_the_reference_student_is_accepted_with_the_count_that_the_student_sees(exercise, tmp_path):
    content = _export(StudentNet(), tmp_path)

    for contract in exercise.models:
        facts = check_model(content, contract)
        assert facts.parameters == count_parameters(content) == 39_762 <= contract.max_parameters == 40_000


def test_a_student_of_51_units_is_too_large_for_both_sides(exercise, tmp_path):
    content = _export(MLP(51), tmp_path)

    assert count_parameters(content) > 40_000
    for contract in exercise.models:
        with pytest.raises(ModelRefused, match="at most 40,000"):
            check_model(content, contract)


def test_the_two_files_are_the_same_network_trained_in_two_ways(exercise):
    assert [model.file for model in exercise.models] == ["distilled.onnx", "plain.onnx"]
    assert exercise.board.rank == "distilled.onnx" and exercise.board.before == "plain.onnx"


def test_submit_packs_both_and_refuses_a_teacher_or_a_missing_one(tmp_path, monkeypatch, exercise):
    folder = ROOT / "exercises" / "07_distillation"
    if not folder.is_dir():
        pytest.skip("exercises/07_distillation is not released yet")
    for file in folder.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    student = {"input_shape": (1, 28, 28), "transform": TRANSFORM, "data": "mnist stand-in"}
    claimed = {"distilled.onnx": 0.97, "plain.onnx": 0.96}
    both = {"distilled.onnx": StudentNet(), "plain.onnx": StudentNet()}

    path = submit("07_distillation", both, claimed, **student)
    assert path.is_file()
    path.unlink()
    with pytest.raises(SubmissionRefused, match="distilled.onnx: at most 40,000 parameters"):
        submit("07_distillation", both | {"distilled.onnx": MLP((1200, 1200))}, claimed, **student)
    with pytest.raises(SubmissionRefused, match="plain.onnx"):
        submit("07_distillation", {"distilled.onnx": StudentNet()}, {"distilled.onnx": 0.97}, **student)
    assert not path.exists()
