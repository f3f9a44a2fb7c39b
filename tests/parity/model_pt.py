#!/usr/bin/env python3
"""Runs model.pt in Python on the pictures of a predictions CSV and compares classes and scores with it.

example:
  tests/parity/model_pt.py --model run/model.pt --predictions predictions.csv --data photos

Preprocessing and class names are those of engraft.json inside model.pt. Compared, for every row: the class, the score,
and `from_pixels(uint8 [B,H,W,3])` with softmax or sigmoid of `forward(normalised)`. A class may differ only where the
two scores at stake lie within the tolerance. Needs Python with scripts/requirements-test.txt. Prints the worst row of
each; exits 1 where one is beyond the tolerance, 0 otherwise.
"""

import argparse
import json
import sys

import torch
from pictures import batches, normalised, picture_path, pixels, read_rows, relative


class Worst:
    """The largest value added, and the row it came with."""

    def __init__(self):
        self.value, self.row = -1.0, None

    def add(self, value, row):
        if not value <= self.value:  # a value that is not a number is the worst
            self.value, self.row = value, row["image_path"]

    def __str__(self):
        return f"{self.value:.3g} ({self.row})"


def load(path):
    """(module, its engraft.json); exits where there is none."""
    extra = {"engraft.json": ""}
    module = torch.jit.load(path, map_location="cpu", _extra_files=extra).eval()
    if not extra["engraft.json"]:
        sys.exit(f"{path}: no engraft.json in it")
    record = json.loads(extra["engraft.json"])
    for key in ("preprocessing", "classes"):
        if key not in record:
            sys.exit(f"{path}: engraft.json has no '{key}'")
    return module, record


def activation_of(record, given):
    """softmax or sigmoid: as given, else as the loss in engraft.json asks."""
    loss = record.get("loss", "softmax")
    named = given if given != "auto" else loss if isinstance(loss, str) else loss.get("name", "softmax")
    return torch.sigmoid if "sigmoid" in named else lambda logits: torch.softmax(logits, dim=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", required=True, help="model.pt")
    add("--predictions", required=True, help="a CSV with image_path, the predicted class and its score")
    add("--data", required=True, help="the folder that image_path is relative to")
    add("--label-column", default="label", help="the predicted class (default: label)")
    add("--score-column", default="score", help="its score (default: score)")
    add("--activation", choices=("auto", "softmax", "sigmoid"), default="auto", help="default: as engraft.json's loss")
    add("--limit", type=int, default=0, help="only the first N rows (default: all)")
    add("--batch", type=int, default=16)
    add("--tolerance", type=float, default=1e-4)
    arguments = parser.parse_args()

    module, record = load(arguments.model)
    classes, how = record["classes"], record["preprocessing"]
    if how.get("channels", "rgb") != "rgb" or how.get("exif", False):
        sys.exit(f"{arguments.model}: only RGB without EXIF rotation can be compared")
    activation = activation_of(record, arguments.activation)
    rows = read_rows(arguments.predictions, ("image_path", arguments.label_column, arguments.score_column), arguments.limit)

    score_gap, pixel_gap, wrong = Worst(), Worst(), []
    for _, part in batches(rows, arguments.batch):
        batch = torch.stack([
            torch.from_numpy(pixels(picture_path(arguments.data, row), how["size_px"], how["crop_ratio"],
                                    how["interpolation"], how["resize"]))
            for row in part
        ])
        with torch.inference_mode():
            scores = activation(module(normalised(batch, how["mean"], how["std"])))
            direct = module.from_pixels(batch)
        if scores.shape[1] != len(classes):
            sys.exit(f"{arguments.model}: {scores.shape[1]} outputs for {len(classes)} class names")
        for row, expected, found in zip(part, scores, direct):
            label, score = row[arguments.label_column], float(row[arguments.score_column])
            if label not in classes:
                sys.exit(f"{arguments.predictions}: '{label}' is not a class of {arguments.model}")
            own = expected[classes.index(label)].item()
            score_gap.add(abs(score - own), row)
            pixel_gap.add(relative(found, expected), row)
            if expected.max().item() - own > arguments.tolerance:
                wrong.append(f"{row['image_path']}: '{label}', Python says '{classes[expected.argmax().item()]}'")
    for line in wrong[:20]:
        print(f"class differs: {line}")
    print(f"{len(rows)} rows; {len(wrong)} other classes; worst score {score_gap}; worst from_pixels {pixel_gap}; "
          f"tolerance {arguments.tolerance:g}")
    return 0 if not wrong and score_gap.value <= arguments.tolerance and pixel_gap.value <= arguments.tolerance else 1


if __name__ == "__main__":
    sys.exit(main())
