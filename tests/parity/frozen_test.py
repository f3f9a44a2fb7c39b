"""torchvision's inception_v3 with its batch norms, scripted and traced, 20 uncached steps: what the program says is
frozen is bit-identical to the backbone file in model.pt, what learns has moved, and model.pt gives Python the
program's numbers."""

import csv
import io
import json
import os
import subprocess
import sys
import tempfile
import unittest

import numpy
import torch
from PIL import Image

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ["ENGRAFT_PROGRAM"]
SIZE = 96
LEARNING = "Mixed_7c"


def run(*arguments):
    return subprocess.run([PROGRAM, *arguments], check=True, capture_output=True, text=True).stdout


def draw_pictures(folder):
    """40 training and 6 validation pictures of two classes, apart in colour."""
    random = numpy.random.default_rng(5)
    for split, count in (("train", 20), ("val", 3)):
        for name, channel in (("blue", 2), ("red", 0)):
            os.makedirs(f"{folder}/{split}/{name}")
            for i in range(count):
                pixels = random.integers(40, 160, (110, 120, 3), dtype=numpy.uint8)
                pixels[:, :, channel] += 60
                Image.fromarray(pixels).save(f"{folder}/{split}/{name}/{i}.png")


class Frozen(unittest.TestCase):
    def check_network(self, how):
        with tempfile.TemporaryDirectory() as folder:
            draw_pictures(f"{folder}/data")
            backbone = f"{folder}/inception.pt"
            subprocess.run([sys.executable, "-B", f"{ROOT}/models/export_backbone.py", "--source", "torchvision", "--model",
                            "inception_v3", "--weights", "none", "--size", str(SIZE), how, "--out", backbone],
                           check=True, capture_output=True)
            # Batches of 4: 10 steps an epoch, 20 in the stage that unfreezes. Random weights behind norms that have
            # seen nothing give huge activations; AdamW's steps do not grow with them.
            result = json.loads(run("train", "--backbone", backbone, "--data", f"{folder}/data", "--out", f"{folder}/run",
                                    "--batch", "4", "--epochs", "1", "--quiet", "--json", "--device", "cpu", "--select", "last",
                                    "--stage", f"unfreeze={LEARNING},epochs=2,optimizer=adamw,learning_rate=1e-5"))
            frozen = result["stages"][1]["frozen"]
            self.assertEqual(frozen["moved"], [])
            self.assertGreater(frozen["tensors"], 400)

            before = torch.jit.load(backbone).state_dict()
            after = torch.jit.load(f"{folder}/run/model.pt").state_dict()
            moved, kept = [], 0
            for name, tensor in before.items():
                if "backbone." + name not in after:
                    self.assertTrue(name.startswith(("fc.", "AuxLogits.")), name)
                elif torch.equal(tensor, after["backbone." + name]):
                    kept += 1
                else:
                    moved.append(name)
            self.assertTrue(all(name.startswith(LEARNING + ".") for name in moved), moved)
            self.assertGreater(kept, 400)
            statistics = [name for name in moved if "running_" in name or "num_batches" in name]
            self.assertEqual(statistics, [], "statistics of norms stay, also in blocks that learn")
            learnable = {n for n, _ in torch.jit.load(backbone).named_parameters() if n.startswith(LEARNING + ".")}
            self.assertEqual(set(moved), learnable)
            self.compare_predictions(folder)

    def compare_predictions(self, folder):
        """`predict` and Python on the same file, pictures and preprocessing."""
        said = list(csv.DictReader(io.StringIO(run("predict", "--model", f"{folder}/run/model.pt", "--quiet", "--device", "cpu",
                                                   f"{folder}/data/val"))))
        self.assertEqual(len(said), 6)
        predictions = f"{folder}/predictions.csv"
        with open(predictions, "w", newline="") as file:
            writer = csv.DictWriter(file, said[0].keys())
            writer.writeheader()
            writer.writerows(said)
        subprocess.run([sys.executable, "-B", f"{ROOT}/tests/parity/model_pt.py", "--model", f"{folder}/run/model.pt",
                        "--predictions", predictions, "--data", "/"], check=True)

    def test_scripted(self):
        self.check_network("--script")

    def test_traced(self):
        self.check_network("--trace")


if __name__ == "__main__":
    unittest.main(verbosity=2)
