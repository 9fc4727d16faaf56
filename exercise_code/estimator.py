"""`ClassificationNet` as a scikit-learn classifier, for GridSearchCV, RandomizedSearchCV, Pipeline and friends.

This is the only module that imports scikit-learn at its top, because a subclass needs its base; nothing else in the
package imports this one.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from exercise_code.data import ArrayDataset, DataLoader
from exercise_code.networks import ClassificationNet
from exercise_code.networks.layer import LeakyRelu, Relu, Sigmoid, Tanh
from exercise_code.networks.loss import log_softmax
from exercise_code.networks.optimizer import SGD, Adam, SGDMomentum
from exercise_code.solver import Solver

ACTIVATIONS: dict[str, Any] = {"sigmoid": Sigmoid, "tanh": Tanh, "relu": Relu, "leaky_relu": LeakyRelu}
OPTIMIZERS: dict[str, Any] = {"sgd": SGD, "momentum": SGDMomentum, "adam": Adam}


class ClassificationNetEstimator(ClassifierMixin, BaseEstimator):
    """A fully connected classifier trained by the Solver, with early stopping on a part of the training data.

    Features should have about zero mean and unit size: put a StandardScaler in front of it in a Pipeline.  Everything is
    computed in float32.  `fit` sets nothing outside of the object, so `n_jobs` may be anything.

    Args:
        hidden_size: width of every hidden layer, >= 1.
        num_layer: number of affine layers, >= 1; 1 is the linear classifier.
        activation: "relu", "leaky_relu", "tanh" or "sigmoid", or an activation object or class of
            `exercise_code.networks.layer`.
        std: size of the initial weights, a number or "he" or "xavier"; see `ClassificationNet`.
        reg: L2 strength, >= 0.
        batch_norm, dropout: see `ClassificationNet`.
        optimizer: "adam", "momentum" or "sgd", or what the Solver accepts as optimizer.
        learning_rate: per step, > 0.
        lr_decay: factor per epoch, in (0, 1].
        batch_size: samples per step, >= 1; larger than the training part means all of it.
        epochs: most passes over the training part, >= 1.
        patience: stop when so many epochs in a row did not improve the validation loss; None never does.
        validation_fraction: share of the samples, in (0, 1), held out for choosing the epoch.  It is stratified: each class
            gives its share, rounded, and always keeps at least one sample for training; the training part is not
            enlarged again after the choice.
        random_state: int, numpy Generator or RandomState for the held-out samples, the initial weights and the order; an
            int gives the same network each time, None draws from numpy's global state as scikit-learn does.

    Attributes after `fit`:
        classes_: (C,) sorted labels.  n_features_in_: D.
        net_: the trained `ClassificationNet` with the best weights; can be exported as ONNX.
        n_iter_: epochs trained.  best_validation_loss_: cross entropy in nats at the best epoch.
        train_loss_history_, validation_loss_history_: one number per epoch.

    Raises (by `fit`):
        ValueError: a setting out of its range, fewer than two classes, no class with two samples, data that is not finite or
            not 2-D, or a training run that diverged.

    Missing on purpose: `partial_fit` (early stopping needs the whole data) and `sample_weight` (the losses have none).

    >>> X = np.random.default_rng(0).standard_normal((60, 2))
    >>> labels = np.where(X[:, 0] > 0, "right", "left")
    >>> model = ClassificationNetEstimator(hidden_size=8, learning_rate=0.03, epochs=20, random_state=0).fit(X, labels)
    >>> model.predict([[2.0, 0.0], [-2.0, 0.0]]).tolist()
    ['right', 'left']
    """

    def __init__(
        self,
        hidden_size: int = 100,
        num_layer: int = 2,
        activation: Any = "relu",
        std: float | str = "he",
        reg: float = 0.0,
        batch_norm: bool = False,
        dropout: float = 0.0,
        optimizer: Any = "adam",
        learning_rate: float = 1e-3,
        lr_decay: float = 1.0,
        batch_size: int = 32,
        epochs: int = 200,
        patience: int | None = 20,
        validation_fraction: float = 0.1,
        random_state: Any = None,
    ):
        self.hidden_size = hidden_size
        self.num_layer = num_layer
        self.activation = activation
        self.std = std
        self.reg = reg
        self.batch_norm = batch_norm
        self.dropout = dropout
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.lr_decay = lr_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> "ClassificationNetEstimator":
        """Train on X (N, D), converted to float32, and labels y (N,) of any kind; return self."""
        self._refuse_settings()
        samples, y = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"expected at least 2 classes, got 1 class ({self.classes_[0]!r})")
        rng = _generator(self.random_state)
        held_out = stratified_choice(labels, self.validation_fraction, rng)
        train, val = (ArrayDataset(samples[part], labels[part]) for part in (~held_out, held_out))
        net = self._make_net(rng)
        batch_size = min(self.batch_size, len(train))
        lone = self.batch_norm and len(train) % batch_size == 1 < batch_size  # one sample has no batch statistics
        solver = Solver(
            net,
            DataLoader(train, batch_size, shuffle=True, drop_last=lone, rng=rng),
            DataLoader(val, len(val)),
            learning_rate=self.learning_rate,
            optimizer=OPTIMIZERS[self.optimizer] if isinstance(self.optimizer, str) else self.optimizer,
            lr_decay=self.lr_decay,
            verbose=False,
        )
        solver.train(epochs=self.epochs, patience=self.patience)
        if solver.best_model_stats is None:
            raise ValueError(
                "training diverged in the first epoch: scale the features (StandardScaler) or lower learning_rate"
            )
        self.net_ = self._make_net(rng)  # a fresh one: the trained net's caches still hold the last training batch
        self.net_.params = {name: w.copy() for name, w in net.params.items()}
        self.net_.load_buffers(net.buffers())
        self.net_.eval()
        self.n_iter_ = len(solver.val_loss_history)
        self.best_validation_loss_ = float(solver.best_model_stats["val_loss"])
        self.train_loss_history_ = solver.train_loss_history
        self.validation_loss_history_ = solver.val_loss_history
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray:
        """Return (N, C) float32 probabilities for X (N, D), columns in the order of `classes_`."""
        return np.exp(log_softmax(self._logits(X)))

    def predict(self, X: ArrayLike) -> NDArray:
        """Return the (N,) most probable labels for X (N, D), in the dtype of the labels of `fit`."""
        logits = self._logits(X)
        return self.classes_[logits.argmax(axis=1)]

    def _logits(self, X: ArrayLike) -> NDArray:
        check_is_fitted(self)
        return self.net_.forward(validate_data(self, X, dtype=np.float32, reset=False))

    def _make_net(self, rng: np.random.Generator) -> ClassificationNet:
        return ClassificationNet(
            activation=ACTIVATIONS[self.activation] if isinstance(self.activation, str) else self.activation,
            num_layer=self.num_layer,
            input_size=self.n_features_in_,
            hidden_size=self.hidden_size,
            std=self.std,
            num_classes=len(self.classes_),
            reg=self.reg,
            batch_norm=self.batch_norm,
            dropout=self.dropout,
            rng=rng,
        )

    def _refuse_settings(self) -> None:
        """The network and the Solver refuse the others themselves."""
        for name, known in (("activation", ACTIVATIONS), ("optimizer", OPTIMIZERS)):
            value = getattr(self, name)
            if isinstance(value, str) and value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)} or an object, got {value!r}")
        if not 0 < self.validation_fraction < 1:
            raise ValueError(f"validation_fraction must lie between 0 and 1, got {self.validation_fraction!r}")
        for name in ("batch_size", "epochs", "patience"):
            value = getattr(self, name)
            if not (name == "patience" and value is None) and (int(value) != value or value < 1):
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")


def stratified_choice(labels: NDArray, fraction: float, rng: np.random.Generator) -> NDArray:
    """Choose samples to hold out, each class in proportion as far as whole samples allow.

    Args:
        labels: (N,) integers from 0.
        fraction: share of all samples to hold out, in (0, 1); rounded to a whole number, at least one sample, and never
            the last one of a class.
        rng: draws which samples of a class are held out.

    Returns:
        (N,) bool, True for held-out samples.

    Raises:
        ValueError: every class has a single sample, so none can be held out.

    >>> held_out = stratified_choice(np.array([0] * 8 + [1] * 4 + [2]), 0.25, np.random.default_rng(0))
    >>> np.bincount(np.array([0] * 8 + [1] * 4 + [2])[held_out], minlength=3).tolist()
    [2, 1, 0]
    """
    counts = np.bincount(labels)
    spare = np.maximum(counts - 1, 0)
    wanted = min(max(1, round(fraction * len(labels))), int(spare.sum()))
    if wanted == 0:
        raise ValueError(
            f"expected a class with at least 2 samples, so that one can be held out for validation, got {len(labels)} "
            f"samples of {len(counts)} classes"
        )
    share = wanted * counts / len(labels)
    quota = np.minimum(np.floor(share).astype(int), spare)
    while quota.sum() < wanted:  # the largest remainder next, among the classes that can give one more
        quota[np.argmax(np.where(quota < spare, share - quota, -np.inf))] += 1
    held_out = np.zeros(len(labels), dtype=bool)
    for label, number in enumerate(quota):
        held_out[rng.permutation(np.flatnonzero(labels == label))[:number]] = True
    return held_out


def _generator(random_state: Any) -> np.random.Generator:
    if isinstance(random_state, np.random.Generator):
        return random_state
    return np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))
