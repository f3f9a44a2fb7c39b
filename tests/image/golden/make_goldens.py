#!/usr/bin/env python3
"""Makes the small pictures of this folder and goldens.tsv: what Pillow and torchvision make of them.

usage: make_goldens.py     (a Python with Pillow 13, torchvision and numpy; writes beside itself; seconds)

goldens.tsv: file, what was done, width, height, sha256 of the bytes [height, width, 3]. What was done is "decode",
"decode:exif", "resize:WxH:bilinear" or "SIZE:short:bilinear" and the like, as golden_pillow.py names them.
"""
import hashlib
import os
import sys

import numpy as np
from PIL import Image, ImageOps
from torchvision import transforms

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from made_pictures import bmp_rle8, offset_gif, photo  # noqa: E402

MODES = {"bilinear": transforms.InterpolationMode.BILINEAR, "bicubic": transforms.InterpolationMode.BICUBIC}


def make():
    rgb = Image.fromarray(photo(61, 43))
    rgba = Image.fromarray(photo(61, 43, 4, seed=3))
    cmyk = Image.fromarray(photo(40, 30, 4, seed=5), "CMYK")
    tall = Image.fromarray(photo(31, 97, seed=8))
    palette = rgb.quantize(90)
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb.save("baseline.jpg", quality=80, exif=exif)
    rgb.save("progressive.jpg", quality=80, progressive=True)
    rgb.convert("L").save("grey.jpg", quality=80)
    cmyk.save("cmyk.jpg", quality=80)
    rgb.save("rgb.png", exif=exif)
    rgba.save("rgba.png")
    tall.save("tall.png")
    palette.save("palette.png", transparency=3)
    rgb.save("lossy.webp", quality=60, exif=exif)
    rgba.save("lossless.webp", lossless=True, exact=True)
    palette.save("palette.gif")
    offset_gif("offset.gif", palette, 4)
    rgb.crop((0, 0, 21, 13)).save("rgb.bmp")
    bmp_rle8("rle8.bmp")
    rgb.save("lzw.tif", compression="tiff_lzw", exif=exif)
    rgba.save("tiled.tif", compression="tiff_adobe_deflate", tiffinfo={322: 16, 323: 16})
    rgb.crop((0, 0, 21, 13)).save("raw.tif")
    rgb.crop((0, 0, 21, 13)).save("colour.ppm")
    rgb.save("lossless.jp2", irreversible=False)


def jobs(name):
    yield "decode"
    yield "decode:exif"
    yield "24:short:bilinear"
    if name in ("rgb.png", "tall.png", "baseline.jpg"):
        for size in ("30x20", "61x20", "20x43", "200x150", "1x1", "7x90", "61x43"):
            for interpolation in MODES:
                yield f"resize:{size}:{interpolation}"
        for size in (16, 37, 224):
            for interpolation in MODES:
                yield f"{size}:short:{interpolation}"
                yield f"{size}:squash:{interpolation}"


def run(name, job):
    words = job.split(":")
    image = Image.open(name)
    image.load()
    image = (ImageOps.exif_transpose(image) if "exif" in words else image).convert("RGB")
    if words[0] == "decode":
        return image
    mode = MODES[words[2]]
    if words[0] == "resize":
        width, height = map(int, words[1].split("x"))
        return image.resize((width, height), Image.Resampling[words[2].upper()])
    size = int(words[0])
    if words[1] == "squash":
        return transforms.Resize((size, size), interpolation=mode)(image)
    return transforms.CenterCrop(size)(transforms.Resize(round(size / 0.875), interpolation=mode)(image))


def main():
    os.chdir(HERE)
    make()
    with open("goldens.tsv", "w") as out:
        for name in sorted(os.listdir(".")):
            if name.endswith((".py", ".tsv")):
                continue
            for job in jobs(name):
                pixels = np.asarray(run(name, job))
                digest = hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
                out.write(f"{name}\t{job}\t{pixels.shape[1]}\t{pixels.shape[0]}\t{digest}\n")


if __name__ == "__main__":
    main()
