#!/usr/bin/env python3
"""Compares a feature store row by row with what a torchvision script computes from the same file and pictures.

example:
  tests/parity/torchvision_embed.py --store feats --data photos --backbone googlenet_imagenet1k.pt --method features \\
      --size 224 --crop-ratio 0.875 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225

Needs Python with scripts/requirements-test.txt. Prints the worst row; exits 1 where it is beyond the tolerance, where
rows are missing, or where the store and the script differ in shape; 0 otherwise.
"""

import argparse
import glob
import os
import sys

import numpy
import torch
from pictures import batches, normalised, numbers, picture_path, pixels, read_rows, relative


def read_features(store, prefix):
    """[N,D] of all shards PREFIX-00000.npy, PREFIX-00001.npy, … in their order."""
    paths = sorted(glob.glob(os.path.join(glob.escape(store), f"{prefix}-[0-9]*.npy")))
    if not paths:
        sys.exit(f"{store}: no {prefix}-*.npy")
    return numpy.concatenate([numpy.load(path) for path in paths])


def pooled(output, pool):
    if output.dim() == 4 and pool == "average":
        output = output.mean((2, 3))
    return output if pool == "none" else output.flatten(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--store", required=True, help="the feature store: index.csv and the .npy shards")
    add("--data", required=True, help="the folder that image_path is relative to")
    add("--backbone", required=True, help="the TorchScript file")
    add("--method", default="forward", help="the method whose output was stored (default: forward)")
    add("--prefix", default="features", help="the shards' name before -00000.npy (default: features)")
    add("--pool", choices=("average", "flatten", "none"), default="average")
    add("--size", type=int, required=True)
    add("--crop-ratio", type=float, default=0.875)
    add("--interpolation", choices=("bilinear", "bicubic"), default="bilinear")
    add("--resize", choices=("short", "squash"), default="short")
    add("--mean", type=numbers, required=True)
    add("--std", type=numbers, required=True)
    add("--limit", type=int, default=0, help="only the first N rows (default: all)")
    add("--batch", type=int, default=16)
    add("--tolerance", type=float, default=1e-4, help="of a row's largest value (default: 1e-4)")
    arguments = parser.parse_args()

    every = read_rows(os.path.join(arguments.store, "index.csv"), ("row", "image_path"), 0)
    rows = every[: arguments.limit] if arguments.limit else every
    features = read_features(arguments.store, arguments.prefix)
    if len(features) != len(every):
        sys.exit(f"{arguments.store}: {len(features)} rows of features, {len(every)} in index.csv")
    backbone = getattr(torch.jit.load(arguments.backbone, map_location="cpu").eval(), arguments.method)

    worst, worst_row = -1.0, None
    for _, part in batches(rows, arguments.batch):
        pictures = [
            torch.from_numpy(pixels(picture_path(arguments.data, row), arguments.size, arguments.crop_ratio,
                                    arguments.interpolation, arguments.resize))
            for row in part
        ]
        with torch.inference_mode():
            output = backbone(normalised(torch.stack(pictures), arguments.mean, arguments.std))
            expected = pooled(output, arguments.pool).numpy()
        for row, values in zip(part, expected):
            distance = relative(features[int(row["row"])], values)
            if distance > worst:
                worst, worst_row = distance, row
    verdict = worst <= arguments.tolerance
    print(f"{len(rows)} rows of {features.shape[1:]} values; worst row {worst_row['row']} ({worst_row['image_path']}): "
          f"{worst:.3g} of its largest value, {'within' if verdict else 'BEYOND'} {arguments.tolerance:g}")
    return 0 if verdict else 1


if __name__ == "__main__":
    sys.exit(main())
