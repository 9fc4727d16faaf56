"""Photographs of a hidden set come in the size that the models expect."""

from pathlib import Path

import numpy as np
from PIL import Image

from autograder.grading import hidden_set


def test_photographs_are_scaled_to_the_side_of_the_model(tmp_path: Path) -> None:
    for name in ("ill", "well"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (50, 40), (10 * i, 90, 0)).save(tmp_path / "photos" / name / f"{i}.png")
    course = tmp_path / "course"
    meta = hidden_set.build(course, "08_batch_norm", folder=tmp_path / "photos", part="all", side=16)
    assert meta["shape"] == [3, 16, 16] and meta["size"] == 6 and meta["built_from"]["side"] == 16
    assert np.load(hidden_set.inputs_path(course, "08_batch_norm")).shape == (6, 3, 16, 16)
    assert hidden_set.build(course, "08_batch_norm", folder=tmp_path / "photos", part="all", side=16) == meta
