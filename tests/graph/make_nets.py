#!/usr/bin/env python3
"""Makes scripted and traced networks with what Python computes from them, for graph_nets_test.cpp.

make_nets.py make FOLDER    NET_script.pt, NET_script_train.pt, NET_trace.pt and NET_reference.pt for every network
make_nets.py check REFERENCE TAPS.pt TAP[:TRUNK:TOP]
                            loads an extracted module and compares it with the reference, bit for bit

Weights are random (seed 0). Needs torch, torchvision; about a minute and 600 MB of disk. Running it again does nothing
unless this file or torch has changed. A reference is a scripted module whose `values` is a Dict[str, Tensor]:
x, out (eval), tap:NAME (clones by forward hooks), grad:PARAMETER (of the mean square of `grad_tap`'s output),
mean:NORM (running means after one forward of x in train mode, dropout off).
"""
import hashlib
import sys
import warnings
from pathlib import Path
from typing import Dict

import torch
import torchvision
from torchvision.models import VisionTransformer

warnings.filterwarnings("ignore")
torch.set_num_threads(1)

# name: (maker, input side, block whose output the gradients are of)
NETS = {
    "inception_v3": (lambda: torchvision.models.inception_v3(init_weights=False), 107, "Mixed_7c"),
    "googlenet": (lambda: torchvision.models.googlenet(init_weights=False), 64, "inception5b"),
    "resnet18": (torchvision.models.resnet18, 64, "layer4.1"),
    "resnet50": (torchvision.models.resnet50, 64, "layer4.2"),
    "efficientnet_b0": (torchvision.models.efficientnet_b0, 64, "features.8"),
    "densenet121": (torchvision.models.densenet121, 64, "features.denseblock4"),
    "mobilenet_v3_small": (torchvision.models.mobilenet_v3_small, 64, "features.12"),
    "convnext_tiny": (torchvision.models.convnext_tiny, 64, "features.7.2"),
    "vit": (lambda: VisionTransformer(64, 16, 3, 4, 64, 128), 64, "encoder.ln"),
}


class Box(torch.nn.Module):
    def __init__(self, values: Dict[str, torch.Tensor]):
        super().__init__()
        self.values = values

    def forward(self) -> Dict[str, torch.Tensor]:
        return self.values


def reference(net, x, grad_tap):
    """What eager Python makes of x."""
    values = {"x": x}
    handles = []
    outputs = {}
    for name, module in net.named_modules():
        if name and name.count(".") <= 2:
            def keep(_module, _inputs, output, name=name):
                if isinstance(output, torch.Tensor):
                    outputs[name] = output
                    if not torch.is_grad_enabled():  # attention takes other kernels with gradients
                        values["tap:" + name] = output.clone()
            handles.append(module.register_forward_hook(keep))
    with torch.no_grad():
        values["out"] = net(x).clone()
    net(x)
    outputs[grad_tap].square().mean().backward()
    for handle in handles:
        handle.remove()
    for name, parameter in net.named_parameters():
        if parameter.grad is not None:
            values["grad:" + name] = parameter.grad.clone()
    net.zero_grad()
    return values


def train_means(net, x):
    """Running means after one forward in train mode; nothing may draw."""
    net.train()
    for module in net.modules():
        if isinstance(module, torch.nn.Dropout):
            module.eval()
    with torch.no_grad():
        net(x)
    return {"mean:" + name: module.running_mean.clone() for name, module in net.named_modules()
            if isinstance(module, torch.nn.BatchNorm2d)}


def make(folder):
    stamp = folder / "made"
    mark = hashlib.sha256(Path(__file__).read_bytes()).hexdigest() + " " + torch.__version__
    if stamp.exists() and stamp.read_text() == mark:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, (maker, side, grad_tap) in NETS.items():
        torch.manual_seed(0)
        net = maker()
        if name == "vit":  # torchvision starts it at zero
            torch.nn.init.normal_(net.heads.head.weight)
        x = torch.randn(2, 3, side, side)
        torch.jit.script(net).save(folder / f"{name}_script_train.pt")
        net.eval()
        torch.jit.script(net).save(folder / f"{name}_script.pt")
        torch.jit.trace(net, x, check_trace=False).save(folder / f"{name}_trace.pt")
        values = reference(net, x, grad_tap)
        if name == "resnet18":
            values.update(train_means(net, x))
        torch.jit.script(Box(values)).save(folder / f"{name}_reference.pt")
    stamp.write_text(mark)


def check(reference_file, module_file, tap):
    values = torch.jit.load(reference_file).values
    module = torch.jit.load(module_file)
    name, *methods = tap.split(":")
    with torch.no_grad():
        if not torch.equal(module(values["x"]), values["tap:" + name]):
            sys.exit(f"{module_file}: forward differs from the hook of {name}")
        if methods:
            trunk, top = (getattr(module, method) for method in methods)
            if not torch.equal(top(trunk(values["x"])), values["tap:" + name]):
                sys.exit(f"{module_file}: {methods[1]}({methods[0]}(x)) differs from the hook of {name}")


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "make":
        make(Path(sys.argv[2]))
    elif len(sys.argv) == 5 and sys.argv[1] == "check":
        check(*sys.argv[2:])
    else:
        sys.exit(__doc__)
