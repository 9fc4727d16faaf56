"""What every network offers to the Solver, and a network that is put around another one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Network:
    """A model with `params`, `grads` and `reg` (name -> regularisation loss), and a switch for evaluation.

    In evaluation mode `forward` keeps no caches; `backward` then raises RuntimeError.  Subclasses give `forward` and
    `backward`; the Solver, the search and the checkpoints need no more than what stands here.

    >>> class Scaled(Network):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.params["W1"] = np.ones((1, 2))
    ...     def forward(self, X):
    ...         self.X = X
    ...         return X @ self.params["W1"]
    ...     def backward(self, dy):
    ...         self.grads["W1"] = self.X.T @ dy
    ...         return self.grads
    >>> Scaled()(np.array([[3.0]])).tolist()
    [[3.0, 3.0]]
    """

    def __init__(self) -> None:
        self.params: dict[str, NDArray] = {}
        self.grads: dict[str, NDArray] = {}
        self.reg: dict[str, float] = {}
        self.training = True

    def __call__(self, X: NDArray) -> NDArray:
        return self.forward(X)

    def forward(self, X: NDArray) -> NDArray:
        """Return logits (N, C), or other outputs, for inputs X (N, ...)."""
        raise NotImplementedError

    def backward(self, dy: NDArray) -> dict[str, NDArray]:
        """Fill and return `grads` from dy, the gradient of the loss with respect to forward's output."""
        raise NotImplementedError

    def buffers(self) -> dict[str, NDArray]:
        """Arrays that prediction needs besides `params` and that no gradient changes, such as running statistics."""
        return {}

    def load_buffers(self, buffers: Mapping[str, NDArray]) -> None:
        """Take over (copies of) what `buffers` returned."""

    def train(self) -> None:
        """Keep what `backward` needs."""
        self.training = True

    def eval(self) -> None:
        """Only predict: forward keeps nothing."""
        self.training = False

    def settings(self) -> dict[str, Any]:
        """What besides the arrays is worth keeping in the file of `save_model`; plain values that JSON can hold."""
        return {}

    def save_model(self, path: str | Path = "models/model.npz") -> Path:
        """Write parameters, buffers and settings to one `.npz` (no pickle inside) and return its path."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {"settings": np.array(json.dumps(self.settings(), sort_keys=True))}
        arrays |= self.params | self.buffers()
        with path.open("wb") as file:
            np.savez(file, **arrays)
        return path

    def load_weights(self, path: str | Path) -> None:
        """Take over parameters and buffers that `save_model` of an equally built network wrote.

        Raises:
            ValueError: not such a file, or names or shapes that are not this network's; nothing was changed then.
        """
        _, arrays = read_model(path)
        expected = {name: w.shape for name, w in (self.params | self.buffers()).items()}
        found = {name: array.shape for name, array in arrays.items()}
        if found != expected:
            raise ValueError(f"{path}: expected arrays {expected}, got {found}")
        self.load_buffers(arrays)
        for name, w in self.params.items():
            self.params[name] = arrays[name].astype(w.dtype, copy=False)

    def get_dataset_prediction(self, loader: Any) -> tuple[NDArray, NDArray, float]:
        """Predict every image of a loader once, in the data set's order, whatever the loader shuffles or drops.

        Returns:
            `(labels, preds, acc)`: two int64 arrays (N,) and the fraction of equal entries (0 to 1).

        Raises:
            ValueError: the loader yields nothing.
        """
        was_training, labels, preds = self.training, [], []
        self.eval()
        try:
            for batch in loader.in_order() if hasattr(loader, "in_order") else loader:
                preds.append(self.forward(batch["image"]).argmax(axis=1))
                labels.append(np.asarray(batch["label"], dtype=np.int64))
        finally:
            self.training = was_training
        if not labels:
            raise ValueError("expected a loader with at least one image, got an empty one")
        truth, guess = np.concatenate(labels), np.concatenate(preds)
        return truth, guess, float(np.mean(truth == guess))


def read_model(path: str | Path) -> tuple[dict[str, Any], dict[str, NDArray]]:
    """Return the settings and the arrays of a file that `save_model` wrote.

    Raises:
        ValueError: not such a file.

    >>> import tempfile
    >>> net = Network()
    >>> net.params["W1"] = np.zeros((2, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     settings, arrays = read_model(net.save_model(f"{folder}/net.npz"))
    >>> settings, arrays["W1"].shape
    ({}, (2, 3))
    """
    with np.load(path, allow_pickle=False) as stored:
        if "settings" not in stored:
            raise ValueError(f"expected a file written by save_model, got {path} without settings")
        settings = json.loads(str(stored["settings"]))
        return settings, {name: stored[name] for name in stored.files if name != "settings"}


class NetworkAround(Network):
    """A network put around another one; whatever it does not change (sizes, buffers, saving) is the inner network's.

    >>> inner = Network()
    >>> inner.hidden_size = 7
    >>> NetworkAround(inner).hidden_size
    7
    """

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def __getattr__(self, name: str) -> Any:
        if name == "model" or name.startswith("__"):  # while a copy is being made there is no inner network yet
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self.model, name)

    def settings(self) -> dict[str, Any]:
        """Those of the inner network."""
        return self.model.settings()

    def buffers(self) -> dict[str, NDArray]:
        """Those of the inner network."""
        return self.model.buffers()

    def load_buffers(self, buffers: Mapping[str, NDArray]) -> None:
        """Hand them to the inner network."""
        self.model.load_buffers(buffers)
