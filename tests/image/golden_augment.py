#!/usr/bin/env python3
"""Compares views of pictures with torchvision's functions of Pillow pictures and with Keras' warp, byte by byte.

usage: golden_augment.py VIEWS              compare; VIEWS is the built tool tests/views (or $ENGRAFT_VIEWS)
       golden_augment.py --write            write golden/views.tsv, which augment_test.cpp reads

Both halves are compared: views written here (all magnitudes of all operations), and views that the library draws and
tells. Pictures: a few of golden/, made-up ones, and a few of $ENGRAFT_SHARED/data/hymenoptera where that is set. Needs
Pillow 13, torchvision, numpy and scipy; about a minute. Ends with 1 on any difference that is not expected.

The warp is scipy.ndimage.affine_transform in double precision, as Keras calls it, rounded half up. There the last bit of
a sum decides about an exact half, so one byte in a million may differ by one.
"""
import collections
import glob
import hashlib
import os
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image
from scipy import ndimage
from torchvision.transforms import InterpolationMode, autoaugment
from torchvision.transforms import functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from made_pictures import photo  # noqa: E402

MODES = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}
MEAN = (0.485, 0.456, 0.406)
SPACE = autoaugment.TrivialAugmentWide()._augmentation_space(31)
OPERATIONS = list(SPACE)


def keras_matrix(size, theta, tx, ty, shear, zx, zy):
    """apply_affine_transform(row_axis=0, col_axis=1) of Keras, tx and ty as shares."""
    theta, shear = np.deg2rad(theta), np.deg2rad(shear)
    rotation = np.array([[np.cos(theta), -np.sin(theta), 0], [np.sin(theta), np.cos(theta), 0], [0, 0, 1]])
    shift = np.array([[1, 0, tx * size], [0, 1, ty * size], [0, 0, 1]])
    sheared = np.array([[1, -np.sin(shear), 0], [0, np.cos(shear), 0], [0, 0, 1]])
    matrix = rotation @ shift @ sheared @ np.diag([zx, zy, 1])
    centre = size / 2 - 0.5
    there = np.array([[1, 0, centre], [0, 1, centre], [0, 0, 1]])
    back = np.array([[1, 0, -centre], [0, 1, -centre], [0, 0, 1]])
    return there @ matrix @ back


def warp(image, numbers):
    pixels = np.asarray(image).astype(np.float64)
    matrix = keras_matrix(pixels.shape[0], *numbers)
    planes = [ndimage.affine_transform(pixels[..., c], matrix[:2, :2], matrix[:2, 2], order=1, mode="nearest")
              for c in range(3)]
    return Image.fromarray(np.floor(np.stack(planes, axis=2) + 0.5).astype(np.uint8))


def jitter(image, numbers):
    functions = [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue]
    for digit in f"{int(numbers[0]):04d}":
        what = int(digit)
        if numbers[1 + what] != (0 if what == 3 else 1):
            image = functions[what](image, numbers[1 + what])
    return image


def erase(image, numbers):
    left, top, width, height = (int(n) for n in numbers)
    pixels = np.array(image)
    pixels[top:top + height, left:left + width] = [round(255 * mean) for mean in MEAN]
    return Image.fromarray(pixels)


def square(image, config, parts):
    size, resize, mode = config.split(":")
    size, mode = int(size), MODES[mode]
    if "crop" in parts:
        left, top, width, height = (int(n) for n in parts["crop"])
        return F.resized_crop(image, top, left, height, width, [size, size], mode)
    if resize == "squash":
        return F.resize(image, [size, size], mode)
    return F.center_crop(F.resize(image, round(size / 0.875), mode), [size, size])


def parsed(view):
    parts = {}
    for part in [] if view == "-" else view.split(";"):
        name, _, numbers = part.partition("=")
        parts[name] = [float(n) for n in numbers.split(",")] if numbers else []
    return parts


def expected(image, config, view):
    parts = parsed(view)
    image = square(image, config, parts)
    if "warp" in parts:
        image = warp(image, parts["warp"])
    if "flip" in parts:
        image = F.hflip(image)
    if "trivial" in parts:
        operation, magnitude = parts["trivial"]
        image = autoaugment._apply_op(image, OPERATIONS[int(operation)], magnitude, InterpolationMode.NEAREST, None)
    if "jitter" in parts:
        image = jitter(image, parts["jitter"])
    if "erase" in parts:
        image = erase(image, parts["erase"])
    return np.asarray(image)


def trivial_views():
    """All operations with all of torchvision's own magnitudes."""
    for number, name in enumerate(OPERATIONS):
        magnitudes, signed = SPACE[name]
        for magnitude in sorted(set(magnitudes.flatten().tolist())):
            for sign in (1, -1) if signed else (1,):
                yield f"trivial={number},{sign * float(magnitude)!r}"


def written_views(seed):
    random = np.random.default_rng(seed)
    yield "-"
    yield "flip"
    for numbers in ((90, 0, 0, 0, 1, 1), (180, 0, 0, 0, 1, 1), (0, 1, -1, 0, 1, 1), (0, 0, 0, 89, 1, 1),
                    (0, 0, 0, 0, 0.01, 1.99), (0, 0, 0, 0, 1, 1)):
        yield "warp=" + ",".join(str(n) for n in numbers)
    for factor in (0.0, 1.0, 0.5, 1.5, 2.0, 11.0, *random.uniform(0, 2, 4)):
        for position in range(3):
            numbers = [1.0, 1.0, 1.0]
            numbers[position] = float(factor)
            yield "jitter=0123," + ",".join(repr(n) for n in numbers) + ",0"
    for hue in (-0.5, 0.5, 0.001, -0.001, 0.25, *random.uniform(-0.5, 0.5, 4)):
        yield f"jitter=3210,1,1,1,{float(hue)!r}"


LISTS = ["practicum", "standard", "trivial,flip", "jitter", "jitter=0.4:0.4:0.4:0.5", "erase=1", "crop=0.3:0.9",
         "rotate=180", "shear=89", "zoom=0.9", "shift=1", "practicum,crop,trivial,jitter=1:1:1:0.1,erase=0.5"]
CONFIGS = ["150:squash:bilinear", "97:short:bicubic", "64:short:bilinear"]


def jobs(path, seed):
    for view in list(trivial_views()) + list(written_views(seed)):
        yield "150:squash:bilinear", view, path
    for config in CONFIGS:
        for number, augmentation in enumerate(LISTS):
            for key in range(12):
                yield config, f"draw {seed * 100 + number} {key} {augmentation}", path


def made_pictures(folder):
    random = np.random.default_rng(11)
    arrays = {
        "noise": random.integers(0, 256, (37, 53, 3), dtype=np.uint8),
        "flat": np.full((40, 40, 3), (200, 30, 90), np.uint8),
        "dark": random.integers(0, 20, (151, 149, 3), dtype=np.uint8),
        "cube": np.stack(np.meshgrid(*[np.arange(0, 256, 17)] * 3), -1).reshape(64, 64, 3).astype(np.uint8),
        "strip": photo(700, 3), "column": photo(3, 700), "dot": photo(1, 1), "square": photo(150, 150),
    }
    for name, pixels in arrays.items():
        Image.fromarray(pixels).save(os.path.join(folder, name + ".png"))
    return [os.path.join(folder, name + ".png") for name in arrays]


def compare(tool, path, seed, table):
    image = Image.open(path).convert("RGB")
    work = list(jobs(path, seed))
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run([tool, folder], input="\n".join("\t".join(job) for job in work), text=True, check=True,
                             stdout=subprocess.PIPE)
        for number, (job, view) in enumerate(zip(work, run.stdout.splitlines(), strict=True)):
            want = expected(image, job[0], view)
            got = np.fromfile(os.path.join(folder, str(number)), np.uint8).reshape(want.shape)
            difference = np.abs(want.astype(int) - got)
            kind = "warp" if "warp" in view else "trivial" if view.startswith("trivial") else "rest"
            row = table[kind]
            row["views"] += 1
            row["bytes"] += want.size
            row["different"] += int((difference > 0).sum())
            row["largest"] = max(row["largest"], int(difference.max()))
            if difference.max() > (1 if kind == "warp" else 0):
                wrong += 1
                print(f"DIFFERENT {path} {job[0]} {view}: {(difference > 0).sum()} bytes, up to {difference.max()}")
    return wrong


def write():
    """A small table that needs no Python: file, config, view, sha256."""
    views = ["-", "flip", "crop=3,5,40,31", "warp=-31.5,0.12,-0.07,0.15,1.13,0.88", "warp=17,-0.2,0.2,-0.1,0.8,1.2;flip",
             "jitter=2103,0.7,1.3,0.6,0.1", "jitter=0123,1.4,0.6,1.4,-0.3", "erase=5,9,20,14",
             "crop=0,2,61,40;flip;trivial=5,-22.5;jitter=3021,1.1,0.9,1.2,0.05;erase=0,0,9,30"]
    for number, name in enumerate(OPERATIONS):
        magnitudes = SPACE[name][0].flatten().tolist()
        views.append(f"trivial={number},{float(magnitudes[len(magnitudes) * 2 // 3])!r}")
    with open(os.path.join(HERE, "golden", "views.tsv"), "w", encoding="ascii") as out:
        for name in ("rgb.png", "lossless.webp"):
            image = Image.open(os.path.join(HERE, "golden", name)).convert("RGB")
            for config in ("48:squash:bilinear", "33:short:bicubic"):
                for view in views:
                    digest = hashlib.sha256(expected(image, config, view).tobytes()).hexdigest()
                    out.write(f"{name}\t{config}\t{view}\t{digest}\n")


def main():
    if sys.argv[1:] == ["--write"]:
        return write()
    tool = sys.argv[1] if len(sys.argv) == 2 else os.environ.get("ENGRAFT_VIEWS")
    if not tool or tool.startswith("-"):
        sys.exit(__doc__)
    table = collections.defaultdict(lambda: dict.fromkeys(("views", "bytes", "different", "largest"), 0))
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(HERE, "golden", name) for name in ("rgb.png", "tall.png")] + made_pictures(folder)
        shared = os.environ.get("ENGRAFT_SHARED", "")
        paths += sorted(glob.glob(os.path.join(shared, "data", "hymenoptera", "val", "*", "*.jpg")))[::40] if shared else []
        for seed, path in enumerate(paths):
            wrong += compare(tool, path, seed, table)
    for kind, row in sorted(table.items()):
        print(f"{kind:8} {row['views']:6} views {row['bytes']:12} bytes {row['different']:6} different, largest {row['largest']}")
    warp_row = table["warp"]
    if wrong or warp_row["different"] > warp_row["bytes"] * 1e-6 + 3:
        sys.exit(f"{wrong} views differ")
    print(f"all views of {len(paths)} pictures agree")


if __name__ == "__main__":
    main()
