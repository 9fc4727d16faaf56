"""Train the six runs of the notebook's section on loss curves and print the table in `exercise_code/loss_curves.py`.

    DATASETS_DIR=... python solutions/02_solver/record_curves.py

One minute on one core. The table lies in the package without the settings that made it: naming the runs is a task.
"""

from typing import Any

from exercise_code.data import (
    ComposeTransform,
    DataLoader,
    FlattenTransform,
    ImageFolderDataset,
    NormalizeTransform,
    RescaleTransform,
)
from exercise_code.data.registry import locate
from exercise_code.networks import ClassificationNet
from exercise_code.networks.layer import Relu, Sigmoid
from exercise_code.networks.optimizer import SGD
from exercise_code.solver import Solver

EPOCHS = 30
RELU: dict[str, Any] = {"activation": Relu(), "std": "he"}
RUNS: dict[str, dict[str, Any]] = {  # letter -> network, images to train on, learning rate
    "A": {"net": {**RELU, "hidden_size": 300}, "images": 2000, "learning_rate": 0.02},  # overfitting
    "B": {"net": {**RELU, "hidden_size": 100}, "images": 5000, "learning_rate": 1e-4},  # too low
    "C": {"net": {"activation": Sigmoid(), "num_layer": 5}, "images": 5000, "learning_rate": 0.1},  # stuck
    "D": {"net": {**RELU, "hidden_size": 100}, "images": 20000, "learning_rate": 0.005},  # good
    "E": {"net": {**RELU, "hidden_size": 100}, "images": 20000, "learning_rate": 0.17},  # too high
    "F": {"net": {**RELU, "hidden_size": 300}, "images": 1000, "learning_rate": 0.02, "same": True},  # leak
}


def record(
    net: dict[str, Any], images: int, learning_rate: float, same: bool = False
) -> tuple[list[float], list[float]]:
    """Return the training and the validation loss per epoch of one run."""
    transform = ComposeTransform([RescaleTransform(), NormalizeTransform(0.47, 0.25), FlattenTransform()])
    root = locate("cifar10")
    split = {"train": 0.9, "val": 0.1}
    train = ImageFolderDataset(transform, "train", images, split, root)
    val = train if same else ImageFolderDataset(transform, "val", 1000, split, root)
    loaders = DataLoader(train, 100, shuffle=True), DataLoader(val, 100)
    model = ClassificationNet(**net)
    solver = Solver(model, *loaders, learning_rate=learning_rate, optimizer=SGD, verbose=False, allow_overlap=same)
    solver.train(EPOCHS)
    return solver.train_loss_history, solver.val_loss_history


if __name__ == "__main__":
    for letter, run in RUNS.items():
        train, val = record(**run)
        print(f'    "{letter}": Curve(\n        {tuple(round(x, 3) for x in train)},')
        print(f"        {tuple(round(x, 3) for x in val)},\n    ),", flush=True)
