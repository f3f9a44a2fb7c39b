#!/usr/bin/env python3
"""The recipe practicum-3b as a plain PyTorch script, for comparison: pictures decoded, augmented and run through the
whole network in every epoch.

usage: practicum_torch.py --backbone FILE --data DIR [--seed N] [--workers N] [--epochs N] [--head-epochs N]

Inception v3 up to mixed_7 at 150 px, flatten, 1024, ReLU, dropout 0.2, one logit (two classes) or one a class; RMSprop
1e-4 for the head, then SGD 1e-5 with momentum 0.9 for mixed_7 and the head; batch 20; channels_last; frozen blocks in
eval mode and without gradients. Keras' RMSprop and nearest fill have no twin in torchvision: torch's RMSprop and a
black border stand in. Prints one JSON line: seconds of the whole training and of each epoch, accuracy of the last one.
Start it with OMP_WAIT_POLICY=passive.
"""

import argparse
import json
import os
import random
import time

import torch
from torch import nn
from torchvision import datasets, transforms
from torchvision.transforms import InterpolationMode

TRUNK = ("conv", "conv_1", "conv_2", "pool", "conv_3", "conv_4", "pool", "mixed", "mixed_1", "mixed_2", "mixed_3",
         "mixed_4", "mixed_5", "mixed_6")


class Graft(nn.Module):
    def __init__(self, backbone, outputs):
        super().__init__()
        self.backbone = backbone
        self.pool = nn.MaxPool2d(3, 2)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(7 * 7 * 768, 1024), nn.ReLU(), nn.Dropout(0.2),
                                  nn.Linear(1024, outputs))

    def forward(self, x):
        with torch.no_grad():
            for name in TRUNK:
                x = self.pool(x) if name == "pool" else getattr(self.backbone, name)(x)
        return self.head(self.backbone.mixed_7(x))


def loaders(data, workers):
    normalise = [transforms.ToTensor(), transforms.Normalize([128 / 255] * 3, [128 / 255] * 3)]
    squash = transforms.Resize((150, 150))
    augment = [transforms.RandomAffine(40, (0.2, 0.2), (0.8, 1.2), 0.2, interpolation=InterpolationMode.BILINEAR),
               transforms.RandomHorizontalFlip()]
    is_picture = lambda path: os.path.splitext(path)[1].lower() in (".jpg", ".jpeg", ".png")
    val = next(name for name in ("val", "validation", "valid", "test") if os.path.isdir(os.path.join(data, name)))
    train = datasets.ImageFolder(os.path.join(data, "train"), transforms.Compose([squash, *augment, *normalise]),
                                 is_valid_file=is_picture)
    val = datasets.ImageFolder(os.path.join(data, val), transforms.Compose([squash, *normalise]),
                               is_valid_file=is_picture)
    keep = {"num_workers": workers, "persistent_workers": workers > 0}
    return (torch.utils.data.DataLoader(train, 20, shuffle=True, **keep),
            torch.utils.data.DataLoader(val, 20, **keep), len(train.classes))


def loss_of(logits, labels):
    if logits.shape[1] == 1:
        return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], labels.float())
    return nn.functional.cross_entropy(logits, labels)


def right(logits, labels):
    predicted = (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)
    return (predicted == labels).sum().item()


def run_epoch(graft, train, val, optimizer):
    start = time.perf_counter()
    graft.head.train()
    for pixels, labels in train:
        optimizer.zero_grad()
        loss_of(graft(pixels.contiguous(memory_format=torch.channels_last)), labels).backward()
        optimizer.step()
    graft.head.eval()
    correct = count = 0
    with torch.no_grad():
        for pixels, labels in val:
            correct += right(graft(pixels.contiguous(memory_format=torch.channels_last)), labels)
            count += len(labels)
    return time.perf_counter() - start, correct / count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--head-epochs", type=int, default=2)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    random.seed(arguments.seed)
    if arguments.workers > 0:
        torch.multiprocessing.set_sharing_strategy("file_system")
    start = time.perf_counter()
    train, val, classes = loaders(arguments.data, arguments.workers)
    backbone = torch.jit.load(arguments.backbone).eval()
    for parameter in backbone.parameters():
        parameter.requires_grad_(False)
    graft = Graft(backbone, 1 if classes == 2 else classes).to(memory_format=torch.channels_last)
    epochs = []
    optimizer = torch.optim.RMSprop(graft.head.parameters(), 1e-4)
    for _ in range(arguments.head_epochs):
        epochs.append(run_epoch(graft, train, val, optimizer))
    learning = list(backbone.mixed_7.parameters())
    for parameter in learning:
        parameter.requires_grad_(True)
    optimizer = torch.optim.SGD(learning + list(graft.head.parameters()), 1e-5, momentum=0.9)
    for _ in range(arguments.epochs):
        epochs.append(run_epoch(graft, train, val, optimizer))
    print(json.dumps({"seconds": time.perf_counter() - start, "epoch_seconds": [seconds for seconds, _ in epochs],
                      "top1": epochs[-1][1], "workers": arguments.workers, "seed": arguments.seed}))


if __name__ == "__main__":
    main()
