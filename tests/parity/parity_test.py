"""The two comparisons pass on what torchvision itself computed, and fail on a planted difference."""

import contextlib
import csv
import io
import json
import os
import shutil
import sys
import tempfile
import unittest
import unittest.mock
import warnings

import numpy
import torch
import torchvision.transforms as T
import model_pt
import torchvision_embed
from PIL import Image

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
SIZE, CROP_RATIO = 32, 0.875
CLASSES = ["ant", "bee", "élan"]

class Model(torch.nn.Module):
    """A tiny file with everything the scripts ask for; a `scale` other than 1 makes from_pixels disagree with forward."""

    def __init__(self, scale):
        super().__init__()
        self.scale: float = scale
        self.register_buffer("weight", torch.randn(3, 3, generator=torch.Generator().manual_seed(2)))
        self.register_buffer("mean", torch.tensor(MEAN).reshape(3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).reshape(3, 1, 1))

    def logits(self, x):
        return torch.matmul(x.mean([2, 3]), self.weight)

    def forward(self, x):
        return self.logits(x)

    @torch.jit.export
    def features(self, x):
        return torch.nn.functional.avg_pool2d(x, [4, 4])

    @torch.jit.export
    def from_pixels(self, pixels):
        x = pixels.permute([0, 3, 1, 2]).to(torch.float32) / 255
        return torch.softmax(self.logits((x - self.mean) / self.std) * self.scale, 1)


def write_model(path, scale=1.0, **record):
    preprocessing = {"size_px": SIZE, "crop_ratio": CROP_RATIO, "resize": "short", "interpolation": "bilinear",
                     "mean": MEAN, "std": STD, "channels": "rgb", "exif": False}
    whole = {"format": "engraft-model", "preprocessing": preprocessing, "classes": CLASSES, **record}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.jit.script(Model(scale))
        torch.jit.save(module, path, _extra_files={"engraft.json": json.dumps(whole)})
        return torch.jit.load(path)


class Parity(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="engraft-parity-")
        self.addCleanup(shutil.rmtree, self.folder)
        random = numpy.random.default_rng(5)
        self.names = [f"train/{i}.{kind}" for i, kind in enumerate(("png", "jpg", "png", "jpg"))]
        os.makedirs(self.path("train"))
        for index, name in enumerate(self.names):
            coarse = Image.fromarray(random.integers(0, 256, (6, 5, 3), dtype=numpy.uint8))
            picture = coarse.resize((70 + 11 * index, 50 + 17 * index), Image.Resampling.BICUBIC)
            (picture.convert("L") if index == 2 else picture).save(self.path(name))
        # Written out once more, apart from pictures.py: this is the script that people have.
        transform = T.Compose([T.Resize(round(SIZE / CROP_RATIO)), T.CenterCrop(SIZE), T.ToTensor(), T.Normalize(MEAN, STD)])
        self.inputs = torch.stack([transform(Image.open(self.path(name)).convert("RGB")) for name in self.names])
        self.model = write_model(self.path("model.pt"))

    def path(self, name):
        return os.path.join(self.folder, name)

    def run_script(self, script, *arguments):
        """(exit code, what was said) of a script's main, in this process: importing torch takes seconds."""
        out = io.StringIO()
        with unittest.mock.patch.object(sys, "argv", [script.__file__, *arguments]), contextlib.redirect_stdout(out):
            try:
                code = script.main()
            except SystemExit as exit_call:  # as the interpreter has it: a text is said, and is 1
                code = exit_call.code if isinstance(exit_call.code, int) else 1
                print(exit_call.code)
        return code, out.getvalue()

    def write_csv(self, name, header, rows):
        with open(self.path(name), "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])

    def write_store(self, features):
        os.makedirs(self.path("store"), exist_ok=True)
        numpy.save(self.path("store/features-00000.npy"), features[:3])
        numpy.save(self.path("store/features-00001.npy"), features[3:])
        self.write_csv("store/index.csv", ["row", "image_path", "label", "split"],
                       [[i, name, "ant", "train"] for i, name in enumerate(self.names)])

    def embed(self, *arguments):
        return self.run_script(torchvision_embed, "--store", self.path("store"), "--data", self.folder, "--backbone",
                               self.path("model.pt"), "--method", "features", "--size", str(SIZE), "--crop-ratio",
                               str(CROP_RATIO), "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225", *arguments)

    def test_a_store_of_the_same_numbers_passes_and_one_changed_row_is_found(self):
        features = self.model.features(self.inputs).mean((2, 3)).numpy()
        self.write_store(features)
        code, out = self.embed("--batch", "3")
        self.assertEqual(code, 0, out)
        self.assertIn("4 rows of (3,) values", out)
        largest = numpy.abs(features[3]).max()
        for change, expected in ((0.5e-4, 0), (2e-4, 1)):
            changed = features.copy()
            changed[3, 1] += change * largest
            self.write_store(changed)
            code, out = self.embed()
            self.assertEqual(code, expected, out)
            self.assertIn("worst row 3 (train/3.jpg)", out)
        self.assertEqual(self.embed("--limit", "3")[0], 0)

    def test_another_resize_mean_or_order_is_beyond_the_tolerance(self):
        features = self.model.features(self.inputs).mean((2, 3)).numpy()
        self.write_store(features)
        for arguments in (("--crop-ratio", "1"), ("--mean", "0.5"), ("--interpolation", "bicubic"), ("--resize", "squash")):
            self.assertEqual(self.embed(*arguments)[0], 1, arguments)
        self.write_store(features[[1, 0, 2, 3]])
        self.assertEqual(self.embed()[0], 1)
        bad = features.copy()
        bad[0, 0] = numpy.nan
        self.write_store(bad)
        self.assertEqual(self.embed()[0], 1)

    def test_a_store_with_rows_missing_is_refused(self):
        self.write_store(self.model.features(self.inputs).mean((2, 3)).numpy()[:-1])
        code, out = self.embed()
        self.assertEqual(code, 1)
        self.assertIn("3 rows of features, 4 in index.csv", out)

    def predict(self, change=0.0, *arguments):
        scores = torch.softmax(self.model(self.inputs), 1)
        rows = [[name, CLASSES[row.argmax()], f"{row.max().item() + change:.9g}"] for name, row in zip(self.names, scores)]
        self.write_csv("predictions.csv", ["image_path", "label", "score"], rows)
        return self.compare(*arguments)

    def compare(self, *arguments):
        return self.run_script(model_pt, "--model", self.path("model.pt"), "--predictions",
                               self.path("predictions.csv"), "--data", self.folder, *arguments)

    def test_predictions_of_the_same_model_pass_and_another_score_does_not(self):
        for change, expected in ((0.0, 0), (0.5e-4, 0), (2e-4, 1)):
            code, out = self.predict(change)
            self.assertEqual(code, expected, out)
            self.assertIn("4 rows; 0 other classes", out)

    def test_another_class_is_named(self):
        scores = torch.softmax(self.model(self.inputs), 1)
        rows = [[name, CLASSES[row.argmin()], row.min().item()] for name, row in zip(self.names, scores)]
        self.write_csv("predictions.csv", ["image_path", "label", "score"], rows)
        code, out = self.compare()
        self.assertEqual(code, 1, out)
        self.assertIn("4 other classes", out)
        self.assertIn(f"class differs: train/0.png: '{rows[0][1]}'", out)

    def test_from_pixels_that_disagrees_with_forward_is_found(self):
        write_model(self.path("model.pt"), scale=1.1)
        self.assertEqual(self.predict()[0], 1)

    def test_the_activation_follows_the_loss_in_the_file(self):
        write_model(self.path("model.pt"), loss="sigmoid")
        self.assertEqual(self.predict()[0], 1)
        self.assertEqual(self.predict(0.0, "--activation", "softmax")[0], 0)


if __name__ == "__main__":
    unittest.main(warnings="ignore")
