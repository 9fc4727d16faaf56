"""Data sets, transforms, augmentation and the DataLoader."""

from exercise_code.data.augmentation import Cutout, RandomCrop, RandomHorizontalFlip
from exercise_code.data.dataloader import DataLoader
from exercise_code.data.dataset import ArrayDataset, Dataset, ImageFolderDataset
from exercise_code.data.transforms import (
    ComposeTransform,
    FlattenTransform,
    NormalizeTransform,
    RescaleTransform,
    compute_image_mean_and_std,
)

__all__ = [
    "ArrayDataset",
    "ComposeTransform",
    "Cutout",
    "DataLoader",
    "Dataset",
    "FlattenTransform",
    "ImageFolderDataset",
    "NormalizeTransform",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RescaleTransform",
    "compute_image_mean_and_std",
]
