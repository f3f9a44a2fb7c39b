"""models/export_backbone.py on networks of random weights: nothing is fetched."""

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
import warnings
import zipfile

import torch

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPT = os.path.join(ROOT, "models", "export_backbone.py")
sys.path.insert(0, os.path.dirname(SCRIPT))
sys.dont_write_bytecode = True
import export_backbone  # noqa: E402  found beside the script

# LibTorch's Python marks TorchScript as deprecated at each call.
warnings.filterwarnings("ignore", category=DeprecationWarning)
FOLDER = tempfile.TemporaryDirectory(prefix="engraft-export-")
REQUIRED = {"format", "version", "name", "source", "architecture", "preprocessing", "blocks", "licence", "weights_sha256"}
PREPROCESSING = {"size_px", "crop_ratio", "resize", "interpolation", "mean", "std", "channels", "exif"}


def path(name):
    return os.path.join(FOLDER.name, name)


def arguments_for(source, model, out, arguments):
    return ["--source", source, "--model", model, "--out", path(out), *arguments]


def run(source, model, out, *arguments):
    """(exit code, stderr) of the script's main, in this process: a process of its own takes seconds to import torch."""
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        try:
            code = export_backbone.main(arguments_for(source, model, out, arguments))
        except SystemExit as exit_call:
            code = exit_call.code
    return code, err.getvalue()


def run_process(source, model, out, *arguments, **environment):
    done = subprocess.run([sys.executable, "-B", SCRIPT, *arguments_for(source, model, out, arguments)],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, **environment}, check=False)
    return done.returncode, done.stderr


def load(name):
    extra = {"engraft.json": ""}
    module = torch.jit.load(path(name), _extra_files=extra)
    return module, json.loads(extra["engraft.json"])


def sizes(record):
    """Side of the crop, and the short side before it, as the program works it out."""
    size = record["preprocessing"]["size_px"]
    return size, round(size / record["preprocessing"]["crop_ratio"])


class Exported(unittest.TestCase):
    # source, model, (crop, short side), interpolation, mean, first block, last block, a block in between, parameters
    NETWORKS = [
        ("torchvision", "inception_v3", (299, 342), "bilinear", 0.5, "Conv2d_1a_3x3", "fc", "Mixed_6e", 23_834_568),
        ("torchvision", "googlenet", (224, 256), "bilinear", 0.5, "conv1", "fc", "inception4a", 6_624_904),
        ("torchvision", "resnet50", (224, 232), "bilinear", 0.485, "conv1", "fc", "layer3", 25_557_032),
        ("torchvision", "efficientnet_b0", (224, 256), "bicubic", 0.485, "features", "classifier", "avgpool", 5_288_548),
        ("timm", "inception_v3", (299, 341), "bicubic", 0.5, "Conv2d_1a_3x3", "fc", "Mixed_6e", 23_834_568),
        ("timm", "resnet18", (224, 235), "bicubic", 0.485, "conv1", "fc", "layer3", 11_689_512),
    ]

    def test_networks_of_random_weights_are_scripted_with_their_preprocessing(self):
        for source, model, short, interpolation, mean, first, last, between, parameters in self.NETWORKS:
            with self.subTest(source=source, model=model):
                code, err = run(source, model, "net.pt")
                self.assertEqual(code, 0, err)
                module, record = load("net.pt")
                self.assertEqual(set(record), REQUIRED)
                self.assertEqual(set(record["preprocessing"]), PREPROCESSING)
                self.assertEqual((record["format"], record["version"], record["name"]), ("engraft-backbone", 1, model))
                self.assertEqual(sizes(record), short)
                self.assertEqual(record["preprocessing"]["interpolation"], interpolation)
                self.assertEqual(record["preprocessing"]["mean"][0], mean)
                self.assertTrue(record["architecture"].endswith("(script)"), record["architecture"])
                self.assertIn(between, record["blocks"])
                self.assertEqual((record["blocks"][0], record["blocks"][-1]), (first, last))
                self.assertEqual(sum(p.numel() for p in module.parameters()), parameters)  # no auxiliary heads
                self.assertTrue(all(p.requires_grad for p in module.parameters()))
                self.assertFalse(module.training)
                logits = module(torch.randn(1, 3, short[0], short[0]))
                self.assertEqual(list(logits.shape), [1, 1000])

    def test_the_digest_is_the_documented_one_and_depends_on_the_weights_alone(self):
        digests = []
        for name, arguments in (("a.pt", ()), ("b.pt", ("--trace", "--mean", "0.5")), ("c.pt", ("--seed", "1"))):
            self.assertEqual(run("timm", "resnet18", name, "--size", "64", *arguments)[0], 0)
            module, record = load(name)
            digest = hashlib.sha256()
            for key, tensor in sorted(module.state_dict().items()):
                head = "\0".join([key, str(tensor.dtype).replace("torch.", ""), ",".join(map(str, tensor.shape)), ""])
                digest.update(head.encode() + tensor.numpy().tobytes())
            self.assertEqual(record["weights_sha256"], digest.hexdigest())
            digests.append(digest.hexdigest())
        self.assertEqual(digests[0], digests[1])
        self.assertNotEqual(digests[0], digests[2])

    def test_the_same_command_writes_the_same_tensors_and_metadata_and_leaves_nothing_beside(self):
        contents = []
        for name in ("one.pt", "two.pt"):
            self.assertEqual(run_process("torchvision", "resnet18", name, "--size", "64")[0], 0)
            with zipfile.ZipFile(path(name)) as archive:
                contents.append({n: archive.read(n) for n in archive.namelist() if "/data/" in n or "/extra/" in n})
        self.assertGreater(len(contents[0]), 50)
        self.assertEqual(contents[0], contents[1])
        self.assertEqual([name for name in os.listdir(FOLDER.name) if ".part" in name], [])

    def test_a_traced_network_says_so(self):
        code, err = run("torchvision", "resnet18", "traced.pt", "--trace", "--size", "64")
        self.assertEqual(code, 0, err)
        module, record = load("traced.pt")
        self.assertTrue(record["architecture"].endswith("(trace)"))
        self.assertEqual(sizes(record)[0], 64)
        self.assertEqual(list(module(torch.randn(5, 3, 64, 64)).shape), [5, 1000])

    def test_what_cannot_be_scripted_is_traced_with_the_reason(self):
        for arguments, code, says in (((), 0, "cannot be scripted, so it is traced: planted: no script"),
                                      (("--script",), 3, "cannot be scripted: planted: no script (try --trace)")):
            with unittest.mock.patch("torch.jit.script", side_effect=RuntimeError("planted: no script")):
                found, err = run("torchvision", "resnet18", "fallback.pt", "--size", "64", *arguments)
            self.assertEqual(found, code, err)
            self.assertIn(says, err)

    def test_a_file_that_differs_from_the_network_is_not_written(self):
        loaded = export_backbone.loaded

        def damaged(data):
            module = loaded(data)
            with torch.no_grad():
                next(iter(module.parameters()))[0] += 0.01
            return module

        with unittest.mock.patch("export_backbone.loaded", damaged):
            code, err = run("torchvision", "resnet18", "damaged.pt", "--size", "64")
        self.assertEqual(code, 3)
        self.assertIn("the exported file differs by", err)
        self.assertFalse(os.path.exists(path("damaged.pt")))


class FromStateDict(unittest.TestCase):
    def test_a_fine_tuned_network_keeps_its_weights_its_classes_and_loses_its_auxiliary_heads(self):
        from torchvision import models

        torch.manual_seed(3)
        for model, transform_input, mean in (("inception_v3", True, 0.485), ("googlenet", True, 0.485)):
            with self.subTest(model=model):
                original = models.get_model(model, weights=None, num_classes=3, transform_input=transform_input,
                                            aux_logits=True, init_weights=False).eval()
                torch.save({"state_dict": {f"module.{n}": t for n, t in original.state_dict().items()}}, path("tuned.pth"))
                with open(path("names.txt"), "w", encoding="utf-8") as file:
                    file.write("ant\nbee\nélan\n")
                code, err = run("torchvision", model, "tuned.pt", "--weights", path("tuned.pth"), "--classes",
                                path("names.txt"), "--size", "96")
                self.assertEqual(code, 0, err)
                module, record = load("tuned.pt")
                self.assertEqual(record["classes"], ["ant", "bee", "élan"])
                self.assertIn("transform_input=true aux_logits=false", record["architecture"])
                self.assertEqual((record["preprocessing"]["mean"][0], record["licence"]), (mean, "unknown"))
                pictures = torch.randn(2, 3, 96, 96)
                with torch.inference_mode():
                    torch.testing.assert_close(module(pictures), original(pictures), rtol=0, atol=1e-4)

    def test_transform_input_off_keeps_the_weights_and_says_the_network_s_own_range(self):
        from torchvision import models

        original = models.googlenet(weights=None, num_classes=2, aux_logits=False, init_weights=False)
        torch.save(original.state_dict(), path("plain.pth"))
        for choice, mean in (("off", 0.5), ("on", 0.485)):
            code, err = run("torchvision", "googlenet", "plain.pt", "--weights", path("plain.pth"), "--size", "64",
                            "--transform-input", choice)
            self.assertEqual(code, 0, err)
            self.assertEqual(load("plain.pt")[1]["preprocessing"]["mean"][0], mean)


class Refused(unittest.TestCase):
    def test_each_error_is_one_line_that_names_the_thing(self):
        torch.save({"conv1.weight": torch.zeros(1)}, path("odd.pth"))
        torch.save([1, 2], path("list.pth"))
        with open(path("junk.pth"), "wb") as file:
            file.write(b"junk")
        with open(path("two.txt"), "w", encoding="utf-8") as file:
            file.write("a\nb\n")
        cases = [
            ("torchvision", "resnet5", (), "no classification network 'resnet5'; did you mean resnet50"),
            ("timm", "inception_v33", (), "no network 'inception_v33'; did you mean"),
            ("torchvision", "resnet18", ("--weights", path("gone.pth")), "gone.pth: no such file"),
            ("torchvision", "resnet18", ("--weights", path("junk.pth")), "junk.pth: not a state_dict"),
            ("torchvision", "resnet18", ("--weights", path("list.pth")), "expected a dictionary of tensors by name, found list"),
            ("torchvision", "resnet18", ("--weights", path("odd.pth")), "odd.pth: not a state_dict of resnet18: conv1.weight is"),
            ("torchvision", "resnet18", ("--transform-input", "on"), "resnet18 has no transform_input"),
            ("torchvision", "resnet18", ("--classes", path("two.txt")), "2 class names for outputs of shape ['N', 1000]"),
            ("torchvision", "inception_v3", ("--size", "32"), "inception_v3 does not take pictures of 32 px"),
            ("torchvision", "resnet18", ("--out", path("no/such/folder.pt")), "no/such/folder.pt: cannot be written"),
        ]
        for source, model, arguments, says in cases:
            with self.subTest(model=model, arguments=arguments):
                code, err = run(source, model, "refused.pt", *arguments)
                self.assertEqual(code, 3, err)
                self.assertEqual(len(err.splitlines()), 1, err)
                self.assertIn(says, err)
                self.assertFalse(os.path.exists(path("refused.pt")))

    def test_weights_that_cannot_be_fetched_name_their_address(self):
        nowhere = {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "TORCH_HOME": path("hub"),
                   "HF_HOME": path("hf"), "no_proxy": "", "HF_HUB_OFFLINE": "1"}
        for source, says in (("torchvision", "cannot fetch the weights of resnet18 from https://download.pytorch.org"),
                             ("timm", "cannot fetch the weights of resnet18: ")):
            with self.subTest(source=source):
                code, err = run_process(source, "resnet18", "default.pt", "--weights", "DEFAULT", **nowhere)
                self.assertEqual(code, 3, err)
                self.assertIn(says, err)
                self.assertIn("pass", err.splitlines()[-1])

    def test_wrong_usage_exits_2(self):
        for arguments in (("--script", "--trace"), ("--size", "3"), ("--std", "0"), ("--mean", "a,b,c"), ("--crop-ratio", "2")):
            code, err = run("torchvision", "resnet18", "usage.pt", *arguments)
            self.assertEqual(code, 2, err)


if __name__ == "__main__":
    unittest.main(warnings="ignore")
