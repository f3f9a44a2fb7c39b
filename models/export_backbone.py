#!/usr/bin/env python3
"""Writes a torchvision or timm network as a TorchScript backbone with `engraft.json` inside.

examples:
  models/export_backbone.py --source torchvision --model inception_v3 --out inception_v3.pt
  models/export_backbone.py --source timm --model resnet18 --weights DEFAULT --out resnet18.pt
  models/export_backbone.py --source torchvision --model resnet50 --weights my_resnet50.pth --out mine.pt

Needs Python 3.10 or newer with torch, and torchvision or timm (scripts/requirements-test.txt has versions that were
tried). Takes seconds; the network is used only for --weights DEFAULT. The file is written under a temporary name and
renamed after it was loaded again and gave the same outputs as the network in memory on batches of 1 and 3.
models/README.md describes engraft.json. Exits 0, or 2 for wrong usage, 3 for an input that cannot be used.
"""

import argparse
import collections
import hashlib
import io
import json
import math
import os
import sys
import warnings

from network_sources import InputError, one_line, say, timm_candidate, torchvision_candidate

FORMAT = "engraft-backbone"
VERSION = 1
# Outputs of the file and of the network in memory, relative to the largest output: both run the same kernels, but the
# script may run them in another order.
TOLERANCE = 1e-5


def blocks_in_call_order(model, example):
    """(blocks, output) of one forward: dotted names of the outermost modules that it calls, in order; one called k times
    stands as name#1 … name#k."""
    import torch

    calls, depth, handles = [], [0], []

    def enter(name):
        def hook(module, inputs):
            if depth[0] == 0:
                calls.append(name)
            depth[0] += 1

        return hook

    def leave(module, inputs, output):
        depth[0] -= 1

    for name, module in model.named_modules():
        if name:
            handles += [module.register_forward_pre_hook(enter(name)), module.register_forward_hook(leave)]
    try:
        with torch.inference_mode():
            output = model(example)
    finally:
        for handle in handles:
            handle.remove()
    counts, seen = collections.Counter(calls), {}
    for index, name in enumerate(list(calls)):
        seen[name] = seen.get(name, 0) + 1
        if counts[name] > 1:
            calls[index] = f"{name}#{seen[name]}"
    return calls, output


def weights_sha256(module):
    """SHA-256 over the state_dict, tensors sorted by name: name, NUL, dtype, NUL, shape, NUL, bytes (little-endian)."""
    import torch

    digest = hashlib.sha256()
    state = module.state_dict()
    for name in sorted(state, key=lambda text: text.encode()):
        tensor = state[name].detach().cpu().contiguous()
        shape = ",".join(str(extent) for extent in tensor.shape)
        dtype = str(tensor.dtype)[len("torch.") :]
        digest.update(f"{name}\0{dtype}\0{shape}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def to_torchscript(model, example, method):
    """(module, "script" or "trace"). Without a method given: scripted where that works, else traced, with the reason."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if method != "trace":
            try:
                return torch.jit.script(model), "script"
            except Exception as error:
                reason = one_line(error)
                if method == "script":
                    raise InputError(f"cannot be scripted: {reason} (try --trace)") from error
                say(f"cannot be scripted, so it is traced: {reason}")
        try:
            return torch.jit.trace(model, example, check_trace=False), "trace"
        except Exception as error:
            raise InputError(f"cannot be traced: {one_line(error)}") from error


def check_outputs(model, module, size):
    """Compares the file with the network in memory on other pictures and batches than it was made with."""
    import torch

    generator = torch.Generator().manual_seed(1)
    for batch in (1, 3):
        pictures = torch.randn(batch, 3, size, size, generator=generator)
        with torch.inference_mode():
            expected = model(pictures)
            try:
                found = module(pictures)
            except Exception as error:
                raise InputError(f"the exported file fails on a batch of {batch}: {one_line(error)}") from error
        if not isinstance(found, torch.Tensor) or found.shape != expected.shape:
            shape = list(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise InputError(f"the exported file gives {shape} on a batch of {batch}, expected {list(expected.shape)}")
        difference = (found - expected).abs().max().item()
        scale = expected.abs().max().item()
        if not difference <= TOLERANCE * max(scale, 1e-30):
            raise InputError(f"the exported file differs by {difference:g} (largest output {scale:g}) on a batch of {batch}")


def write_whole(path, data):
    """Under a temporary name beside `path`, synced, then renamed."""
    part = f"{path}.part{os.getpid()}"
    try:
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        if os.path.exists(part):
            os.remove(part)
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error


def saved(module, record=None):
    import torch

    # Into memory: a file's own name would stand in every record of the archive.
    buffer = io.BytesIO()
    extra = {"engraft.json": json.dumps(record, indent=2, ensure_ascii=False) + "\n"} if record else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(module, buffer, _extra_files=extra)
    return buffer.getvalue()


def loaded(data):
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.load(io.BytesIO(data), map_location="cpu").eval()


def merge_preprocessing(found, arguments):
    """What the source says, with what the user says over it; all keys of engraft.json's table."""
    given = {
        "size_px": arguments.size,
        "crop_ratio": arguments.crop_ratio,
        "interpolation": arguments.interpolation,
        "mean": arguments.mean,
        "std": arguments.std,
    }
    merged = {**found, **{key: value for key, value in given.items() if value is not None}}
    if merged["interpolation"] not in ("bilinear", "bicubic"):
        raise InputError(
            f"{arguments.model} is evaluated with {merged['interpolation']} interpolation, which engraft does not have; "
            "choose one by --interpolation bilinear|bicubic"
        )
    return {**merged, "channels": "rgb", "exif": False}


def read_classes(path):
    try:
        with open(path, encoding="utf-8") as file:
            return [line.rstrip("\r\n") for line in file if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: class names cannot be read: {one_line(error)}") from error


def export(arguments):
    import torch

    torch.manual_seed(arguments.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        candidate = torchvision_candidate(arguments) if arguments.source == "torchvision" else timm_candidate(arguments)
    model = candidate.model.float().eval().requires_grad_(False)
    preprocessing = merge_preprocessing(candidate.preprocessing, arguments)
    size = preprocessing["size_px"]
    example = torch.randn(2, 3, size, size)
    try:
        blocks, output = blocks_in_call_order(model, example)
    except Exception as error:
        raise InputError(f"{arguments.model} does not take pictures of {size} px: {one_line(error)}") from error
    if not isinstance(output, torch.Tensor):
        raise InputError(f"{arguments.model}: forward gives {type(output).__name__}, expected one tensor")
    module, method = to_torchscript(model.requires_grad_(True), example, arguments.method)

    licence = {"none": "none: random weights", "DEFAULT": candidate.licence}.get(arguments.weights, "unknown")
    record = {
        "format": FORMAT,
        "version": VERSION,
        "name": arguments.model,
        "source": f"{arguments.source} --weights {os.path.basename(arguments.weights)}",
        "architecture": f"{candidate.architecture} ({method})",
        "preprocessing": preprocessing,
        "blocks": blocks,
        "licence": arguments.licence or licence,
        "weights_sha256": weights_sha256(loaded(saved(module))),
    }
    classes = read_classes(arguments.classes) if arguments.classes else candidate.classes
    if classes is not None:
        if output.dim() != 2 or output.shape[1] != len(classes):
            raise InputError(f"{len(classes)} class names for outputs of shape {['N', *output.shape[1:]]}")
        record["classes"] = classes
    data = saved(module, record)
    reloaded = loaded(data)
    check_outputs(model, reloaded, size)
    if weights_sha256(reloaded) != record["weights_sha256"]:
        raise InputError("the weights changed on their way through the file")
    write_whole(arguments.out, data)
    say(
        f"{arguments.out}: {candidate.architecture}, {method}, {len(data) / 1e6:.1f} MB, {size} px, "
        f"mean {preprocessing['mean']}, std {preprocessing['std']}, {len(blocks)} blocks from {blocks[0]} to {blocks[-1]}; "
        "the same outputs on batches of 1 and 3"
    )


def three_numbers(text):
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 3) or not all(math.isfinite(number) for number in numbers):
        raise argparse.ArgumentTypeError(f"expected R,G,B or one number, found '{text}'")
    return numbers * 3 if len(numbers) == 1 else numbers


def in_range(kind, least, most, what):
    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:
            raise argparse.ArgumentTypeError(f"expected {what}, found '{text}'")
        return value

    return parse


def parse_arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--source", required=True, choices=("torchvision", "timm"), help="where the network's definition comes from")
    add("--model", required=True, help="its name there, such as inception_v3 or resnet50")
    add("--out", required=True, metavar="FILE.pt", help="the TorchScript file to write")
    add("--weights", default="none", metavar="DEFAULT|none|FILE",
        help="the source's own pretrained weights (fetched), random ones, or a state_dict file (default: none)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--script", dest="method", action="store_const", const="script", help="script it or fail")
    how.add_argument("--trace", dest="method", action="store_const", const="trace",
                     help="trace it (a traced network keeps eval mode for ever); default: script, else trace")
    pixels = in_range(int, 8, 4096, "pixels from 8 to 4096")
    add("--size", type=pixels, metavar="PX", help="side of the input (default: the source's)")
    add("--crop-ratio", type=in_range(float, 0.05, 1.0, "a number from 0.05 to 1"), metavar="R",
        help="side of the crop by the short side of the resized picture (default: the source's)")
    add("--interpolation", choices=("bilinear", "bicubic"), help="of the resize (default: the source's)")
    add("--mean", type=three_numbers, metavar="R,G,B", help="subtracted from p/255 (default: the source's)")
    add("--std", type=three_numbers, metavar="R,G,B", help="then divided by (default: the source's)")
    add("--num-classes", type=in_range(int, 1, 10**7, "a number from 1 up"), metavar="K",
        help="outputs of the classifier, for random weights or a file (default: as in the file, else the source's)")
    add("--classes", metavar="FILE", help="names of the classes, one a line (default: the source's, with its weights)")
    add("--transform-input", choices=("auto", "on", "off"), default="auto",
        help="torchvision's inception_v3 and googlenet: take ImageNet's mean and std and rescale inside (auto: on, but off "
        "for random weights, which then take mean = std = 0.5)")
    add("--licence", metavar="TEXT", help="terms of the weights (default: as the source says, else unknown)")
    add("--seed", type=int, default=0, help="of random weights (default: 0)")
    arguments = parser.parse_args(argv)
    if arguments.std is not None and min(arguments.std) <= 0:
        parser.error("--std: expected numbers above 0")
    return arguments


def main(argv=None):
    arguments = parse_arguments(argv)
    try:
        import torch  # noqa: F401

        __import__(arguments.source)
    except ImportError as error:
        say(f"{one_line(error)}: needs Python packages torch and {arguments.source} (scripts/requirements-test.txt)")
        return 3
    try:
        export(arguments)
    except InputError as error:
        say(str(error))
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
