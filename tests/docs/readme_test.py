#!/usr/bin/env python3
"""Runs what README.md says can be typed, block after block, in an empty folder with nothing but the project beside it.

Needs ENGRAFT_PROGRAM. Two blocks are no part of it: the one that sets up and builds, whose scripts run elsewhere, and
that which puts the built program on the PATH, for which PATH has it here.
"""

import hashlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("ENGRAFT_PROGRAM", ROOT / "build/release/bin/engraft"))


def blocks(text):
    """(language, text) of every fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


class ReadmeTest(unittest.TestCase):
    def test_every_block_runs_as_printed(self):
        environment = dict(os.environ, PATH=f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}")
        environment.pop("ENGRAFT_SHARED", None)
        ran = 0
        with tempfile.TemporaryDirectory() as folder:
            for name in ("models", "scripts"):
                os.symlink(ROOT / name, pathlib.Path(folder) / name)
            environment["ENGRAFT_CACHE"] = str(pathlib.Path(folder) / "cache")
            for language, text in blocks((ROOT / "README.md").read_text(encoding="utf-8")):
                if language not in ("sh", "python") or text.startswith("scripts/"):
                    continue
                if language == "sh":
                    command = ["bash", "-euo", "pipefail", "-c", text]
                else:
                    command = [sys.executable, "-c", PYTHON_SETTING + text]
                with self.subTest(text):
                    outcome = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
                    self.assertEqual(outcome.returncode, 0, f"{text}{outcome.stdout}{outcome.stderr}"[-4000:])
                ran += 1
        self.assertGreater(ran, 6)

    def test_the_scripts_that_it_names_are_there(self):
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        for name in set(re.findall(r"scripts/[\w/]+\.(?:sh|py)", text)):
            self.assertTrue(os.access(ROOT / name, os.X_OK), name)


class ShippedTest(unittest.TestCase):
    def test_the_backbone_in_the_box_is_the_one_that_its_card_describes(self):
        content = (ROOT / "models/inception-mini.pt").read_bytes()
        card = (ROOT / "models/README.md").read_text(encoding="utf-8")
        self.assertIn(hashlib.sha256(content).hexdigest(), card)
        self.assertIn(f"{len(content):,} bytes", card)
        self.assertLess(len(content), 8 << 20)


# What the block in Python takes for granted.
PYTHON_SETTING = """
import torch
x = torch.zeros(1, 3, 64, 64)
pixels = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
"""

if __name__ == "__main__":
    unittest.main()
