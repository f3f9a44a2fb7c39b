"""The shared Inception v3 and GoogLeNet on ants and bees: every embedding against a torchvision script, and a head alone
against the accuracy these weights are known for."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.environ["ENGRAFT_PROGRAM"]
SHARED = os.environ.get("ENGRAFT_SHARED", os.path.join(HERE, "..", "..", "..", "shared"))
DATA = os.path.join(SHARED, "data", "hymenoptera")
HALF = str(128 / 255)
NETWORKS = {
    "googlenet_imagenet1k": {"method": "features", "size": "224", "mean": "0.485,0.456,0.406", "std": "0.229,0.224,0.225",
                             "width": 1024},
    "inception_v3_mixed8": {"method": "forward", "size": "299", "mean": ",".join([HALF] * 3), "std": ",".join([HALF] * 3),
                            "width": 1280},
}


def weights(name):
    return os.path.join(SHARED, "weights", name + ".pt")


class Real(unittest.TestCase):
    def test_embeddings_are_those_of_a_torchvision_script(self):
        for name, known in NETWORKS.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                store = os.path.join(folder, "store")
                subprocess.run([PROGRAM, "embed", "--backbone", weights(name), "--data", DATA, "--out", store, "--quiet",
                                "--device", "cpu", "--precision", "f32"], check=True)  # as the script computes
                subprocess.run([sys.executable, "-B", os.path.join(HERE, "torchvision_embed.py"), "--store", store, "--data",
                                DATA, "--backbone", weights(name), "--method", known["method"], "--size", known["size"],
                                "--crop-ratio", "0.875", "--mean", known["mean"], "--std", known["std"]], check=True)

    def test_a_head_alone_reaches_92_percent(self):
        for name in NETWORKS:
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                out = subprocess.run([PROGRAM, "train", "--backbone", weights(name), "--data", DATA, "--out",
                                      os.path.join(folder, "run"), "--quiet", "--json", "--device", "cpu"],
                                     check=True, capture_output=True, text=True).stdout
                result = json.loads(out)
                self.assertEqual(result["stages"][0]["frozen"]["moved"], [])
                self.assertGreaterEqual(result["top1"], 0.92)


if __name__ == "__main__":
    if not os.path.isdir(DATA):
        if os.environ.get("ENGRAFT_SHARED"):
            sys.exit("FAILED: ENGRAFT_SHARED is set, but has no data/hymenoptera")
        print("SKIPPED: no shared weights and pictures (set ENGRAFT_SHARED)")
        sys.exit(0)
    unittest.main(verbosity=2)
