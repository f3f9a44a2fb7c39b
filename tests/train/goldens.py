#!/usr/bin/env python3
"""Writes goldens.h: what PyTorch's losses, schedules and optimisers and Keras' RMSprop give on small fixed problems.

Needs torch 2.11 and, for rmsprop_keras, keras 3 (3.15 made the file). Seconds. Run as
    python tests/train/goldens.py > tests/train/goldens.h
"""

import os

os.environ["KERAS_BACKEND"] = "torch"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import torch
from torch.nn import functional as F

INPUTS = [[0.9, -0.3], [-1.1, 0.4], [0.2, 1.3], [-0.5, -0.8], [1.4, 0.6]]
LABELS = [0, 1, 2, 1, 2]
OTHER_LABELS = [2, 1, 0, 0, 1]
SHARES = [0.75, 0.5, 1.0, 0.125, 0.25]
CLASS_WEIGHTS = [0.5, 2.0, 1.25]
WEIGHT = [[0.3, -0.2], [0.1, 0.4], [-0.5, 0.2]]
BIAS = [0.05, -0.1, 0.2]
LOGITS = [[1.5, -0.5, 0.25], [0.0, 2.0, -1.0], [-0.75, 0.5, 1.25], [3.0, -2.0, 0.5], [0.1, 0.2, 0.3]]
BINARY_LOGITS = [[1.5], [-0.5], [0.25], [-2.0], [0.0]]
BINARY_LABELS = [1, 0, 0, 1, 1]
BINARY_OTHER = [0, 0, 1, 1, 0]
BINARY_WEIGHTS = [0.5, 3.0]
HOLDS = [[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1]]
OTHER_HOLDS = [[0, 0, 1], [1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1]]
NUMBERS = [[0.5], [-1.5], [0.0], [2.0], [-0.25]]
OTHER_NUMBERS = [[-0.5], [1.0], [0.75], [0.0], [1.25]]
LESSONS = [[2.0, -1.0, 0.5], [-0.5, 1.5, 0.0], [0.25, 0.75, -1.25], [1.0, 1.0, 1.0], [-2.0, 0.5, 3.0]]
TEMPERATURE = 4.0
PLATEAU_LOSSES = [1.0, 0.9, 0.95, 0.9, 0.90001, 0.8999, 0.7, 0.71, 0.72, 0.73, 0.74, 0.75, 0.76, 0.69999, 0.8]


def put(name, values, kind="double"):
    flat = torch.as_tensor(values, dtype=torch.float64).flatten().tolist()
    text = ", ".join(str(int(v)) if kind == "int64_t" else repr(v) for v in flat)
    print(f"const std::vector<{kind}> {name} = {{{text}}};")


def camel(name):
    return name.title().replace("_", "")


def losses():
    """Value and gradient by the logits, one after another."""
    labels, other, shares = torch.tensor(LABELS), torch.tensor(OTHER_LABELS), torch.tensor(SHARES)
    weights = torch.tensor(CLASS_WEIGHTS)

    def mixed_by_probabilities(z, smoothing):
        targets = shares[:, None] * F.one_hot(labels, 3) + (1 - shares[:, None]) * F.one_hot(other, 3)
        return F.cross_entropy(z, targets, label_smoothing=smoothing)

    def mixed_weighted(z):
        one = F.cross_entropy(z, labels, weights, reduction="none")
        two = F.cross_entropy(z, other, weights, reduction="none")
        return (shares * one + (1 - shares) * two).sum() / (shares * weights[labels] + (1 - shares) * weights[other]).sum()

    cases = {
        "plain": lambda z: F.cross_entropy(z, labels),
        "smoothed": lambda z: F.cross_entropy(z, labels, label_smoothing=0.1),
        "weighted": lambda z: F.cross_entropy(z, labels, weights),
        "weighted_smoothed": lambda z: F.cross_entropy(z, labels, weights, label_smoothing=0.1),
        "mixed": lambda z: mixed_by_probabilities(z, 0.0),
        "mixed_smoothed": lambda z: mixed_by_probabilities(z, 0.1),
        "mixed_weighted": mixed_weighted,
    }
    for name, loss in cases.items():
        z = torch.tensor(LOGITS, requires_grad=True)
        value = loss(z)
        value.backward()
        put("kSoftmax" + camel(name), [value.item(), *z.grad.flatten().tolist()])


def sigmoid_losses():
    labels, other, shares = torch.tensor(BINARY_LABELS), torch.tensor(BINARY_OTHER), torch.tensor(SHARES)
    weights = torch.tensor(BINARY_WEIGHTS)
    t = labels.float()
    mixed = shares * t + (1 - shares) * other.float()
    bce = F.binary_cross_entropy_with_logits
    cases = {
        "plain": lambda z: bce(z, t),
        "smoothed": lambda z: bce(z, t * 0.8 + 0.1),
        "weighted": lambda z: bce(z, t, weights[labels], reduction="sum") / weights[labels].sum(),
        "mixed": lambda z: bce(z, mixed),
    }
    for name, loss in cases.items():
        z = torch.tensor(BINARY_LOGITS, requires_grad=True)
        value = loss(z.squeeze(1))
        value.backward()
        put("kSigmoid" + camel(name), [value.item(), *z.grad.flatten().tolist()])


def multi_label_losses():
    labels, other, shares = (torch.tensor(t, dtype=torch.float) for t in (HOLDS, OTHER_HOLDS, SHARES))
    weights = torch.tensor(CLASS_WEIGHTS)
    shares = shares[:, None]
    bce = F.binary_cross_entropy_with_logits

    def mixed(z):
        one, two = (bce(z, t, pos_weight=weights, reduction="none") for t in (labels, other))
        return (shares * one + (1 - shares) * two).mean()

    cases = {
        "plain": lambda z: bce(z, labels),
        "smoothed": lambda z: bce(z, labels * 0.8 + 0.1),
        "weighted": lambda z: bce(z, labels, pos_weight=weights),
        "mixed_weighted": mixed,
    }
    for name, loss in cases.items():
        z = torch.tensor(LOGITS, requires_grad=True)
        value = loss(z)
        value.backward()
        put("kMultiLabel" + camel(name), [value.item(), *z.grad.flatten().tolist()])


def regression_losses():
    labels, other, shares = (torch.tensor(t) for t in (NUMBERS, OTHER_NUMBERS, SHARES))
    shares = shares[:, None]

    def mixed(z):
        one, two = (F.mse_loss(z, t, reduction="none") for t in (labels, other))
        return (shares * one + (1 - shares) * two).mean()

    for name, loss in {"plain": lambda z: F.mse_loss(z, labels), "mixed": mixed}.items():
        z = torch.tensor(BINARY_LOGITS, requires_grad=True)
        value = loss(z)
        value.backward()
        put("kRegression" + camel(name), [value.item(), *z.grad.flatten().tolist()])


def teacher_losses():
    lessons, t = torch.tensor(LESSONS), TEMPERATURE

    def kl(z):
        return F.kl_div(F.log_softmax(z / t, 1), F.softmax(lessons / t, 1), reduction="batchmean") * t * t

    for name, loss in {"logits": kl, "embeddings": lambda z: 1 - F.cosine_similarity(z, lessons).mean()}.items():
        z = torch.tensor(LOGITS, requires_grad=True)
        value = loss(z)
        value.backward()
        put("kTeacher" + camel(name), [value.item(), *z.grad.flatten().tolist()])


def rates(make, steps):
    parameter = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    scheduler = make(optimizer)
    out = []
    for _ in range(steps):
        out.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return out


def schedules():
    schedulers = torch.optim.lr_scheduler
    put("kOneCycle20", rates(lambda o: schedulers.OneCycleLR(o, 0.1, total_steps=20, cycle_momentum=False), 20))
    put("kOneCycle3", rates(lambda o: schedulers.OneCycleLR(o, 0.1, total_steps=3, cycle_momentum=False), 3))
    put("kCosine10", rates(lambda o: schedulers.CosineAnnealingLR(o, 10), 10))
    put("kStep", rates(lambda o: schedulers.StepLR(o, 3, gamma=0.5), 12))
    for patience in (0, 1, 2):
        parameter = torch.zeros(1, requires_grad=True)
        optimizer = torch.optim.SGD([parameter], lr=1.0)
        scheduler = schedulers.ReduceLROnPlateau(optimizer, factor=0.5, patience=patience, eps=0)
        counts = []
        for loss in PLATEAU_LOSSES:
            scheduler.step(loss)
            counts.append(round(-torch.log2(torch.tensor(optimizer.param_groups[0]["lr"])).item()))
        put(f"kPlateau{patience}", counts, "int64_t")


def fresh():
    return torch.tensor(WEIGHT, requires_grad=True), torch.tensor(BIAS, requires_grad=True)


def loss_of(weight, bias):
    return F.cross_entropy(F.linear(torch.tensor(INPUTS), weight, bias), torch.tensor(LABELS))


def trained(make):
    """Six steps with weight decay on the weight alone, half the rate on the bias."""
    weight, bias = fresh()
    optimizer = make([{"params": [weight], "weight_decay": 0.1}, {"params": [bias], "weight_decay": 0.0, "lr": 0.05}])
    for _ in range(6):
        optimizer.zero_grad()
        loss_of(weight, bias).backward()
        optimizer.step()
    return torch.cat([weight.detach().flatten(), bias.detach()])


def trained_by_keras(momentum):
    weight, bias = keras.Variable(WEIGHT, name="weight"), keras.Variable(BIAS, name="bias")
    optimizer = keras.optimizers.RMSprop(learning_rate=0.1, momentum=momentum, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_list=[bias])
    for _ in range(6):
        weight.value.grad = bias.value.grad = None
        loss = loss_of(weight.value, bias.value)
        loss.backward()
        optimizer.apply([weight.value.grad, bias.value.grad], [weight, bias])
    return torch.cat([weight.value.detach().flatten(), bias.value.detach()])


def lbfgs():
    """Two steps of at most 20 iterations on the loss plus 0.05 |w|²: the first losses on the way, and where it ends."""
    weight, bias = fresh()
    optimizer = torch.optim.LBFGS([weight, bias], lr=0.5, max_iter=20, line_search_fn="strong_wolfe")
    losses = []

    def closure():
        optimizer.zero_grad()
        loss = loss_of(weight, bias) + 0.05 * weight.square().sum()
        loss.backward()
        losses.append(loss.item())
        return loss

    for _ in range(2):
        optimizer.step(closure)
    put("kLbfgsLosses", losses[:12])
    put("kLbfgsEnd", torch.cat([weight.detach().flatten(), bias.detach()]))


def whole_loop():
    """Full-batch SGD with Nesterov, one cycle, a clipped gradient and a moving average: raw weights, then averaged."""
    weight, bias = fresh()
    parameters = [weight, bias]
    optimizer = torch.optim.SGD(parameters, lr=1.0, momentum=0.9, nesterov=True)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=8, cycle_momentum=False)
    averaged = [p.detach().clone() for p in parameters]
    lengths = []
    for n in range(8):
        optimizer.zero_grad()
        loss_of(weight, bias).backward()
        lengths.append(torch.nn.utils.clip_grad_norm_(parameters, 0.3).item())
        optimizer.step()
        share = min(0.9, (1 + n) / (10 + n))
        averaged = [share * a + (1 - share) * p.detach() for a, p in zip(averaged, parameters)]
        if n < 7:
            scheduler.step()
    assert max(lengths) > 0.3 > min(lengths), lengths  # some are clipped, some are not
    put("kLoopRaw", torch.cat([p.detach().flatten() for p in parameters]))
    put("kLoopAveraged", torch.cat([p.flatten() for p in averaged]))


def optimizers():
    optim = torch.optim
    put("kSgd", trained(lambda g: optim.SGD(g, lr=0.1)))
    put("kSgdMomentum", trained(lambda g: optim.SGD(g, lr=0.1, momentum=0.9)))
    put("kSgdNesterov", trained(lambda g: optim.SGD(g, lr=0.1, momentum=0.9, nesterov=True)))
    put("kAdamw", trained(lambda g: optim.AdamW(g, lr=0.1)))
    put("kRmsprop", trained(lambda g: optim.RMSprop(g, lr=0.1)))
    put("kRmspropMomentum", trained(lambda g: optim.RMSprop(g, lr=0.1, momentum=0.5)))
    put("kRmspropKeras", trained_by_keras(0.0))
    put("kRmspropKerasMomentum", trained_by_keras(0.5))
    lbfgs()


def main():
    torch.set_num_threads(1)
    print(f"// Written by goldens.py with torch {torch.__version__.split('+')[0]} and keras {keras.__version__}.")
    print("#pragma once\n\n#include <cstdint>\n#include <vector>\n\nnamespace goldens {\n")
    print("// The problems.")
    for name, values in (("kInputs", INPUTS), ("kShares", SHARES), ("kClassWeights", CLASS_WEIGHTS), ("kWeight", WEIGHT),
                         ("kBias", BIAS), ("kLogits", LOGITS), ("kBinaryLogits", BINARY_LOGITS),
                         ("kBinaryWeights", BINARY_WEIGHTS), ("kHolds", HOLDS), ("kOtherHolds", OTHER_HOLDS),
                         ("kNumbers", NUMBERS), ("kOtherNumbers", OTHER_NUMBERS),
                         ("kLessons", LESSONS), ("kPlateauLosses", PLATEAU_LOSSES)):
        put(name, values)
    for name, values in (("kLabels", LABELS), ("kOtherLabels", OTHER_LABELS), ("kBinaryLabels", BINARY_LABELS),
                         ("kBinaryOther", BINARY_OTHER)):
        put(name, values, "int64_t")
    print("\n// What they give.")
    losses()
    sigmoid_losses()
    multi_label_losses()
    regression_losses()
    teacher_losses()
    schedules()
    optimizers()
    whole_loop()
    print("\n}  // namespace goldens")


if __name__ == "__main__":
    main()
