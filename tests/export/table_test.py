"""models/table.toml holds what models/README.md says, and names the files it means."""

import hashlib
import os
import re
import tomllib
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHARED = os.environ.get("ENGRAFT_SHARED", os.path.join(ROOT, "..", "shared"))
KEYS = {"name", "sha256", "origin", "licence", "preprocessing"}
PREPROCESSING = {"size_px", "crop_ratio", "resize", "interpolation", "mean", "std", "channels", "exif"}

with open(os.path.join(ROOT, "models", "table.toml"), "rb") as file:
    BACKBONES = tomllib.load(file)["backbone"]


class Table(unittest.TestCase):
    def test_every_entry_has_all_keys_with_values_in_range(self):
        self.assertGreaterEqual(len(BACKBONES), 2)
        self.assertEqual(len({entry["sha256"] for entry in BACKBONES}), len(BACKBONES))
        for entry in BACKBONES:
            with self.subTest(name=entry.get("name")):
                self.assertEqual(set(entry), KEYS)
                self.assertRegex(entry["sha256"], r"^[0-9a-f]{64}$")
                how = entry["preprocessing"]
                self.assertEqual(set(how), PREPROCESSING)
                self.assertIn(how["resize"], ("short", "squash"))
                self.assertIn(how["interpolation"], ("bilinear", "bicubic"))
                self.assertTrue(0 < how["crop_ratio"] <= 1 and 8 <= how["size_px"] <= 4096)
                self.assertEqual((len(how["mean"]), len(how["std"]), min(how["std"]) > 0), (3, 3, True))

    def test_readme_names_the_same_keys(self):
        with open(os.path.join(ROOT, "models", "README.md"), encoding="utf-8") as file:
            named = set(re.findall(r"`(\w+)`", file.read()))
        self.assertEqual((KEYS | PREPROCESSING) - named, set())

    def test_the_digests_are_those_of_the_shared_files(self):
        weights = os.path.join(SHARED, "weights")
        if not os.path.isdir(weights):
            self.assertNotIn("ENGRAFT_SHARED", os.environ, f"{weights} is not there")
            print("SKIPPED: no shared weights (set ENGRAFT_SHARED)", flush=True)
            self.skipTest("no shared weights")
        for entry in BACKBONES:
            with open(os.path.join(weights, entry["name"] + ".pt"), "rb") as file:
                self.assertEqual(hashlib.file_digest(file, "sha256").hexdigest(), entry["sha256"], entry["name"])


if __name__ == "__main__":
    unittest.main(warnings="ignore")
