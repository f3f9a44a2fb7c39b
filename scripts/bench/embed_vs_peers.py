#!/usr/bin/env python3
"""The rounds and the table of embed_vs_peers.sh, which see."""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from embed_peer import has_bf16, peak_memory  # noqa: E402  found beside the script

PEERS = ("plain", "tuned", "compile", "onnxruntime", "openvino")
OURS = ("engraft f32", "engraft bf16", "engraft int8")
QUIET = {"OMP_WAIT_POLICY": "passive"}  # for the peers that are tuned
TRIAL_PICTURES = 160


def say(text):
    print(text, file=sys.stderr, flush=True)


def labelled_pictures(shared, count):
    """(path, label) of at most `count` pictures of hymenoptera, drawn by a seed."""
    found = []
    for folder, _, files in os.walk(os.path.join(shared, "data", "hymenoptera")):
        found += [(os.path.join(folder, file), os.path.basename(folder)) for file in files if file.endswith(".jpg")]
    found.sort()
    random.Random(1).shuffle(found)
    return found[:count]


# The shared file's blocks, and what torchvision calls them. Both have the same convolutions in the same order.
BLOCKS = dict(zip(["conv", "conv_1", "conv_2", "conv_3", "conv_4", "mixed"] + [f"mixed_{i}" for i in range(1, 9)],
                  ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "Mixed_5b",
                   "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7a"]))


def make_weights(shared, out):
    """torchvision's Inception v3 with the shared weights up to Mixed_7a, as a state dict and as a backbone. The shared
    file's convolutions have their norms folded in; here each has a norm again, which adds its bias and nothing else."""
    import torch
    from torchvision import models

    torch.manual_seed(1)
    model = models.inception_v3(weights=None, aux_logits=True, transform_input=True, init_weights=False)
    theirs = torch.jit.load(os.path.join(shared, "weights", "inception_v3_mixed8.pt")).state_dict()
    for name, block in BLOCKS.items():
        convolutions = [m for m in getattr(model, block).modules() if isinstance(m, models.inception.BasicConv2d)]
        weights = [key for key in theirs if key.startswith(name + ".") and key.endswith(".weight")]
        assert len(weights) == len(convolutions)
        for key, convolution in zip(weights, convolutions):
            convolution.conv.weight.data.copy_(theirs[key])
            convolution.bn.bias.data.copy_(theirs[key.replace(".weight", ".bias")])
            convolution.bn.running_var.fill_(1 - convolution.bn.eps)
    weights = os.path.join(out, "inception.pth")
    torch.save(model.eval().state_dict(), weights)
    backbone = os.path.join(out, "inception.pt")
    subprocess.run([sys.executable, os.path.join(HERE, "../../models/export_backbone.py"), "--source", "torchvision",
                    "--model", "inception_v3", "--weights", weights, "--out", backbone], check=True, stdout=sys.stderr)
    return weights, backbone


class Bench:
    def __init__(self, options):
        self.options, self.out = options, options.out
        shutil.rmtree(self.out, ignore_errors=True)
        os.makedirs(self.out)
        pictures = labelled_pictures(options.shared, options.pictures)
        self.paths = [path for path, _ in pictures]
        self.list = self.write("pictures.txt", "".join(path + "\n" for path in self.paths))
        self.trial_list = self.write("trial.txt", "".join(path + "\n" for path in self.paths[:TRIAL_PICTURES]))
        # The labels are for int8's verdict alone.
        self.manifest = self.write("pictures.csv", "image_path,label\n" + "".join(f"{p},{c}\n" for p, c in pictures))
        self.weights, self.backbone = make_weights(options.shared, self.out)

    def write(self, name, text):
        with open(os.path.join(self.out, name), "w") as file:
            file.write(text)
        return file.name

    def peer(self, kind, *extra, pictures=None, out=None):
        command = [sys.executable, os.path.join(HERE, "embed_peer.py"), kind, "--weights", self.weights, "--list",
                   pictures or self.list, "--out", out or os.path.join(self.out, kind + ".npy"), "--cache", self.out,
                   *extra]
        environment = {**os.environ, **({} if kind == "plain" else QUIET)}
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{kind} failed: " + " ".join(command) + "\n" + done.stderr)
        return json.loads(done.stdout.strip().split("\n")[-1])

    def embed(self, precision, *extra, keep=False):
        """One run of engraft embed, with its peak memory."""
        folder = os.path.join(self.out, "engraft-" + precision)
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
        command = [self.options.engraft, "embed", "--backbone", self.backbone, "--data", self.manifest, "--tap",
                   "Mixed_7a", "--out", folder, "--precision", precision, "--cache-dir",
                   os.path.join(self.out, "cache"), "--json", "--quiet", *extra]
        start, memory = time.perf_counter(), 0
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            while process.poll() is None:
                try:
                    memory = max(memory, peak_memory(process.pid))
                except OSError:
                    break  # it has just ended
                time.sleep(0.01)
            answer = process.stdout.read()
        wall = time.perf_counter() - start
        if process.returncode != 0:
            raise SystemExit("engraft embed failed: " + " ".join(command))
        result = json.loads(answer)
        seconds = result["seconds_of_pass"]
        return {"seconds": seconds, "setup": wall - seconds, "wall": wall, "memory": memory,
                "rate": result["added"] / seconds if seconds > 0 else 0}

    def features(self, name):
        if not name.startswith("engraft"):
            return np.load(os.path.join(self.out, name + ".npy"))
        folder = os.path.join(self.out, name.replace(" ", "-"))
        shards = sorted(file for file in os.listdir(folder) if file.endswith(".npy"))
        return np.concatenate([np.load(os.path.join(folder, file)) for file in shards]).reshape(len(self.paths), -1)

    def executed(self, name):
        """What the engine says it ran in, from the store."""
        with open(os.path.join(self.out, name.replace(" ", "-"), "store.json")) as file:
            return json.load(file)["engine"]["name"]

    def run(self, name, extra):
        if name.startswith("engraft"):
            return self.embed(name.split()[1])
        return self.peer(name, *extra)

    def fastest(self, kind):
        """The number of workers, or of streams, with which a peer is fastest."""
        if kind == "openvino":
            choices = [("--workers", "2", "--streams", n) for n in ("1", "2")]
        else:
            choices = [("--workers", n) for n in ("0", "1", "2")]
        trials = {choice: self.peer(kind, *choice, pictures=self.trial_list, out=os.path.join(self.out, "trial.npy"))
                  for choice in choices}
        best = min(trials, key=lambda choice: trials[choice]["seconds"])
        say(f"{kind}: " + ", ".join(f"{' '.join(c)} {t['rate']:.1f}/s" for c, t in trials.items()))
        return best

    def rounds(self, names):
        self.chosen = {}
        for name in names:
            if not name.startswith("engraft"):
                self.chosen[name] = self.fastest(name)
        if "engraft int8" in names:
            self.embed("int8")  # calibrated and judged once, remembered from then on
        results = {name: [] for name in names}
        for turn in range(self.options.rounds):
            for name in names:
                results[name].append(self.run(name, self.chosen.get(name, ())))
                say(f"round {turn + 1}: {name} {results[name][-1]['rate']:.1f} pictures/s")
        return results


def cosine(a, b):
    """(mean, least) over rows."""
    each = np.sum(a * b, 1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return each.mean(), each.min()


def median(runs, what):
    return statistics.median(run[what] for run in runs)


def print_table(bench, results):
    reference = bench.features("plain") if "plain" in results else None
    print(f"{len(bench.paths)} pictures, {bench.options.rounds} rounds, medians")
    print(f"{'':<14} {'pictures/s':>10} {'set-up s':>9} {'peak MiB':>9}  cosine to plain   as")
    for name, runs in results.items():
        features = bench.features(name)
        same = ("%.5f, least %.5f" % cosine(reference, features)) if reference is not None else "-"
        how = bench.executed(name) if name.startswith("engraft") else " ".join(bench.chosen[name])
        print(f"{name:<14} {median(runs, 'rate'):>10.1f} {median(runs, 'setup'):>9.1f} "
              f"{median(runs, 'memory') / 2**20:>9.0f}  {same}  {how}")
    peers = [name for name in results if not name.startswith("engraft")]
    print(f"\n{'times faster than':<22}" + "".join(f"{name:>13}" for name in peers) + "   (medians over rounds)")
    for ours in [name for name in results if name.startswith("engraft")]:
        ratios = [statistics.median(theirs["seconds"] / mine["seconds"] for theirs, mine in
                                    zip(results[peer], results[ours])) for peer in peers]
        print(f"{ours:<22}" + "".join(f"{ratio:>13.2f}" for ratio in ratios))
    if "engraft bf16" in results and "engraft int8" in results:
        gain = statistics.median(a["seconds"] / b["seconds"] for a, b in
                                 zip(results["engraft bf16"], results["engraft int8"]))
        print(f"engraft int8 against engraft bf16: {gain:.2f}")
    if "plain" in results:
        for ours in [name for name in results if name.startswith("engraft")]:
            share = median(results[ours], "memory") / median(results["plain"], "memory")
            print(f"peak memory of {ours} over that of plain: {share:.2f}")


def print_forward(bench, precisions, streams):
    """The network alone, by turns."""
    theirs, ours = {}, {precision: [] for precision in precisions}
    for _ in range(bench.options.rounds):
        for precision in ("f32", "auto"):
            run = bench.peer("openvino", "--forward", "--precision", precision, *streams)
            theirs.setdefault(precision, []).append(run["rate"])
        for precision in precisions:
            command = [bench.options.engraft, "bench", "--backbone", bench.backbone, "--precision", precision,
                       "--rounds", "5", "--json", "--quiet", "--data", bench.manifest, "--tap", "Mixed_7a",
                       "--pictures", "32",
                       "--cache-dir", os.path.join(bench.out, "cache")]
            result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            name = result["network"]["engine"]["name"]
            if precision not in name:
                raise SystemExit(f"engraft bench --precision {precision} ran {name}")
            ours[precision] += [s["pictures_per_second"] for s in result["stages"] if s["stage"] == "engine"]
    print("\nthe network alone, pictures/s: OpenVINO's own " +
          ", ".join(f"{name} {statistics.median(rates):.1f}" for name, rates in theirs.items()) + "; engraft " +
          ", ".join(f"{name} {statistics.median(rates):.1f}" for name, rates in ours.items()))
    for precision in precisions:
        like = {"f32": "f32", "bf16": "auto"}.get(precision)
        if like:
            print(f"engraft {precision} over OpenVINO's own: "
                  f"{statistics.median(ours[precision]) / statistics.median(theirs[like]):.3f}")


def print_second_run(bench, precision):
    first = bench.embed(precision)
    second = [bench.embed(precision, "--append", keep=True) for _ in range(3)]
    gain = first["wall"] / median(second, "wall")
    print(f"\na second run on the same pictures: {gain:.0f} times faster than the first")


def print_with_busy_core(bench, names):
    for name in names:
        quiet = bench.run(name, bench.chosen.get(name, ()))
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
            try:
                beside = bench.run(name, bench.chosen.get(name, ()))
            finally:
                busy.kill()
        print(f"{name} with one core busy: {100 * beside['rate'] / quiet['rate']:.0f} % of its quiet speed")


def main():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--engraft", required=True)
    parser.add_argument("--shared", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    names = [n for n in PEERS + OURS if n != "engraft bf16" or has_bf16()]
    if options.only:
        wanted = options.only.split(",")
        unknown = set(wanted) - set(names)
        if unknown:
            raise SystemExit(f"--only: unknown {sorted(unknown)}; known: {names}")
        names = [n for n in names if n in wanted]
    bench = Bench(options)
    results = bench.rounds(names)
    print_table(bench, results)
    ours = [name for name in names if name.startswith("engraft")]
    if "openvino" in names and ours:
        print_forward(bench, [name.split()[1] for name in ours], bench.chosen["openvino"])
    if ours:
        print_second_run(bench, ours[0].split()[1])
        print_with_busy_core(bench, [n for n in ("tuned", *ours) if n in names])


if __name__ == "__main__":
    main()
