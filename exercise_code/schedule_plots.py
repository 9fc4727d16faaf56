"""A picture of learning-rate schedules."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from exercise_code import plots
from exercise_code.schedules import Schedule


def plot_schedules(schedules: Mapping[str, Schedule], num_steps: int, *, log: bool = False) -> Any:
    """Draw the learning rate of each named schedule over steps (or epochs) 0 .. num_steps - 1; returns the Figure.

    >>> from exercise_code.schedules import Cosine, OneCycle
    >>> figure = plot_schedules({"cosine": Cosine(0.1, 30), "one cycle": OneCycle(0.1, 30)}, 30)
    >>> len(figure.axes[0].lines)
    2
    >>> import matplotlib.pyplot as plt
    >>> plt.close(figure)
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.8))
    steps = np.arange(num_steps)
    for name, schedule in schedules.items():
        axes.plot(steps, [schedule(int(step)) for step in steps], label=name, linewidth=2)
    counted = " or ".join(sorted({schedule.per for schedule in schedules.values()})) or "step"
    axes.set(xlabel=counted, ylabel="learning rate", title="Learning-rate schedules")
    if log:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlim(0, max(num_steps - 1, 1))
    plots._style(axes)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    figure.tight_layout()
    return figure
