"""Ensembles: several networks that decide together (lecture 001).

The members may be one network from several initial weights (`ensemble_of_inits`), the best few trials of a search
(`ensemble_of_trials`) or snapshots of one run (`Snapshots`).  They help as far as their mistakes differ.
"""

import copy
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exercise_code.callbacks import Callback
from exercise_code.hyperparameter_tuning import Trial, find_best_config
from exercise_code.networks.classification_net import Network
from exercise_code.networks.loss import log_softmax
from exercise_code.solver import Solver

TIE_BREAK = 1e-6  # share of the mean probability in a vote


class Ensemble(Network):
    """Networks that decide together; predicts like a network and is not trained itself.

    combine="mean" averages probabilities, `p = sum_k a_k softmax(z_k) / sum_k a_k`.  combine="vote" counts votes,
    `p_c = sum_k a_k [argmax z_k = c] / sum_k a_k`; classes with equal votes are ordered by the mean of the probabilities,
    which for that purpose is mixed in with a share of one in a million.

    Args:
        members: networks with one number of classes and one input; they are used as they are, not copied, and
            always in evaluation mode.
        combine: "mean" or "vote".
        weights: one number >= 0 per member, not all 0; None weighs all alike.

    Raises:
        ValueError: no member, an unknown way to combine, weights that cannot be weights.

    >>> from exercise_code.networks import ClassificationNet
    >>> nets = [ClassificationNet(input_size=4, num_classes=3, std="he", rng=np.random.default_rng(s)) for s in (0, 1)]
    >>> np.exp(Ensemble(nets).forward(np.ones((2, 4)))).sum(axis=1).round(4).tolist()
    [1.0, 1.0]
    """

    def __init__(self, members: Sequence[Any], combine: str = "mean", weights: Sequence[float] | None = None):
        super().__init__()
        self.members = list(members)
        self.combine = combine
        if not self.members:
            raise ValueError("expected at least one network, got none")
        if combine not in ("mean", "vote"):
            raise ValueError(f'combine must be "mean" or "vote", got {combine!r}')
        shares = np.ones(len(self.members)) if weights is None else np.asarray(weights, dtype=np.float64)
        if shares.shape != (len(self.members),) or not (np.isfinite(shares).all() and shares.min() >= 0 < shares.sum()):
            raise ValueError(
                f"expected {len(self.members)} weights >= 0, one per member and not all 0, got {weights!r}"
            )
        self.weights = shares / shares.sum()
        self._weighed_on: Any = None

    @classmethod
    def weighted_by_accuracy(cls, members: Sequence[Any], val_loader: Any, combine: str = "vote") -> "Ensemble":
        """An ensemble in which each member weighs as much as the fraction of val_loader that it classifies correctly.

        The weights are fitted on the validation set, so the ensemble's accuracy there is optimistic: measure it again
        on the test set, once.  `get_dataset_prediction` warns when it is asked for the same data.

        Raises:
            ValueError: as the class; also when no member has a single right answer.
        """
        ensemble = cls(members, combine, Ensemble(members).member_accuracies(val_loader))
        ensemble._weighed_on = getattr(val_loader, "dataset", val_loader)
        return ensemble

    def forward(self, X: NDArray) -> NDArray:
        """Return (N, C) scores for X (N, ...), in the dtype of the first member's logits.

        They are logarithms of the combined probabilities or vote shares p, so their softmax is p and the cross entropy
        of `CrossEntropyFromLogits` is the ensemble's own; an underflowing p counts as the smallest positive float.
        """
        own = [self._predict(member, X) for member in self.members]
        probabilities = np.stack([np.exp(log_softmax(logits.astype(np.float64))) for logits in own])  # (K, N, C)
        p = np.tensordot(self.weights, probabilities, axes=1)
        if self.combine == "vote":
            votes = np.zeros_like(p)
            for weight, logits in zip(self.weights, own, strict=True):
                votes[np.arange(len(votes)), logits.argmax(axis=1)] += weight
            p = (1 - TIE_BREAK) * votes + TIE_BREAK * p
        return np.log(np.maximum(p, np.finfo(np.float64).tiny)).astype(own[0].dtype)

    def backward(self, dy: NDArray) -> dict[str, NDArray]:
        """Raise RuntimeError: the members are trained, each on its own."""
        raise RuntimeError("an Ensemble is not trained: train its members, each with a Solver of its own")

    def inference_layers(self) -> Any:
        """Raise ValueError: there is no single chain of layers that `export_onnx` could write."""
        raise ValueError("an Ensemble cannot be written as one ONNX file: export one of its members")

    def get_dataset_prediction(self, loader: Any) -> tuple[NDArray, NDArray, float]:
        """`(labels, preds, accuracy)` as every network gives them; warns on the data that the weights were fitted on."""
        if self._weighed_on is not None and getattr(loader, "dataset", loader) is self._weighed_on:
            warnings.warn(
                "the members' weights were fitted on this data, so this accuracy is optimistic: measure on the test set",
                stacklevel=2,
            )
        return super().get_dataset_prediction(loader)

    def member_accuracies(self, loader: Any) -> list[float]:
        """Accuracy (0 to 1) of each member on its own; an ensemble should beat their mean, often all of them."""
        return [member.get_dataset_prediction(loader)[2] for member in self.members]

    @staticmethod
    def _predict(member: Any, X: NDArray) -> NDArray:
        was_training = member.training
        member.eval()
        try:
            return member.forward(X)
        finally:
            if was_training:
                member.train()


def ensemble_of_inits(
    make_model: Callable[..., Any],
    train_loader: Any,
    val_loader: Any,
    count: int = 5,
    *,
    epochs: int = 20,
    patience: int | None = 5,
    combine: str = "mean",
    rng: np.random.Generator | None = None,
    **solver_settings: Any,
) -> Ensemble:
    """Train one network from several initial weights, each on the same batches, and let them decide together.

    Args:
        make_model: called as `make_model(rng=generator)`, e.g. `functools.partial(ClassificationNet, std="he")`.
        train_loader: training batches; every member gets a fork, so only the initial weights differ.
        val_loader: decides which epoch of each member is kept.
        count: members, >= 1.
        epochs, patience: see `Solver.train`.
        combine: see `Ensemble`.
        rng: source of the members' generators; None uses seed 0.
        **solver_settings: further settings of the Solver, e.g. learning_rate.

    Raises:
        ValueError: count below 1, or a member without any finite validation loss.
        TypeError: a setting that the Solver does not know.

    >>> from functools import partial
    >>> from exercise_code.data import DataLoader
    >>> from exercise_code.networks import ClassificationNet
    >>> samples = [{"image": [float(i % 2), 1.0], "label": i % 2} for i in range(12)]
    >>> make = partial(ClassificationNet, input_size=2, num_classes=2, std="he")
    >>> loaders = DataLoader(samples[:8], 4), DataLoader(samples[8:], 4)
    >>> len(ensemble_of_inits(make, *loaders, count=3, epochs=2, learning_rate=0.1).members)
    3
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count!r}")
    rng = np.random.default_rng(0) if rng is None else rng
    members = []
    for number, own_rng in enumerate(rng.spawn(count), start=1):
        model = make_model(rng=own_rng)
        loader = train_loader.fork() if hasattr(train_loader, "fork") else train_loader
        solver = Solver(model, loader, val_loader, **{"verbose": False} | solver_settings)
        solver.train(epochs=epochs, patience=patience)
        if epochs and solver.best_model_stats is None:
            raise ValueError(
                f"member {number} of {count} never had a finite validation loss: try a smaller learning rate"
            )
        members.append(model)
    return Ensemble(members, combine)


def ensemble_of_trials(
    trials: Sequence[Trial],
    k: int,
    model_class: Any,
    train_loader: Any,
    val_loader: Any,
    *,
    epochs: int = 20,
    patience: int | None = 5,
    combine: str = "mean",
) -> Ensemble:
    """Train the k best configurations of a search again and let them decide together.

    A search keeps the weights of its winner only.  With the search's own loaders, epochs and patience the networks come
    out as they were then.

    Args:
        trials: `SearchResult.trials`; those that diverged and repeated configurations are passed over.
        k: members, >= 1.
        model_class, train_loader, val_loader, epochs, patience: as in the search.
        combine: see `Ensemble`.

    Raises:
        ValueError: fewer than k different configurations with a finite validation loss, or k below 1.

    >>> from exercise_code.data import DataLoader
    >>> from exercise_code.hyperparameter_tuning import grid_search
    >>> from exercise_code.networks import ClassificationNet
    >>> samples = [{"image": [float(i % 2), 1.0], "label": i % 2} for i in range(12)]
    >>> loaders = DataLoader(samples[:8], 4), DataLoader(samples[8:], 4)
    >>> space = {"input_size": [2], "num_classes": [2], "learning_rate": [0.1, 0.01, 0.001]}
    >>> result = grid_search(*loaders, space, ClassificationNet, epochs=2, verbose=False)
    >>> len(ensemble_of_trials(result.trials, 2, ClassificationNet, *loaders, epochs=2).members)
    2
    """
    configs: list[dict[str, Any]] = []
    for trial in sorted(trials, key=lambda trial: trial.val_loss):
        if math.isfinite(trial.val_loss) and trial.config not in configs:
            configs.append(trial.config)
    if not 1 <= k <= len(configs):
        raise ValueError(f"k must lie between 1 and {len(configs)}, the different trials that trained, got {k!r}")
    members = [
        find_best_config(train_loader, val_loader, [config], model_class, epochs, patience, verbose=False).best_model
        for config in configs[:k]
    ]
    return Ensemble(members, combine)


class Snapshots(Callback):
    """Callback of the Solver that keeps a copy of the network at the end of every cycle (Huang et al. 2017, ICLR).

    Give the Solver a schedule that brings the learning rate down to almost zero within each cycle and then starts again high
    (`exercise_code.schedules.WarmRestarts`; SGDR, Loshchilov and Hutter 2017): each cycle ends in another valley, and one run yields several members.
    Train without patience, or the run may end inside a cycle.  `Ensemble(snapshots.models[-3:])` takes the last three.

    Args:
        cycle: epochs per cycle, >= 1.

    Attributes: models, the copies in the order of the run, in evaluation mode.

    Raises:
        ValueError: a cycle below 1.

    >>> snapshots = Snapshots(cycle=2)
    >>> class Run:
    ...     model, val_loss_history = Network(), [0.9, 0.7]
    >>> snapshots.epoch_end(Run)
    >>> len(snapshots.models), snapshots.models[0] is Run.model
    (1, False)
    """

    def __init__(self, cycle: int):
        if int(cycle) != cycle or cycle < 1:
            raise ValueError(f"cycle must be a whole number of at least 1, got {cycle!r}")
        self.cycle = int(cycle)
        self.models: list[Any] = []

    def epoch_end(self, solver: Any) -> None:
        """Copy the network after every cycle-th epoch; it still has that epoch's own weights then."""
        if len(solver.val_loss_history) % self.cycle == 0:
            twin = copy.deepcopy(solver.model)
            twin.eval()
            self.models.append(twin)
