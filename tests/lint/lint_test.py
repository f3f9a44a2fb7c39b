"""The rules of the tree, each on the real tree and on a planted one that breaks it."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import tree_rules

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CHECK_LAYERS = os.path.join(ROOT, "scripts", "check_layers")


class Planted(unittest.TestCase):
    """A test with a folder of its own."""

    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="engraft-lint-")
        self.addCleanup(shutil.rmtree, self.root)

    def put(self, path, text):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)

    def paths(self):
        return tree_rules.tracked_files(self.root)


def check_layers(*arguments):
    done = subprocess.run([sys.executable, CHECK_LAYERS, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, check=False)
    return done.returncode, done.stdout, done.stderr


class LayersOfTheTree(unittest.TestCase):
    def test_every_include_keeps_to_the_floors(self):
        code, out, err = check_layers(ROOT)
        self.assertEqual((code, out), (0, ""), out + err)


class LayersPlanted(Planted):
    # what is planted: file, line 2 of it, what check_layers must say
    BAD = [
        ("src/base/a.cpp", '#include "io/json.h"', "'base' may not include \"io/json.h\""),
        ("src/train/loop.cpp", '#include "model/backbone.h"', "'train' may not include \"model/backbone.h\""),
        ("src/model/b.cpp", '#include "image/decode.h"', "'model' may not include \"image/decode.h\""),
        ("src/io/a.h", "#include <nlohmann/json.hpp>", "a header of 'io' may not include <nlohmann/json.hpp>"),
        ("src/model/a.h", "#include <torch/script.h>", "a header of 'model' may not include <torch/script.h>"),
        ("src/model/c.h", "  #  include <ATen/ATen.h>", "a header of 'model' may not include <ATen/ATen.h>"),
        ("src/stats/a.cpp", "#include <ATen/core/Tensor.h>", "'stats' may not include <ATen/core/Tensor.h>"),
        ("src/data/a.cpp", "#include <opencv2/core.hpp>", "'data' may not include <opencv2/core.hpp>"),
        ("src/commands/a.cpp", "#include <cxxopts.hpp>", "'commands' may not include <cxxopts.hpp>"),
        ("src/base/b.cpp", "#include <boost/any.hpp>", "'base' may not include <boost/any.hpp>"),
        ("src/base/c.cpp", '#include "../io/json.h"', "write it as a path from src/"),
        ("src/base/d.cpp", '#include "text.h"', "begins with the name of a floor"),
        ("src/base/e.cpp", '#include "base/gone.h"', '"base/gone.h": no such file'),
        ("src/base/f.cpp", "#include ENGRAFT_HEADER", "does not name its file"),
        ("src/io/b.cpp", "#include <base/text.h>", "our own headers are included with quotes"),
        ("src/base/g.cpp", "/* a */ #include <catch2/catch.hpp>", "'base' may not include <catch2/catch.hpp>"),
        ("apps/engraft/a.cpp", "#include <ATen/ATen.h>", "'engraft' may not include <ATen/ATen.h>"),
    ]
    GOOD = {
        "src/base/text.h": "#pragma once\n#include <string>\n",
        "src/base/text.cpp": '#include "base/text.h"\n#include <sys/stat.h>\n// #include <boost/any.hpp>\n',
        "src/io/json.h": "#pragma once\n#include <nlohmann/json_fwd.hpp>\n",
        "src/io/json.cpp": '/*\n#include <boost/any.hpp>\n*/\n#include "base/text.h"\n#include <nlohmann/json.hpp>\n',
        "src/io/CMakeLists.txt": "engraft_floor(io SOURCES json.cpp DEPENDS base LIBS engraft_dep_json)\n",
        "src/image/preprocessing.h": "#pragma once\n",
        "src/image/decode.h": "#pragma once\n",
        "src/model/backbone.h": "#pragma once\n#include <ATen/core/Tensor.h>\n"
                                "#include <torch/csrc/jit/api/module.h>\n#include \"image/preprocessing.h\"\n",
        "src/finetune/stage.cpp": '#include "model/backbone.h"\n#include "base/text.h"\n',
        "apps/engraft/console.h": "#pragma once\n",
        "apps/engraft/main.cpp": '#include "console.h"\n#include "engraft/console.h"\n#include <cxxopts.hpp>\n',
    }

    def setUp(self):
        super().setUp()
        for path, text in self.GOOD.items():
            self.put(path, text)

    def test_a_tree_that_keeps_to_the_floors_passes(self):
        self.assertEqual(check_layers(self.root), (0, "", ""))

    def test_each_planted_include_is_named_with_its_line(self):
        for path, include, says in self.BAD:
            with self.subTest(path=path, include=include):
                self.put(path, "#include <vector>\n" + include + "\n")
                code, out, _ = check_layers(self.root)
                os.remove(os.path.join(self.root, path))
                self.assertEqual(code, 1)
                self.assertEqual(len(out.splitlines()), 1, out)
                self.assertTrue(out.startswith(f"{path}:2: "), out)
                self.assertIn(says, out)

    def test_a_dependency_in_cmake_that_points_up_is_named_with_its_line(self):
        self.put("src/base/CMakeLists.txt", "engraft_floor(base SOURCES\n  text.cpp\n  DEPENDS io LIBS z)\n")
        code, out, _ = check_layers(self.root)
        self.assertEqual((code, out), (1, "src/base/CMakeLists.txt:3: 'base' may not depend on 'io'\n"))

    def test_a_folder_without_a_row_is_a_fault(self):
        self.put("src/attic/a.h", "#pragma once\n")
        code, out, _ = check_layers(self.root)
        self.assertEqual(code, 1)
        self.assertIn("the folder 'attic' has no row", out)

    def test_a_table_that_points_up_is_refused(self):
        self.put("floors.txt", "base | io | - | -\nio | - | - | -\n")
        code, _, err = check_layers(self.root, "--floors", os.path.join(self.root, "floors.txt"))
        self.assertEqual(code, 2)
        self.assertIn("floors.txt:1: 'base' may not include 'io', which is not a row above it", err)


class Tree(Planted):
    def test_no_source_file_is_over_long(self):
        self.assertEqual(tree_rules.files_too_long(ROOT, tree_rules.tracked_files(ROOT)), [])
        self.put("src/base/long.cpp", "//\n" * 501)
        self.put("src/base/longest_allowed.cpp", "//\n" * 500)
        self.assertEqual(tree_rules.files_too_long(self.root, self.paths()),
                         ["src/base/long.cpp:501: 501 lines; the most is 500"])

    def test_no_file_names_a_folder_of_one_machine(self):
        self.assertEqual(tree_rules.machine_paths(ROOT, tree_rules.tracked_files(ROOT)), [])
        for folder in ("work", "root", "home"):
            self.put("README.md", f"fine\nrun /{folder}/me/x\n")
            self.assertEqual(tree_rules.machine_paths(self.root, self.paths()),
                             [f"README.md:2: '/{folder}/' is a folder of one machine"])

    def test_every_source_is_listed_in_cmake(self):
        self.assertEqual(tree_rules.unlisted_sources(ROOT, tree_rules.tracked_files(ROOT)), [])
        self.put("tests/base/CMakeLists.txt", "engraft_test(base SOURCES a_test.cpp # b_test.cpp\n  LABELS unit)\n")
        self.put("tests/CMakeLists.txt", "add_library(main STATIC support/main.cpp)\n")
        for path in ("tests/base/a_test.cpp", "tests/base/b_test.cpp", "tests/support/main.cpp",
                     "tests/export/x_test.py", "src/base/c.cpp"):
            self.put(path, "")
        self.assertEqual([fault.split(":")[0] for fault in tree_rules.unlisted_sources(self.root, self.paths())],
                         ["src/base/c.cpp", "tests/base/b_test.cpp", "tests/export/x_test.py"])


class Shell(Planted):
    def setUp(self):
        super().setUp()
        self.shellcheck = shutil.which("shellcheck")
        if not self.shellcheck:
            print("SKIPPED: shellcheck is not installed", flush=True)
            self.skipTest("shellcheck is not installed")

    def run_shellcheck(self, root, paths):
        done = subprocess.run([self.shellcheck, "--external-sources", "--format=gcc", *paths], cwd=root,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, check=False)
        return done.returncode, done.stdout

    def test_shellcheck_finds_nothing_in_the_scripts(self):
        scripts = tree_rules.shell_scripts(ROOT, tree_rules.tracked_files(ROOT))
        self.assertIn("scripts/setup.sh", scripts)
        self.assertEqual(self.run_shellcheck(ROOT, scripts), (0, ""))
        self.put("scripts/bad.sh", "#!/usr/bin/env bash\nrm -r $1\n")
        code, out = self.run_shellcheck(self.root, tree_rules.shell_scripts(self.root, self.paths()))
        self.assertEqual(code, 1)
        self.assertIn("scripts/bad.sh:2:", out)

    def test_every_script_tells_how_to_use_it_and_refuses_an_unknown_option(self):
        for path in tree_rules.shell_scripts(ROOT, tree_rules.tracked_files(ROOT)):
            with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                text = file.read()
            self.assertIn("set -euo pipefail", text, path)
            if not os.access(os.path.join(ROOT, path), os.X_OK):
                continue
            for option, code in (("--help", 0), ("--no-such-option", 2)):
                with self.subTest(path=path, option=option):
                    done = subprocess.run([os.path.join(ROOT, path), option], stdin=subprocess.DEVNULL,
                                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True,
                                          check=False)
                    self.assertEqual(done.returncode, code, done.stdout)
                    self.assertIn("sage: ", done.stdout)


if __name__ == "__main__":
    unittest.main()
