"""The third hypothesis about batch norm, measured: it helps because it makes the loss smoother (lecture 003).

Ioffe and Szegedy (2015) explained batch norm by a smaller internal covariate shift.  Santurkar et al. (2018) put random
shifts back behind batch norm, and it trained as well as before; what they found instead is that the loss and its
gradient change less along the way a step goes: larger steps can be trusted.  Here both networks start from the same
weights and see the same batches, and `exercise_code.landscape.probe_training` looks ahead along the gradient.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from exercise_code.landscape import SmoothnessHistory, probe_training
from exercise_code.networks.classification_net import ClassificationNet
from exercise_code.networks.layer import Relu
from exercise_code.networks.loss import CrossEntropyFromLogits
from exercise_code.networks.optimizer import SGD

WITHOUT, WITH = "without batch norm", "with batch norm"


def compare_batch_norm(
    loader: Any,
    *,
    num_classes: int = 10,
    num_layer: int = 6,
    hidden_size: int = 100,
    activation: Any = Relu,
    std: float | str = "he",
    learning_rate: float = 0.1,
    optimizer: Any = SGD,
    steps: int = 200,
    every: int = 5,
    factors: ArrayLike = (0.5, 1.0, 2.0, 4.0),
    seed: int = 0,
) -> dict[str, SmoothnessHistory]:
    """Train one network without and one with batch norm on the same batches, and probe the loss along the gradient.

    `exercise_code.plots_landscape.plot_smoothness` draws the result, `smoothness_summary` sums it up.  The difference
    grows with the learning rate and the depth; small nets at small rates train well enough either way.

    Args:
        loader: training batches, at least two samples each; a `DataLoader` is forked and stays where it is.
        num_classes, num_layer, hidden_size, activation, std: of both `ClassificationNet`s.
        learning_rate, optimizer, steps, every, factors: see `probe_training`.
        seed: of the initial weights, the same for both.

    Returns:
        Two histories, by the names "without batch norm" and "with batch norm".

    Raises:
        ValueError: as `probe_training` and `ClassificationNet`.

    >>> from exercise_code.data import DataLoader
    >>> rng = np.random.default_rng(0)
    >>> samples = [{"image": rng.standard_normal(4) + 2 * (i % 2), "label": i % 2} for i in range(32)]
    >>> histories = compare_batch_norm(DataLoader(samples, 16), num_classes=2, hidden_size=8, steps=6, every=2)
    >>> [(name, history.losses.shape) for name, history in histories.items()]
    [('without batch norm', (3, 4)), ('with batch norm', (3, 4))]
    """
    first = next(iter(loader.fork() if hasattr(loader, "fork") else loader))["image"]
    histories = {}
    for name, batch_norm in ((WITHOUT, False), (WITH, True)):
        net = ClassificationNet(
            activation,
            num_layer,
            int(np.prod(first.shape[1:])),
            hidden_size,
            std,
            num_classes,
            batch_norm=batch_norm,
            rng=np.random.default_rng(seed),
        )
        histories[name] = probe_training(
            net,
            CrossEntropyFromLogits(),
            loader,
            learning_rate=learning_rate,
            optimizer=optimizer,
            steps=steps,
            every=every,
            factors=factors,
        )
    return histories


def smoothness_summary(histories: Mapping[str, SmoothnessHistory]) -> dict[str, dict[str, float]]:
    """Medians over a run, one row per network, each the smaller the smoother.

    Returns:
        For each name: "loss range", highest minus lowest loss within the reach of a probe; "gradient change", the largest
        `||g(w) - g(w - step g)|| / ||g(w)||` (predictiveness; 1 means that the gradient ahead says nothing more); "beta",
        the effective smoothness.  inf where a probe left the range of floats.

    >>> from exercise_code.landscape import GradientProbe
    >>> probe = GradientProbe(np.array([0.5, 1.0]), 3.0, 2.0, np.array([2.0, 1.5]), np.array([1.0, 3.0]))
    >>> smoothness_summary({"net": SmoothnessHistory(np.array([0]), (probe,))})
    {'net': {'loss range': 0.5, 'gradient change': 1.5, 'beta': 1.5}}
    """

    def median(values: list[float]) -> float:
        return float(np.median(np.nan_to_num(values, nan=np.inf)))

    table = {}
    for name, history in histories.items():
        probes = history.probes
        with np.errstate(invalid="ignore"):  # inf - inf
            table[name] = {
                "loss range": median([float(np.max(p.losses) - np.min(p.losses)) for p in probes]),
                "gradient change": median(
                    [float(np.max(p.changes)) / p.grad_norm if p.grad_norm else 0.0 for p in probes]
                ),
                "beta": median([p.beta for p in probes]),
            }
    return table
