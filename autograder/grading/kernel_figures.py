"""Used INSIDE the sandbox: matplotlib's agg backend for a kernel whose figures nobody sees.

Figures can be made and saved as ever; only `tight_layout`, which takes longer than all the rest of a figure, does nothing.
"""

from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


class FigureCanvas(FigureCanvasAgg):
    """What matplotlib looks for in a backend."""

    def __init__(self, figure: Figure | None = None) -> None:
        super().__init__(figure)
        self.figure.tight_layout = _leave  # type: ignore[method-assign]


def _leave(**_: Any) -> None:
    pass
