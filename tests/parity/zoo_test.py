"""Every engine on torchvision's networks with random weights: each network converts, falls back to nothing, and agrees
with plain LibTorch in float32."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ["ENGRAFT_PROGRAM"]
# Network, side of its pictures (small, for speed; transformers have one size).
ZOO = {"alexnet": 96, "vgg11": 64, "resnet18": 96, "resnext50_32x4d": 64, "densenet121": 64, "googlenet": 96,
       "inception_v3": 96, "mobilenet_v2": 96, "mobilenet_v3_small": 96, "efficientnet_b0": 96, "mnasnet0_5": 96,
       "shufflenet_v2_x0_5": 96, "squeezenet1_1": 96, "regnet_y_400mf": 96, "convnext_tiny": 64, "vit_b_16": 224,
       "swin_t": 224}
TAPS = {"vit_b_16": "encoder.ln"}  # of those that have no feature map; else the default
BOUND = 1e-4  # parity_bound() of float32


def measured(backbone, engine, tap):
    """bench's `engine` record, or the reason why there is none."""
    done = subprocess.run([PROGRAM, "bench", "--backbone", backbone, "--engine", engine, "--precision", "f32",
                           "--batch", "2", "--rounds", "1", "--json", "--quiet", *(["--tap", tap] if tap else [])],
                          capture_output=True, text=True, check=False,
                          env={**os.environ, "ENGRAFT_CACHE": os.path.dirname(backbone)})
    if done.returncode != 0:
        return None, done.stderr.strip()
    return json.loads(done.stdout)["network"]["engine"], ""


class Zoo(unittest.TestCase):
    def check(self, name):
        with tempfile.TemporaryDirectory() as folder:
            backbone = os.path.join(folder, name + ".pt")
            subprocess.run([sys.executable, "-B", f"{ROOT}/models/export_backbone.py", "--source", "torchvision",
                            "--model", name, "--weights", "none", "--size", str(ZOO[name]), "--out", backbone],
                           check=True, capture_output=True)
            for engine in ("openvino", "torch"):
                found, refusal = measured(backbone, engine, TAPS.get(name))
                with self.subTest(network=name, engine=engine):
                    print(f"{name:20} {engine:9} {found or refusal}")
                    self.assertEqual(refusal or found.get("fallback", ""), "")
                    self.assertIn(engine, found["name"])
                    self.assertLessEqual(found["difference"], BOUND)


for _name in ZOO:
    setattr(Zoo, "test_" + _name, lambda self, name=_name: self.check(name))


if __name__ == "__main__":
    unittest.main()
