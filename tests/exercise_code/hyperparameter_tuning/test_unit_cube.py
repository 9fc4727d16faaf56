"""Arrays of unit coordinates agree with what Space says about one configuration at a time."""

import numpy as np

from exercise_code.hyperparameter_tuning import Choice, Float, Int, Normal, Space
from exercise_code.hyperparameter_tuning.unit_cube import UnitCube

SPACE = Space(
    {
        "lr": Float(1e-5, 1.0, log=True),
        "noise": Normal(0.0, 1.0),
        "width": Int(8, 512, log=True),
        "layers": Int(1, 7),
        "seed": Int(0, 10**6),
        "net": Choice(
            {
                "mlp": {"act": Choice(["relu", "tanh", "sigmoid"], weights=[1, 5, 2])},
                "cnn": {"pool": Choice({"max": {}, "mean": {"power": Float(1, 3)}})},
                "linear": {},
            }
        ),
    }
)


def test_snapping_equals_the_way_to_a_configuration_and_back():
    points = np.random.default_rng(0).random((500, len(SPACE.dimensions)))
    seed = SPACE.names.index("seed")
    expected = np.array([SPACE.to_unit(SPACE.from_unit(point)) for point in points])

    snapped = UnitCube(SPACE).snap(points)

    np.testing.assert_allclose(np.delete(snapped, seed, axis=1), np.delete(expected, seed, axis=1), atol=1e-9)
    np.testing.assert_allclose(snapped[:, seed], expected[:, seed], atol=1e-6)  # too many values: left as it is


def test_active_dimensions_are_those_of_the_configuration_also_two_levels_down():
    points = np.random.default_rng(1).random((300, len(SPACE.dimensions)))
    expected = np.array([SPACE.active(SPACE.from_unit(point)) for point in points])

    np.testing.assert_array_equal(UnitCube(SPACE).active(points), expected)
    assert expected[:, SPACE.names.index("power")].any()


def test_the_ends_of_the_interval_fall_into_the_outer_cells():
    cube = UnitCube(SPACE)
    layers = SPACE.names.index("layers")

    assert cube.cells(np.array([0.0, 1.0]), layers).tolist() == [0, 6]


def test_nothing_is_written_into_the_points():
    points = np.full((3, len(SPACE.dimensions)), 0.3)
    UnitCube(SPACE).snap(points)

    assert (points == 0.3).all()
