#!/usr/bin/env python3
"""Compares every byte of this library's pixels with Pillow and torchvision, picture by picture.

usage: golden_pillow.py PIXELS [--shared FOLDER] [--quick]

PIXELS is the built tool tests/pixels. Needs a Python with Pillow, torchvision and numpy; about three minutes for all
pictures of the shared folder, half a minute for --quick (only pictures made here). Prints a table and ends with 1 on
any difference.
"""
import argparse
import collections
import contextlib
import os
import subprocess
import sys
import tarfile
import tempfile
import warnings

import numpy as np
from PIL import Image, ImageOps
from torchvision import transforms

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from made_pictures import make_pictures  # noqa: E402

CONFIGS = ["299:short:bilinear", "224:short:bilinear", "150:short:bilinear", "224:short:bicubic", "150:squash:bilinear",
           "640:short:bilinear"]
# JPEGs decoded at a part of their size.
FAST = ["64:short:bilinear:fast", "150:squash:bilinear:fast", "32:squash:bicubic:fast"]
MODES = {"bilinear": transforms.InterpolationMode.BILINEAR, "bicubic": transforms.InterpolationMode.BICUBIC}

# Pictures where the library means to differ from Pillow, and why. The bad_images table of decode_test.cpp says the same.
DIFFERENT = {
    "bad_exif_grey.jpg": "a marker inside the scan: damage to us, grey filling to Pillow",
    "text_chunk_bomb.png": "text is never inflated, so there is nothing to refuse",
}


def rgb(image):
    """Pillow's pixels; 16-bit grey by its high byte, which is where the library means to differ from Pillow's clipping."""
    if image.mode.startswith("I;16") or image.mode == "I":
        return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


def loaded(path):
    image = Image.open(path)
    image.load()
    return image


def drafted(path, side):
    """A JPEG at the scale that Pillow's draft() chooses for a picture of `side` by `side`; others whole."""
    image = Image.open(path)
    image.draft(None, (side, side))
    image.load()
    return image


def resized_side(config):
    size, resize = config.split(":")[:2]
    return int(size) if resize == "squash" else round(int(size) / 0.875)


def expected(config, path, cache):
    words = config.split(":")
    exif = "exif" in words
    side = resized_side(config) if "fast" in words else 0
    key = (path, exif, side)
    if cache.get("key") != key:
        cache["key"] = key
        try:
            image = drafted(path, side) if side else loaded(path)
            cache["image"] = rgb(ImageOps.exif_transpose(image) if exif else image)
        except Exception:  # whatever Pillow's reason, the verdict is that it cannot be read
            cache["image"] = None
    image = cache["image"]
    if image is None:
        return None
    if words[0] == "decode":
        return np.asarray(image)
    size, interpolation = int(words[0]), MODES[words[2]]
    if words[1] == "squash":
        steps = [transforms.Resize((size, size), interpolation=interpolation)]
    else:
        steps = [transforms.Resize(round(size / 0.875), interpolation=interpolation), transforms.CenterCrop(size)]
    return np.asarray(transforms.Compose(steps)(image))


def kinds(config, words, source, height, width):
    """The rows of the table this comparison counts in."""
    yield "all"
    yield f"set {source}"
    yield f"config {config}"
    yield f"format {words[0]} {words[1]}"
    for word in words[2:]:
        if word[:1] == "4" and ":" in word:
            yield f"jpeg {word}" + (" progressive" if "progressive" in words else "")
    if config[0].isdigit():
        short = min(height, width)
        target = round(int(config.split(":")[0]) / (0.875 if "short" in config else 1.0))
        yield "resize up" if target > short else "resize down" if target < short else "resize none"


def compare(pixels, pairs, folder):
    """(config, path, set) triples -> table of counts and the list of differences."""
    listing = "".join(f"{config}\t{path}\n" for config, path, _ in pairs)
    dump = os.path.join(folder, "dump")
    os.makedirs(dump, exist_ok=True)
    run = subprocess.run([pixels, "--dump", dump], input=listing, capture_output=True, text=True)
    lines = run.stdout.splitlines()
    if run.returncode != 0 or len(lines) != len(pairs):
        sys.exit(f"golden_pillow: {pixels} ended with {run.returncode} after {len(lines)} of {len(pairs)} lines: {run.stderr}")
    table = collections.defaultdict(lambda: [0, 0, 0, 0])  # compared, bytes, differing pictures, differing bytes
    problems, refused, cache = [], collections.Counter(), {}
    for number, ((config, path, source), line) in enumerate(zip(pairs, lines)):
        name = os.path.basename(path)
        theirs = expected(config, path, cache)
        words = line.split("\t")
        if words[0] == "FAIL" or theirs is None:
            if (words[0] == "FAIL") == (theirs is None):
                refused["both refuse"] += 1
            elif name in DIFFERENT:
                refused[f"meant to differ: {name}: {DIFFERENT[name]}"] += 1
            else:
                problems.append(f"{config} {path}: Pillow {'refuses' if theirs is None else 'reads'}, ours: {line}")
            continue
        ours = np.fromfile(os.path.join(dump, str(number)), np.uint8)
        os.remove(os.path.join(dump, str(number)))
        shape = (int(words[2]), int(words[1]), 3)
        differing = -1
        if theirs.shape == shape:
            differing = int(np.count_nonzero(ours.reshape(shape) != theirs))
        if differing != 0:
            most = int(np.abs(ours.reshape(shape).astype(int) - theirs).max()) if differing > 0 else -1
            problems.append(f"{config} {path}: {differing} of {theirs.size} bytes differ, by at most {most} "
                            f"(shape {shape}, Pillow {theirs.shape}; {words[3]})")
        image = cache["image"]
        for kind in kinds(config, words[3].split(), source, image.height, image.width):
            row = table[kind]
            row[0] += 1
            row[1] += theirs.size
            row[2] += differing != 0
            row[3] += max(differing, 0)
    return table, refused, problems


def shared_pictures(shared, folder):
    data = os.path.join(shared, "data")
    for source in ("hymenoptera", "flowers12", "imagenet_sample", "bad_images"):
        for root, _, names in sorted(os.walk(os.path.join(data, source))):
            for name in sorted(names):
                if name.lower().endswith((".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".webp", ".ico")):
                    yield os.path.join(root, name), source
    with tarfile.open(os.path.join(data, "tiny_imagenet200.tar.gz")) as archive:
        taken = 0
        for member in archive:
            if member.isfile() and member.name.endswith(".webp"):
                path = os.path.join(folder, f"tiny_{taken}.webp")
                with open(path, "wb") as out:
                    out.write(archive.extractfile(member).read())
                yield path, "tiny_imagenet"
                taken += 1
                if taken == 300:
                    return


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pixels")
    parser.add_argument("--shared", default=os.environ.get("ENGRAFT_SHARED", ""))
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    total, refused, problems = collections.defaultdict(lambda: [0, 0, 0, 0]), collections.Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        sources = [(path, "made") for path in make_pictures(os.path.join(folder, "made"))]
        if not options.quick:
            sources += list(shared_pictures(options.shared, folder))
        pairs = []
        for path, source in sources:
            configs = ["decode", "224:short:bilinear"] if source == "made" else ["decode"] + CONFIGS
            if source in ("made", "bad_images"):
                configs = configs + ["decode:exif"]
            configs = configs + FAST
            if os.path.basename(path).startswith("wide_65500"):
                configs = ["decode", "150:squash:bilinear", "224:short:bilinear"]  # Pillow takes 2 GB for the last
            pairs += [(config, path, source) for config in configs]
        for start in range(0, len(pairs), 2000):  # a bounded dump
            table, more, wrong = compare(options.pixels, pairs[start:start + 2000], folder)
            for kind, row in table.items():
                total[kind] = [a + b for a, b in zip(total[kind], row)]
            refused += more
            problems += wrong
    print(f"{'':34}{'compared':>10}{'bytes':>15}{'pictures off':>14}{'differing bytes':>17}")
    for kind in sorted(total):
        compared, size, off, differing = total[kind]
        print(f"{kind:34}{compared:>10}{size:>15,}{off:>14}{differing:>17,}")
    for reason, count in sorted(refused.items()):
        print(f"{count:6} {reason}")
    for problem in problems:
        print("DIFFERENT:", problem)
    print(f"differing bytes: {total['all'][3]}, problems: {len(problems)}, comparisons: {total['all'][0]}")
    return 1 if problems or total["all"][0] == 0 else 0


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
