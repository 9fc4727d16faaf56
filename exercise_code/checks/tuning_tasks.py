"""Check of exercise 06's training function: does every setting of a configuration reach the training?

Nothing of the answer is read.  While it runs, torch reports every batch that enters a network and every step of an optimizer.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from exercise_code.checks.core import expect

TRAIN, VAL, TEST = 44, 20, 12
EPOCHS = 3
BASE = {
    "optimizer": "sgd", "lr": 0.02, "batch_size": 16, "width": 12, "depth": 1, "dropout": 0.0, "weight_decay": 0.0,
    "schedule": "constant", "shift": 0,
}  # fmt: skip


@dataclass
class _Seen:
    """What torch reported: per batch (ids of its images, in training mode, images unchanged), per step of an optimizer its group."""

    batches: list[tuple[list[int], bool, bool]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    tested: int = 0

    def training(self) -> list[list[int]]:
        return [ids for ids, training, _ in self.batches if training]


def train_config(answer: Any, rng: np.random.Generator) -> None:
    data, originals = _data(rng)
    _runs_and_returns(answer, data, originals)
    _images_and_batches(answer, data, originals)
    _network(answer, data, originals)
    _optimizer(answer, data, originals)
    _schedule(answer, data, originals)
    _seeds(answer, data, originals)


def _run(
    answer: Any, data: Any, originals: Any, seed: int = 1, epochs: int = EPOCHS, **settings: Any
) -> tuple[Any, Any, _Seen]:
    """Call the answer with BASE and some other settings; return model, history and what was seen."""
    config = BASE | settings
    given = dict(config)
    with _watching(originals) as seen:
        result = answer(given, data, epochs, seed=seed)
    seen.tested = data.tested
    data.tested = 0
    is_pair = isinstance(result, tuple) and len(result) == 2
    expect(is_pair, "train_config", "a pair (model, history)", type(result).__name__, "Return both.")
    expect(given == config, "the configuration after the call", config, given, "Leave config as it was.")
    return result[0], result[1], seen


def _runs_and_returns(answer: Any, data: Any, originals: Any) -> None:
    import torch

    from exercise_code.labs.evaluation import accuracy

    model, history, seen = _run(answer, data, originals)
    expect(
        isinstance(model, torch.nn.Module),
        "first result",
        "a network",
        type(model).__name__,
        "Return model, then history.",
    )
    has_history = hasattr(history, "val_accuracy") and hasattr(history, "best_epoch")
    expect(has_history, "second result", "the history of fit", type(history).__name__, "Return model, then history.")
    look = "The test images are for the end. What do you choose settings by?"
    touched = seen.tested + sum(image >= 200 for ids, _, _ in seen.batches for image in ids)
    expect(not touched, "looks at the test images", "none", "some", look)
    expect(history.epochs == EPOCHS, f"epochs trained of {EPOCHS}", EPOCHS, history.epochs, "Hand epochs on to fit.")
    judged = sorted({image for ids, training, _ in seen.batches if not training for image in ids})
    expect(judged == list(range(100, 100 + VAL)), "images that the network is judged by", f"all {VAL} of data.val",
           _described(judged), "fit's third argument: the batches by which the best epoch is chosen.")  # fmt: skip
    right = accuracy(model, data.val.batches(7))
    expect(math.isclose(right, history.best_accuracy, abs_tol=1e-9), "accuracy of the returned model on data.val",
           f"history.best_accuracy = {history.best_accuracy:.3f}", f"{right:.3f}", "Return the model that fit trained.")  # fmt: skip
    calls: list[int] = []
    answer(dict(BASE), data, 2, seed=0, on_epoch=lambda epoch, _: calls.append(epoch))
    expect(calls == [1, 2], "calls of on_epoch in 2 epochs", [1, 2], calls, "Hand on_epoch on to fit.")


def _images_and_batches(answer: Any, data: Any, originals: Any) -> None:
    for size in (16, 11):
        _, _, seen = _run(answer, data, originals, batch_size=size)
        batches = seen.training()
        sizes = [len(ids) for ids in batches]
        wanted = [size] * (TRAIN // size) + ([TRAIN % size] if TRAIN % size else [])
        first = sizes[: len(wanted)]
        expect(
            first == wanted,
            f"batch_size {size}: sizes of an epoch's batches",
            wanted,
            first,
            "Where does config['batch_size'] go?",
        )
        per_epoch = [sum(batches[i : i + len(wanted)], []) for i in range(0, len(batches), len(wanted))]
        for ids in per_epoch:
            expect(sorted(ids) == list(range(TRAIN)), "images of one epoch", f"all {TRAIN} of data.train, each once",
                   _described(sorted(ids)), "Train on data.train, all of it, and on nothing else.")  # fmt: skip
        in_order = any(ids == sorted(ids) for ids in per_epoch) or per_epoch[0] == per_epoch[1]
        expect(
            not in_order,
            "order of the training images",
            "another one in every epoch",
            "always the same",
            "shuffle=True.",
        )
    for shift in (0, 2):
        _, _, seen = _run(answer, data, originals, epochs=1, shift=shift)
        moved = not all(unchanged for _, training, unchanged in seen.batches if training)
        wanted_text, got = ("moved", "as they were") if shift else ("as they were", "moved")
        expect(
            moved == bool(shift), f"shift {shift}: training images", wanted_text, got, "Where does config['shift'] go?"
        )
        judged = all(unchanged for _, training, unchanged in seen.batches if not training)
        expect(judged, "validation images", "as they were", "moved", "Augmentation is for training images only.")


def _network(answer: Any, data: Any, originals: Any) -> None:
    import torch

    for width, depth, dropout in ((12, 1, 0.0), (9, 3, 0.25), (16.0, 2, 0.4)):
        model, _, _ = _run(answer, data, originals, epochs=1, width=width, depth=depth, dropout=dropout)
        what = f"width {width}, depth {depth}, dropout {dropout}"
        sizes = [784, *[int(width)] * depth, 10]
        shapes = [(outputs, inputs) for inputs, outputs in zip(sizes, sizes[1:], strict=False)]
        got = [tuple(w.shape) for w in model.parameters() if w.ndim == 2]
        expect(
            got == shapes,
            f"{what}: weight matrices",
            shapes,
            got,
            "depth hidden layers of width units, then 10 outputs.",
        )
        rates = [layer.p for layer in model.modules() if isinstance(layer, torch.nn.Dropout) and layer.p]
        expect(rates == [dropout] * (depth if dropout else 0), f"{what}: dropout rates", [dropout] * (depth if dropout else 0),
               rates, "MLP has an argument for it.")  # fmt: skip


def _optimizer(answer: Any, data: Any, originals: Any) -> None:
    for name, classes, lr, decay in (
        ("sgd", ("SGD",), 0.03, 0.0),
        ("adam", ("AdamW",), 0.002, 0.07),
        ("sgd", ("SGD",), 0.01, 0.3),
    ):
        _, _, seen = _run(answer, data, originals, epochs=1, optimizer=name, lr=lr, weight_decay=decay)
        what = f"optimizer {name!r}, lr {lr}, weight_decay {decay}, schedule 'constant'"
        expect(bool(seen.steps), f"{what}: steps of the optimizer", "some", "none", "Does fit get the optimizer?")
        for key, wanted, look in (
            ("class", classes[0], "optimizer_maker(name, lr, weight_decay) makes what fit wants as optimizer=."),
            ("lr", [lr], "Is config['lr'] the learning rate of every step, and is 'constant' no schedule at all?"),
            ("weight_decay", decay, "optimizer_maker has a third argument."),
        ):
            got: Any = sorted({step[key] for step in seen.steps})
            got = got if key == "lr" else got[0]
            expect(got == wanted, f"{what}: {key}", wanted, got, look)


def _schedule(answer: Any, data: Any, originals: Any) -> None:
    """Half a cosine wave down, and up and down again, over exactly the steps of this training."""
    for size, lr in ((16, 0.05), (11, 0.004)):
        steps = EPOCHS * math.ceil(TRAIN / size)
        _, _, seen = _run(answer, data, originals, schedule="cosine", lr=lr, batch_size=size)
        got = [step["lr"] for step in seen.steps]
        what = f"schedule 'cosine', lr {lr}, {steps} steps"
        expect(len(got) == steps, f"{what}: steps", steps, len(got), "One step for each batch.")
        look = "schedule_for wants the number of *steps* of the whole training: epochs times batches per epoch."
        largest = max(got)
        expect(
            math.isclose(largest, lr),
            f"{what}: largest learning rate",
            lr,
            largest,
            "Which learning rate does schedule_for get?",
        )
        wave = [lr * math.cos(math.pi * k / (2 * steps)) ** 2 for k in range(steps)]
        off = next((k for k in range(steps) if not math.isclose(got[k], wave[k], rel_tol=1e-6)), None)
        if off is not None:
            expect(False, f"{what}: learning rate at step {off}", f"{wave[off]:.3g}", f"{got[off]:.3g}", look)
        _, _, seen = _run(answer, data, originals, schedule="one_cycle", lr=lr, batch_size=size)
        got = [step["lr"] for step in seen.steps]
        what = f"schedule 'one_cycle', lr {lr}, {steps} steps"
        expect(got[0] < lr / 10 and got[-1] < lr / 1000, f"{what}: first and last learning rate",
               f"{lr / 25:.3g} and {lr / 250_000:.3g}", f"{got[0]:.3g} and {got[-1]:.3g}", look)  # fmt: skip
        expect(lr / 2 < max(got) <= lr * (1 + 1e-9), f"{what}: largest learning rate", f"near {lr}", f"{max(got):.3g}",
               "Which learning rate does schedule_for get?")  # fmt: skip


def _seeds(answer: Any, data: Any, originals: Any) -> None:
    import torch

    def weights(seed: int) -> Any:
        return (
            next(iter(_run(answer, data, originals, seed=seed, epochs=1, dropout=0.3)[0].parameters())).detach().clone()
        )

    def order(seed: int) -> list[list[int]]:
        return _run(answer, data, originals, seed=seed, epochs=1)[2].training()

    same, other = bool(torch.equal(weights(1), weights(1))), bool(torch.equal(weights(1), weights(2)))
    expect(
        same, "two calls with the same seed", "the same weights", "different ones", "Hand seed to MLP, batches and fit."
    )
    expect(
        not other,
        "two calls with different seeds",
        "different weights",
        "the same",
        "Hand seed to MLP, batches and fit.",
    )
    expect(
        order(1) != order(2),
        "order of the images with different seeds",
        "different",
        "the same",
        "Hand seed to batches, too.",
    )


@contextlib.contextmanager
def _watching(originals: Any) -> Iterator[_Seen]:
    """Note batches and steps; a batch is a tensor of images that enters a module, whichever sees it first."""
    import torch
    from torch.nn.modules.module import register_module_forward_pre_hook
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    seen = _Seen()
    last: list[Any] = []

    def entering(module: Any, inputs: Any) -> None:
        images = inputs[0] if inputs and isinstance(inputs[0], torch.Tensor) else None
        if images is None or images.ndim < 2 or images[0].numel() != 784:
            return
        flat = images.detach().cpu().reshape(len(images), -1)
        if last and torch.equal(last[0], flat):  # the same batch on its way through the layers
            return
        last[:] = [flat]
        ids = flat[:, 392].round().long().tolist()  # the number of the image stands in its middle rows
        known = torch.stack([originals[i] if i in originals else torch.full((784,), torch.nan) for i in ids])
        training = torch.is_grad_enabled() and module.training
        seen.batches.append((ids, training, bool(torch.equal(flat, known))))

    def stepping(optimizer: Any, *_: Any) -> None:
        group = optimizer.param_groups[0]
        seen.steps.append(
            {"class": type(optimizer).__name__, "lr": float(group["lr"]), "weight_decay": group["weight_decay"]}
        )

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # batches this small only lose time to several
    handles = [register_module_forward_pre_hook(entering), register_optimizer_step_pre_hook(stepping)]
    try:
        yield seen
    finally:
        torch.set_num_threads(threads)
        for handle in handles:
            handle.remove()


def _data(rng: np.random.Generator) -> tuple[Any, dict[int, Any]]:
    """Small images that carry their number in the rows around the middle; train, val and test have numbers of their own."""
    import torch

    from exercise_code.labs.images import LabelledImages

    originals: dict[int, Any] = {}

    def part(count: int, first: int) -> LabelledImages:
        labels = np.arange(count) % 10
        images = rng.normal(0, 0.3, (count, 1, 28, 28)).astype(np.float32)
        images[:, :, 8:20] = np.arange(first, first + count)[:, None, None, None]
        images[np.arange(count), 0, 2, 2 * labels] = 3.0
        tensor = torch.from_numpy(images)
        originals.update({first + i: tensor[i].reshape(-1).clone() for i in range(count)})
        return LabelledImages(tensor, torch.from_numpy(labels))

    train, val, test = part(TRAIN, 0), part(VAL, 100), part(TEST, 200)

    class Data:
        def __init__(self) -> None:
            self.train, self.val, self.transform, self.tested = train, val, None, 0

        def test(self) -> LabelledImages:
            self.tested += 1
            return test

    return Data(), originals


def _described(ids: list[int]) -> str:
    parts = {"train": range(100), "val": range(100, 200), "test": range(200, 300)}
    counts = {name: sum(i in numbers for i in ids) for name, numbers in parts.items()}
    return ", ".join(f"{count} of data.{name}" for name, count in counts.items() if count) or "none"
