"""Figures of searches: they show the numbers they were given, draw into given axes, and cope with failed trials."""

import math

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from exercise_code.hyperparameter_tuning import (
    Choice,
    Float,
    GaussianProcessSearcher,
    Int,
    RandomSearcher,
    ReinforceController,
    Result,
    Space,
    TPESearcher,
)
from exercise_code.hyperparameter_tuning.hyperband import hyperband_brackets
from exercise_code.hyperparameter_tuning.importance import importance, unique_names
from exercise_code.hyperparameter_tuning.plots_methods import (
    plot_brackets,
    plot_gaussian_process,
    plot_grid_versus_random,
    plot_policy,
    plot_tpe,
)
from exercise_code.hyperparameter_tuning.plots_search import (
    best_so_far,
    plot_best_so_far,
    plot_importance,
    plot_parallel_coordinates,
    plot_slices,
)
from tests.exercise_code.hyperparameter_tuning.by_hand import run

SPACE = Space(
    {
        "lr": Float(1e-5, 1.0, log=True),
        "optimizer": Choice({"sgd": {"momentum": Float(0.0, 0.99)}, "adam": {}}),
        "width": Int(8, 512, log=True),
        "layers": Int(1, 4),
    }
)


def error(c):
    if c["lr"] > 0.3:
        return math.nan
    return 0.1 + 0.1 * (math.log10(c["lr"]) + 3) ** 2 + 0.02 * c["layers"]


@pytest.fixture(scope="module")
def results():
    found = run(RandomSearcher(SPACE, 80, 0), error)
    assert any(r.status == "nan" for r in found)
    return found


@pytest.fixture(autouse=True)
def drawn_without_a_warning():
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


def test_epochs_spent_count_a_continued_trial_once():
    runs = [Result(0, {}, 3, 0.5, "ok"), Result(1, {}, 3, math.inf, "nan"), Result(2, {}, 9, 0.4, "ok", start_epoch=3)]
    spent, best = best_so_far(runs)

    assert spent.tolist() == [3, 6, 12] and best.tolist() == [0.5, 0.5, 0.4]


def test_best_so_far_steps_down_to_the_best_value_and_shows_the_median_of_several_runs(results):
    figure = plot_best_so_far({"one": results, "many": [results[:40], results[40:]]}, log="y")

    (axes,) = figure.axes
    one, many = (axes.lines[0].get_ydata(), axes.lines[2].get_ydata())
    assert one[-1] == min(r.value for r in results) and (np.diff(one) <= 0).all()
    assert many[-1] == np.median([min(r.value for r in half) for half in (results[:40], results[40:])])
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "log")


def test_best_so_far_of_a_search_that_began_with_failures_is_drawn():
    failed = [Result(i, {}, 1, math.inf, "failed") for i in range(2)]

    plot_best_so_far({"a": [*failed, Result(2, {}, 1, 0.3, "ok")]})


def test_parallel_coordinates_draw_every_trial_and_break_where_a_parameter_is_missing(results):
    figure = plot_parallel_coordinates(SPACE, results)

    (axes,) = figure.axes
    lines = [line.get_ydata() for line in axes.lines if len(line.get_xdata()) == len(SPACE.dimensions) + 1]
    assert len(lines) == len(results)
    missing = sum(np.isnan(line[SPACE.names.index("momentum")]) for line in lines)
    assert missing == sum(r.config["optimizer"] == "adam" for r in results)
    assert "failed" in axes.get_title()


def test_slices_have_log_axes_where_the_parameter_has_and_a_panel_per_dimension(results):
    figure = plot_slices(SPACE, results)

    panels = {axes.get_xlabel(): axes for axes in figure.axes if axes.get_xlabel()}
    assert set(SPACE.names) <= set(panels)
    assert panels["lr"].get_xscale() == panels["width"].get_xscale() == "log"
    assert panels["layers"].get_xscale() == panels["momentum"].get_xscale() == "linear"
    assert len(panels["momentum"].collections[0].get_offsets()) == sum(
        r.config["optimizer"] == "sgd" and r.status == "ok" for r in results
    )


def test_importance_names_the_parameter_that_matters_and_shares_add_up_to_at_most_one(results):
    found = importance(SPACE, results)

    assert max(found.shares, key=found.shares.get) == "lr" and found.shares["lr"] > 0.6
    assert found.shares["width"] < 0.05 and found.r2 > 0.5
    assert 0 <= found.together_only <= 1 and sum(found.shares.values()) <= 1.1
    assert importance(SPACE, results) == found


def test_two_parameters_that_matter_equally_get_equal_shares():
    space = Space({"x": Float(0, 1), "y": Float(0, 1), "idle": Float(0, 1)})
    found = importance(space, run(RandomSearcher(space, 400, 1), lambda c: c["x"] + c["y"]))

    assert found.shares["x"] == pytest.approx(found.shares["y"], abs=0.08)
    assert found.shares["x"] > 0.35 and found.shares["idle"] < 0.02


def test_what_only_a_combination_explains_is_not_given_to_one_parameter():
    space = Space({"a": Choice([0, 1]), "b": Choice([0, 1])})
    found = importance(space, run(RandomSearcher(space, 60, 1), lambda c: float(c["a"] != c["b"])))

    assert found.together_only > 0.9


def test_importance_of_too_few_trials_is_refused_and_equal_names_are_told_apart(results):
    with pytest.raises(ValueError, match="at least 10 results with different values, got 9"):
        importance(SPACE, results[:9])
    twins = Space({"net": Choice({"a": {"k": Int(1, 3)}, "b": {"k": Int(1, 9)}})})
    assert len(set(unique_names(twins))) == 3


def test_importance_bars_are_the_shares(results):
    (axes,) = plot_importance(SPACE, results).axes

    shares = importance(SPACE, results).shares
    widths = [bar.get_width() / 100 for bar in axes.patches]
    assert widths[-1] == pytest.approx(max(shares.values()))


def test_the_grid_tries_three_values_of_what_matters_and_random_nine():
    figure = plot_grid_versus_random()

    titles = [axes.get_title() for axes in figure.axes[:2]]
    assert titles == ["grid: 9 trials, 3 values tried", "random: 9 trials, 9 values tried"]


def test_brackets_show_the_number_of_configurations_of_every_rung():
    figure = plot_brackets(hyperband_brackets(27))

    assert [[text.get_text() for text in axes.texts] for axes in figure.axes] == [
        ["27", "9", "3", "1"],
        ["9", "3", "1"],
        ["6", "2"],
        ["4"],
    ]


def test_the_process_is_drawn_with_its_points_and_the_maximum_of_the_acquisition_function():
    line = Space({"x": Float(0.01, 100.0, log=True)})
    searcher = GaussianProcessSearcher(line, 12, 0, startup=4)
    run(searcher, lambda c: math.nan if c["x"] > 80 else math.log10(c["x"]) ** 2)

    figure = plot_gaussian_process(searcher, truth=lambda x: math.log10(x) ** 2)

    upper, lower = figure.axes
    assert upper.get_xscale() == lower.get_xscale() == "log"
    acquisition = lower.lines[0]
    highest = acquisition.get_xdata()[np.argmax(acquisition.get_ydata())]
    assert lower.lines[1].get_xdata()[0] == highest
    assert "after 12 trials" in upper.get_title()


@pytest.mark.parametrize("name", ["lr", "optimizer", "momentum", "layers"])
def test_tpe_shows_its_groups_and_two_densities_along_any_parameter(name):
    searcher = TPESearcher(SPACE, 40, 0)
    run(searcher, error)

    figure = plot_tpe(searcher, name)

    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["34 bad trials", "6 good trials"]
    labels = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert labels[0] == "l: good" and labels[1] == "g: bad"


def test_tpe_without_trials_has_nothing_to_show():
    with pytest.raises(ValueError, match="told at least one finite value"):
        plot_tpe(TPESearcher(SPACE, 10), "lr")


def test_the_policy_has_a_curve_per_option_that_starts_uniform():
    controller = ReinforceController({"layers": Int(1, 4), "norm": Choice([False, True])}, 40, 0)
    run(controller, lambda c: c["layers"] + c["norm"])

    layers, norm = plot_policy(controller).axes[:2]

    assert [line.get_ydata()[0] for line in layers.lines] == [0.25] * 4
    assert [text.get_text() for text in norm.get_legend().get_texts()] == ["False", "True"]


def test_every_figure_can_be_drawn_into_given_axes(results):
    figure, grid = plt.subplots(6, 5, figsize=(20, 20))
    rows = list(grid)
    tpe = TPESearcher(SPACE, 20, 0)
    run(tpe, error)
    process = GaussianProcessSearcher(SPACE, 10, 0)
    run(process, error)
    controller = ReinforceController({"norm": Choice([False, True])}, 10, 0)
    run(controller, lambda c: float(c["norm"]))

    drawn = [
        plot_best_so_far({"a": results}, axes=rows[0][0]),
        plot_parallel_coordinates(SPACE, results, axes=rows[0][1]),
        plot_importance(SPACE, results, axes=rows[0][2]),
        plot_policy(controller, axes=rows[0][3]),
        plot_slices(SPACE, results, axes=rows[1]),
        plot_grid_versus_random(axes=rows[2][:4]),
        plot_brackets(hyperband_brackets(81), axes=rows[3]),
        plot_gaussian_process(process, "lr", axes=rows[4][:2]),
        plot_tpe(tpe, "width", axes=rows[4][2:4]),
    ]

    assert all(one is figure for one in drawn) and plt.get_fignums() == [figure.number]
