#!/usr/bin/env python3
"""A sweep of 200 heads x 3 seeds on embeddings of flowers12, killed five times with kill -9 and begun again: what comes
out is, byte for byte, what one undisturbed run gives.

Needs ENGRAFT_SHARED, without which it is skipped. About a minute.
"""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = os.environ["ENGRAFT_PROGRAM"]
ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("ENGRAFT_SHARED", ROOT.parent / "shared")) / "data" / "flowers12"
TRIALS = 600
SPEC = f"""
[base]
backbone = "{ROOT}/models/inception-mini.pt"
data = "{DATA}"
epochs = 5
[grid]
head = ["", "fc=32,relu", "fc=64,relu", "fc=64,relu,dropout=0.5", "fc=64,gelu"]
learning_rate = [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 3e-3, 5e-3, 1e-2, 2e-2, 5e-2]
weight_decay = [0.0, 1e-4, 1e-2, 0.1]
seed = [1, 2, 3]
"""
# How many trials have ended when a kill comes: none (features are being computed), and later ones amid a stack.
KILLS = [0, 1, 130, 290, 450]
PATIENCE_S = 300


def command(spec, out):
    return [PROGRAM, "sweep", str(spec), "--out", str(out), "--quiet"]


def ended(out):
    trials = out / "trials"
    return len(list(trials.glob("*/result.json"))) if trials.exists() else 0


class Kills(unittest.TestCase):
    def test_a_killed_sweep_ends_as_an_undisturbed_one(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            spec = folder / "heads.toml"
            spec.write_text(SPEC)
            whole, killed = folder / "whole", folder / "killed"
            subprocess.run(command(spec, whole), check=True, stdout=subprocess.DEVNULL)
            self.assertEqual(ended(whole), TRIALS)
            for done in KILLS:
                self.kill_at(spec, killed, done)
            subprocess.run(command(spec, killed), check=True, stdout=subprocess.DEVNULL)
            self.assertEqual((killed / "results.csv").read_bytes(), (whole / "results.csv").read_bytes())
            for trial in sorted((whole / "trials").iterdir()):
                for file in ("metrics.jsonl", "predictions.csv", "head.safetensors"):
                    again = killed / "trials" / trial.name / file
                    self.assertEqual(again.read_bytes(), (trial / file).read_bytes(), again)
            leftovers = [path for path in killed.rglob("*") if ".tmp" in path.name or path.name.startswith("claim-")]
            self.assertEqual(leftovers, [])

    def kill_at(self, spec, out, done):
        process = subprocess.Popen(command(spec, out), stdout=subprocess.DEVNULL, start_new_session=True)
        end = time.monotonic() + PATIENCE_S
        time.sleep(0.6)
        while ended(out) < done and time.monotonic() < end:
            time.sleep(0.02)
        self.assertIsNone(process.poll(), "the sweep was over before it could be killed")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.assertLess(ended(out), TRIALS)


if __name__ == "__main__":
    if not DATA.is_dir():
        print("SKIPPED: no flowers12 beside the project (ENGRAFT_SHARED)")
        sys.exit(0)
    unittest.main(verbosity=2)
