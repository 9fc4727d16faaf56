"""Figures of a finished search; every function returns the matplotlib Figure and imports matplotlib when it is called.

`axes` draws into axes that are there, otherwise a figure is made.  See `exercise_code.plots.plot_search` for the accuracy of
network trials over one or two hyper-parameters, and `plots_methods` for how the searchers work.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.hyperparameter_tuning.importance import importance, unique_names
from exercise_code.hyperparameter_tuning.parameters import Choice, Parameter
from exercise_code.hyperparameter_tuning.searcher import Result
from exercise_code.hyperparameter_tuning.space import Space
from exercise_code.plots import BAD, GOOD, MUTED, _style


def best_so_far(results: Sequence[Result]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Epochs spent after each trial (n,) and the lowest value until then (n,); continued trials pay only for new epochs.

    >>> runs = [Result(0, {}, 3, 0.5, "ok"), Result(1, {}, 3, 0.7, "ok"), Result(2, {}, 9, 0.4, "ok", start_epoch=3)]
    >>> epochs, lowest = best_so_far(runs)
    >>> epochs.tolist(), lowest.tolist()
    ([3, 6, 12], [0.5, 0.5, 0.4])
    """
    spent = np.cumsum([result.epochs - result.start_epoch for result in results], dtype=np.int64)
    return spent, np.minimum.accumulate([result.value for result in results])


def plot_best_so_far(
    searches: Mapping[str, Sequence[Any]],
    *,
    optimum: float = 0.0,
    log: str = "xy",
    ylabel: str = "lowest value so far",
    axes: Any = None,
) -> Any:
    """Lowest value against epochs spent, one colour per method; several runs of a method give the median and the quartiles.

    Args:
        searches: name -> results of one search, or a list of such (several seeds).
        optimum: subtracted from the values, so that a log axis shows the regret.
        log: which axes are logarithmic: "xy", "x", "y" or "".

    >>> results = [Result(i, {"lr": lr}, 1, lr**2, "ok") for i, lr in enumerate((0.1, 0.5, 0.9))]
    >>> plot_best_so_far({"random": results}).axes[0].get_xlabel()
    'epochs spent'
    """
    figure, axes = _figure(axes, (7, 4.2))
    several = False
    for i, (name, given) in enumerate(searches.items()):
        runs = [given] if isinstance(given[0], Result) else given
        several = several or len(runs) > 1
        curves = [best_so_far(run) for run in runs]
        start = max(spent[0] for spent, _ in curves)
        grid = np.unique(np.concatenate([spent[spent >= start] for spent, _ in curves]))
        values = np.array([best[np.searchsorted(spent, grid, side="right") - 1] for spent, best in curves]) - optimum
        low, middle, high = np.quantile(np.where(np.isfinite(values), values, np.nan), [0.25, 0.5, 0.75], axis=0)
        axes.step(grid, middle, where="post", color=f"C{i}", linewidth=2, label=name)
        axes.plot(grid[-1], middle[-1], "o", color=f"C{i}", markersize=5)
        if len(runs) > 1:
            axes.fill_between(grid, low, high, step="post", color=f"C{i}", alpha=0.18, linewidth=0)
    for letter in log:
        axes.set(**{f"{letter}scale": "log"})
        low, high = axes.get_xlim() if letter == "x" else axes.get_ylim()
        if high < 100 * low:
            plain_log_ticks(axes.xaxis if letter == "x" else axes.yaxis)
    axes.set(
        xlabel="epochs spent",
        ylabel=ylabel,
        title="Best so far" + (", median and quartiles of the runs" if several else ""),
    )
    axes.legend(frameon=False)
    _style(axes)
    return figure


def plot_parallel_coordinates(space: Space, results: Sequence[Result], *, top: int = 5, axes: Any = None) -> Any:
    """Every trial as a line across one axis per hyper-parameter; the best `top` stand out, failed ones are dashed.

    Log parameters have log axes; a line is broken where a trial does not have the parameter.  The last axis is the value,
    cut off at the 90th percentile.

    >>> results = [Result(i, {"lr": lr}, 1, lr**2, "ok") for i, lr in enumerate((0.1, 0.5, 0.9))]
    >>> figure = plot_parallel_coordinates(Space({"lr": ([0.0, 1.0], "float")}), results, top=1)
    >>> figure.axes[0].get_title()
    '3 trials, the best 1 in bold'
    """
    from matplotlib.collections import LineCollection
    from matplotlib.colors import Normalize

    dims = len(space.dimensions)
    figure, axes = _figure(axes, (1.55 * (dims + 1) + 1.2, 4.6))
    values = np.array([result.value for result in results])
    alive = np.isfinite(values)
    if not alive.any():
        raise ValueError("expected at least one trial with a finite value, got none")
    low, high = values[alive].min(), np.quantile(values[alive], 0.9)
    shown = np.clip((values - low) / ((high - low) or 1.0), 0.0, 1.0)
    units = np.array([np.where(space.active(r.config), space.to_unit(r.config), np.nan) for r in results])
    jitter = np.random.default_rng(0).uniform(-0.3, 0.3, units.shape)
    cells = np.array([1 / d.parameter.size if isinstance(d.parameter, Choice) else 0.0 for d in space.dimensions])
    lines = np.column_stack([units + jitter * cells, np.where(alive, 1 - shown, np.nan)])
    order = np.argsort(-np.where(alive, values, np.inf), kind="stable")  # the best are drawn last
    best = set(order[-top:].tolist())
    colours = LineCollection([], cmap="viridis", norm=Normalize(low, high))
    for i in order:
        style: dict[str, Any] = {"color": BAD, "alpha": 0.35, "linewidth": 0.9, "linestyle": "--"}
        if alive[i]:
            style = {
                "color": colours.to_rgba(values[i]),
                "alpha": 0.95 if i in best else 0.3,
                "linewidth": 2.4 if i in best else 0.9,
            }
        axes.plot(range(dims + 1), lines[i], marker="o", markersize=3, **style)
    for d, dimension in enumerate(space.dimensions):
        axes.axvline(d, color=MUTED, linewidth=0.8, zorder=0)
        for position, text in _ticks(dimension.parameter):
            axes.text(d - 0.03, position, text, ha="right", va="center", fontsize=8, color="#333333", bbox=_HALO)
    axes.axvline(dims, color=MUTED, linewidth=0.8, zorder=0)
    for share in (0.0, 0.5, 1.0):
        text = f"{high - share * (high - low):.3g}"
        axes.text(dims + 0.04, share, text if share else f"{text} or more", va="center", fontsize=8)
    axes.set_xticks(range(dims + 1), [*unique_names(space), "value"])
    axes.set(yticks=[], xlim=(-0.55, dims + 0.65), ylim=(-0.05, 1.05))
    axes.tick_params(axis="x", length=0, pad=6)
    axes.spines[:].set_visible(False)
    failed = f", {np.sum(~alive)} failed (dashed)" if (~alive).any() else ""
    axes.set_title(f"{len(results)} trials, the best {len(best)} in bold{failed}")
    return figure


def plot_slices(space: Space, results: Sequence[Result], *, columns: int = 3, axes: Any = None) -> Any:
    """Value against each hyper-parameter by itself, colour by the order of the trials (light first); crosses have failed.

    axes, if given, are as many as the space has dimensions.

    >>> results = [Result(i, {"lr": lr}, 1, lr**2, "ok") for i, lr in enumerate((0.1, 0.5, 0.9))]
    >>> plot_slices(Space({"lr": ([0.0, 1.0], "float")}), results).axes[0].get_xlabel()
    'lr'
    """
    import matplotlib.pyplot as plt
    from matplotlib.colors import LinearSegmentedColormap

    dims = len(space.dimensions)
    if axes is None:
        columns = min(columns, dims)
        rows = -(-dims // columns)
        figure, grid = plt.subplots(
            rows, columns, figsize=(3.6 * columns, 3.0 * rows), squeeze=False, sharey=True, layout="constrained"
        )
        panels = list(grid.flat)
        for axis in panels[dims:]:
            axis.set_visible(False)
        for row in grid:
            row[0].set_ylabel("value")
    else:
        panels = list(np.ravel(axes))
        figure = panels[0].figure
    values = np.array([result.value for result in results])
    alive = np.isfinite(values)
    best = int(np.argmin(np.where(alive, values, np.inf)))
    top = values[alive].max() if alive.any() else 1.0
    units = np.array([space.to_unit(result.config) for result in results])
    active = np.array([space.active(result.config) for result in results])
    turn = np.arange(len(results))
    jitter = np.random.default_rng(0).uniform(-0.15, 0.15, len(results))
    greens = LinearSegmentedColormap.from_list("turns", ["#cfe8dc", GOOD, "#0a3325"])
    dots: Any = None
    for d, (axis, name) in enumerate(zip(panels, unique_names(space), strict=False)):
        parameter, here = space.dimensions[d].parameter, active[:, d]
        x = positions(parameter, units[:, d]) + (jitter if isinstance(parameter, Choice) else 0.0)
        ok = alive & here
        dots = axis.scatter(
            x[ok],
            values[ok],
            c=turn[ok],
            cmap=greens,
            vmin=0,
            vmax=len(turn) - 1,
            s=26,
            edgecolor=MUTED,
            linewidth=0.3,
        )
        axis.scatter(x[~alive & here], np.full(np.sum(~alive & here), top), marker="x", color=BAD, s=30)
        if here[best]:
            axis.plot(x[best], values[best], "*", color=BAD, markersize=13, markeredgecolor="white")
        axis.set_xlabel(name)
        scale_axis(axis, parameter)
        _style(axis)
    if axes is None:
        figure.colorbar(dots, ax=panels[:dims], label="trial", shrink=0.8)
        crosses = ", crosses have failed" if (~alive).any() else ""
        figure.suptitle(f"Value against each hyper-parameter (star: best{crosses})")
    return figure


def plot_importance(space: Space, results: Sequence[Result], *, seed: int = 0, axes: Any = None) -> Any:
    """How much of the results each hyper-parameter explains alone, see `importance`.

    >>> space = Space({"lr": ([1e-4, 1e-1], "log")})
    >>> trials = [Result(i, {"lr": lr}, 1, lr, "ok") for i, lr in enumerate(np.geomspace(1e-4, 1e-1, 12))]
    >>> [label.get_text() for label in plot_importance(space, trials).axes[0].get_yticklabels()]
    ['only together', 'lr']
    """
    found = importance(space, results, seed=seed)
    shares = sorted(found.shares.items(), key=lambda item: item[1])
    figure, axes = _figure(axes, (6.5, 1.3 + 0.36 * (len(shares) + 1)))
    names = ["only together", *(name for name, _ in shares)]
    percent = [100 * found.together_only, *(100 * share for _, share in shares)]
    bars = axes.barh(names, percent, color=[MUTED, *[GOOD] * len(shares)], height=0.62)
    axes.bar_label(bars, fmt="%.0f %%", padding=4, fontsize=9)
    trust = "" if found.r2 >= 0.5 else ": too few trials to tell"
    axes.set(
        xlabel="share of the variance of the ranks (%)",
        title=f"What mattered in {len(results)} trials (forest's R$^2$ = {found.r2:.2f}{trust})",
    )
    axes.margins(x=0.12)
    _style(axes)
    axes.grid(axis="y", visible=False)
    return figure


_HALO = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6}


def _figure(axes: Any, size: tuple[float, float]) -> tuple[Any, Any]:
    if axes is not None:
        return axes.figure, axes
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")


def _ticks(parameter: Parameter) -> list[tuple[float, str]]:
    """Positions in [0, 1] and labels for an axis of unit coordinates."""
    if isinstance(parameter, Choice):
        return [(parameter.to_unit(i), option_label(option)) for i, option in enumerate(parameter.listed())]
    places = [0.0, 0.25, 0.5, 0.75, 1.0]
    if parameter.size is not None and parameter.size <= 6:
        return [(parameter.to_unit(value), str(value)) for value in parameter.values()]
    return [
        (place, f"{parameter.from_unit(place):.2g}" if parameter.size is None else str(parameter.from_unit(place)))
        for place in places
    ]


def positions(parameter: Parameter, units: NDArray) -> NDArray[np.float64]:
    """Unit coordinates as positions on an axis of values: numbers as they are, options by their index.

    >>> positions(Choice(["relu", "tanh"]), np.array([0.25, 0.75])).tolist()
    [0.0, 1.0]
    """
    return np.array([float(parameter.from_unit(float(u))) for u in units])


def scale_axis(axis: Any, parameter: Parameter) -> None:
    """Log scale, or the options as tick labels, for an x axis of `positions`.

    >>> from matplotlib.figure import Figure
    >>> axis = Figure().add_subplot()
    >>> scale_axis(axis, Choice(["relu", "tanh"]))
    >>> [label.get_text() for label in axis.get_xticklabels()]
    ['relu', 'tanh']
    """
    if isinstance(parameter, Choice):
        axis.set_xticks(range(parameter.size), [option_label(option) for option in parameter.listed()])
        axis.set_xlim(-0.6, parameter.size - 0.4)
    elif parameter.log:
        axis.set_xscale("log")
        if parameter.size is not None:
            plain_log_ticks(axis.xaxis)


def plain_log_ticks(axis: Any) -> None:
    """Ticks for an x or y axis of less than a few powers of ten: 10, 20, 50, 100 ... as they are.

    >>> from matplotlib.figure import Figure
    >>> axis = Figure().add_subplot(xscale="log", xlim=(10, 100)).xaxis
    >>> plain_log_ticks(axis)
    >>> axis.get_major_formatter()(20.0)
    '20'
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if _span(axis) < 5 else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _span(axis: Any) -> float:
    low, high = axis.get_view_interval()
    return float(high / low)


def option_label(option: Any) -> str:
    """A short name of an option of a choice: that of a class or function, or what it prints.

    >>> option_label(int), option_label(0.5), option_label("a long name of an option")
    ('int', '0.5', 'a long name o...')
    """
    text = getattr(option, "__name__", None) or (option if isinstance(option, str) else repr(option))
    return text if len(text) <= 14 else text[:13] + "..."
