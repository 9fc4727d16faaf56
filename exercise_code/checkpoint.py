"""Checkpoints of a training run: one `.npz` file of plain arrays and JSON, no pickle, written in one step.

A run that the `Checkpoint` callback saved after an epoch goes on, once resumed, exactly as if it had never stopped: weights, best
weights, the state of the optimizer, histories, and the generators of the training loader's order and of its augmentation
all come back.

>>> import tempfile
>>> from exercise_code.callbacks import Checkpoint
>>> from exercise_code.data import DataLoader
>>> from exercise_code.networks import ClassificationNet
>>> from exercise_code.solver import Solver
>>> def fresh(*callbacks):
...     samples = [{"image": [float(i), 1.0], "label": i % 2} for i in range(12)]
...     train, val = DataLoader(samples[:8], 4, shuffle=True), DataLoader(samples[8:], 4)
...     net = ClassificationNet(input_size=2, num_classes=2)
...     return Solver(net, train, val, verbose=False, callbacks=callbacks)
>>> whole = fresh()
>>> whole.train(epochs=5)
>>> with tempfile.TemporaryDirectory() as folder:
...     fresh(Checkpoint(f"{folder}/run.npz")).train(epochs=2)
...     again = fresh()
...     resume(again, f"{folder}/run.npz")
>>> again.train(epochs=3)
>>> again.val_loss_history == whole.val_loss_history
True
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 1
HISTORIES = ("train_loss_history", "val_loss_history", "train_batch_loss", "lr_history")


def save(solver: Any, path: str | Path) -> Path:
    """Write the state of a Solver to path (`.npz`), by way of a temporary file, and return the path.

    The `Checkpoint` callback of the module's example calls it after epochs; by hand:

    >>> import tempfile
    >>> from exercise_code.networks import ClassificationNet
    >>> from exercise_code.solver import Solver
    >>> samples = [{"image": [float(i), 1.0], "label": i % 2} for i in range(8)]
    >>> solver = Solver(ClassificationNet(input_size=2, num_classes=2), samples[:4], samples[4:], verbose=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(solver, f"{folder}/start.npz").name
    'start.npz'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, np.ndarray] = {}
    facts = {
        "format": FORMAT,
        "optimizer": type(solver.opt).__name__,
        "learning_rate": solver.opt.lr,
        "num_operation": solver.num_operation,
        "current_patience": solver.current_patience,
        "best_model_stats": solver.best_model_stats,
        "histories": {name: getattr(solver, name) for name in HISTORIES},
        "optimizer_state": _take_arrays("optimizer", solver.opt.state_dict(), arrays),
        "generators": [generator.bit_generator.state for generator in _generators(solver)],
    }
    # Inside train() the model holds the newest weights; after it, the best ones.
    arrays |= {f"params/{name}": w for name, w in solver.model.params.items()}
    arrays |= {f"best/{name}": w for name, w in (solver.best_params or {}).items()}
    arrays |= {f"buffers/{name}": value for name, value in solver.model.buffers().items()}
    arrays |= {f"best_buffers/{name}": value for name, value in solver.best_buffers.items()}
    temporary = path.with_name(f".{path.name}.part")
    contents: dict[str, Any] = {"facts": np.array(json.dumps(facts)), **arrays}
    with temporary.open("wb") as file:
        np.savez(file, **contents)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return path


def resume(solver: Any, path: str | Path) -> None:
    """Put the state that `save` wrote into a Solver that was made in the same way.

    Raises:
        ValueError: not such a file, or one of another network or optimizer; the Solver is then unchanged.

    >>> import tempfile
    >>> from exercise_code.data import DataLoader
    >>> from exercise_code.networks import ClassificationNet
    >>> from exercise_code.solver import Solver
    >>> samples = [{"image": [float(i), 1.0], "label": i % 2} for i in range(8)]
    >>> train, val = DataLoader(samples[:4], 4), DataLoader(samples[4:], 4)
    >>> nets = [ClassificationNet(input_size=2, num_classes=2) for _ in range(2)]
    >>> stopped, again = (Solver(net, train, val, verbose=False) for net in nets)
    >>> stopped.train(epochs=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     resume(again, save(stopped, f"{folder}/run.npz"))
    >>> again.val_loss_history == stopped.val_loss_history
    True
    """
    with np.load(path, allow_pickle=False) as stored:
        if "facts" not in stored:
            raise ValueError(f"expected a checkpoint written by exercise_code.checkpoint, got {path}")
        facts = json.loads(str(stored["facts"]))
        arrays = {name: stored[name] for name in stored.files if name != "facts"}
    params, best, buffers, best_buffers = (
        {name.removeprefix(prefix): w for name, w in arrays.items() if name.startswith(prefix)}
        for prefix in ("params/", "best/", "buffers/", "best_buffers/")
    )
    _refuse_other_run(solver, facts, params, path)
    for name, w in params.items():
        solver.model.params[name] = w
    solver.model.load_buffers(buffers)
    solver.best_params, solver.best_buffers = best or None, best_buffers
    solver.best_model_stats = facts["best_model_stats"]
    solver.num_operation, solver.current_patience = facts["num_operation"], facts["current_patience"]
    solver.keep_patience = True  # of the next call of train
    for name in HISTORIES:
        setattr(solver, name, list(facts["histories"][name]))
    solver.opt.load_state_dict(_put_arrays(facts["optimizer_state"], arrays))
    solver.opt.lr = facts["learning_rate"]
    for generator, state in zip(_generators(solver), facts["generators"], strict=True):
        generator.bit_generator.state = state


def _refuse_other_run(
    solver: Any, facts: Mapping[str, Any], params: Mapping[str, np.ndarray], path: str | Path
) -> None:
    if facts.get("format") != FORMAT:
        raise ValueError(f"{path}: expected checkpoint format {FORMAT}, got {facts.get('format')}")
    if facts["optimizer"] != type(solver.opt).__name__:
        raise ValueError(f"{path}: expected the optimizer {type(solver.opt).__name__}, got {facts['optimizer']}")
    shapes = {name: w.shape for name, w in solver.model.params.items()}
    stored = {name: w.shape for name, w in params.items()}
    if shapes != stored:
        raise ValueError(f"{path}: expected weights of shapes {shapes}, got {stored}")
    if len(facts["generators"]) != len(_generators(solver)):
        raise ValueError(f"{path}: the training loader draws from other random sources than the saved one")


def _generators(solver: Any) -> list[np.random.Generator]:
    """Every generator that the next batch depends on: the loader's own, then those of its transforms, in order."""
    loader = solver.train_dataloader
    found = [loader.rng] if isinstance(getattr(loader, "rng", None), np.random.Generator) else []
    queue: list[Any] = [getattr(getattr(loader, "dataset", None), "transform", None)]
    while queue:
        transform: Any = queue.pop(0)
        queue = list(getattr(transform, "transforms", [])) + queue
        if isinstance(getattr(transform, "rng", None), np.random.Generator) and transform.rng not in found:
            found.append(transform.rng)
    model: Any = solver.model
    while model is not None:  # dropout masks and gates, of the network, of its layers, and of a network inside it
        for part in (model, *vars(model).get("_layers", ())):
            own = getattr(part, "__dict__", {}).get("rng")
            if isinstance(own, np.random.Generator) and not any(own is other for other in found):
                found.append(own)
        model = vars(model).get("model")
    return found


def _take_arrays(prefix: str, value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Move the arrays of a nested dict into `arrays`, leaving a reference that JSON can hold."""
    if isinstance(value, np.ndarray):
        arrays[prefix] = value
        return {"array": prefix}
    if isinstance(value, Mapping):
        return {"dict": {name: _take_arrays(f"{prefix}/{name}", inner, arrays) for name, inner in value.items()}}
    return {"value": value}


def _put_arrays(reference: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    if "array" in reference:
        return arrays[reference["array"]]
    if "dict" in reference:
        return {name: _put_arrays(inner, arrays) for name, inner in reference["dict"].items()}
    return reference["value"]
