"""torchvision's way from a picture file to the network's input, and the comparison of rows; shared by the two scripts."""

import csv
import os
import sys
import warnings

import numpy
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

# TorchScript is what is compared; that LibTorch's Python calls it deprecated is no news at every call.
warnings.filterwarnings("ignore", category=DeprecationWarning)
Image.MAX_IMAGE_PIXELS = None


def pixels(path, size, crop_ratio, interpolation="bilinear", resize="short"):
    """uint8 [H,W,3]: opened by Pillow, RGB, resized by Pillow with antialias, centre crop."""
    with Image.open(path) as picture:
        rgb = picture.convert("RGB")
    mode = InterpolationMode(interpolation)
    if resize == "squash":
        squashed = F.resize(rgb, [size, size], mode)
        return numpy.array(squashed)
    resized = F.resize(rgb, [round(size / crop_ratio)], mode)
    return numpy.array(F.center_crop(resized, [size, size]))


def normalised(batch, mean, std):
    """float32 [B,3,H,W] of uint8 [B,H,W,3], as ToTensor and Normalize make it."""
    planes = batch.permute(0, 3, 1, 2).contiguous().to(torch.float32).div(255)
    return F.normalize(planes, list(mean), list(std))


def read_rows(path, columns, limit):
    """Rows of a CSV as dictionaries; exits where a column is missing."""
    with open(path, encoding="utf-8", newline="") as file:
        table = csv.DictReader(file)
        for column in columns:
            if column not in (table.fieldnames or []):
                sys.exit(f"{path}: no column '{column}'; columns: {', '.join(table.fieldnames or [])}")
        rows = list(table)
    if not rows:
        sys.exit(f"{path}: no rows, so nothing can be compared")
    return rows[:limit] if limit else rows


def batches(rows, size):
    for start in range(0, len(rows), size):
        yield start, rows[start : start + size]


def picture_path(data, row):
    return row["image_path"] if os.path.isabs(row["image_path"]) else os.path.join(data, row["image_path"])


def numbers(text):
    """`a,b,c`, or one number for all three."""
    found = [float(word) for word in text.split(",")]
    if len(found) not in (1, 3):
        raise ValueError(text)
    return found * 3 if len(found) == 1 else found


def relative(found, expected):
    """max |found - expected| / max |expected| of one row; not a number counts as endlessly far."""
    found, expected = numpy.asarray(found, numpy.float64), numpy.asarray(expected, numpy.float64)
    if found.shape != expected.shape or not numpy.isfinite(found).all():
        return float("inf")
    return float(numpy.abs(found - expected).max() / max(numpy.abs(expected).max(), 1e-30))
