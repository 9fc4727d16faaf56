"""Data sets, transforms and the DataLoader."""

from exercise_code.data.dataloader import DataLoader
from exercise_code.data.dataset import ArrayDataset, Dataset, ImageFolderDataset
from exercise_code.data.transforms import (
    ComposeTransform,
    FlattenTransform,
    NormalizeTransform,
    RandomHorizontalFlip,
    RescaleTransform,
    compute_image_mean_and_std,
)

__all__ = [
    "ArrayDataset",
    "ComposeTransform",
    "DataLoader",
    "Dataset",
    "FlattenTransform",
    "ImageFolderDataset",
    "NormalizeTransform",
    "RandomHorizontalFlip",
    "RescaleTransform",
    "compute_image_mean_and_std",
]
