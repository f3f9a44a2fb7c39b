#!/usr/bin/env python3
"""Writes goldens.h: what scikit-learn's metrics give on small fixed cases.

Needs scikit-learn (1.9 made the file). A second. Run as
    python tests/stats/goldens.py > tests/stats/goldens.h
"""

import numpy
import sklearn
from sklearn import metrics

ROWS, CLASSES = 40, 5
FALSE_CLASS = 3  # holds nowhere


def put(name, values):
    text = ", ".join(repr(float(value)) for value in numpy.ravel(values))
    print(f"const std::vector<double> {name} = {{{text}}};")


def multi_label(generator):
    holds = generator.random((ROWS, CLASSES)) < [0.2, 0.5, 0.7, 0.0, 0.05]
    holds[0, 4] = True
    # In quarters, so that many scores of a class are the same.
    logits = numpy.round(4 * (generator.normal(size=(ROWS, CLASSES)) + 1.5 * (holds - 0.5))) / 4
    there = [k for k in range(CLASSES) if k != FALSE_CLASS]
    predicted = logits >= 0
    scores = 1 / (1 + numpy.exp(-logits))
    put("kLogits", logits)
    put("kHolds", holds)
    put("kAveragePrecision", [metrics.average_precision_score(holds[:, k], logits[:, k]) for k in there])
    put("kMultiLabel", [
        numpy.mean([metrics.log_loss(holds[:, k], scores[:, k], labels=[False, True]) for k in range(CLASSES)]),
        metrics.average_precision_score(holds[:, there], logits[:, there], average="macro"),
        metrics.f1_score(holds, predicted, average="micro"),
        metrics.accuracy_score(holds, predicted),
    ])


def regression(generator):
    values = 1000 + 50 * generator.normal(size=ROWS)
    predicted = numpy.float32(values + 20 * generator.normal(size=ROWS)).astype(float)
    put("kValues", values)
    put("kPredicted", predicted)
    put("kSpread", [values.mean(), values.std()])
    put("kRegression", [
        metrics.mean_absolute_error(values, predicted),
        metrics.root_mean_squared_error(values, predicted),
        metrics.r2_score(values, predicted),
    ])


def main():
    generator = numpy.random.default_rng(5)
    print(f"// Written by goldens.py with scikit-learn {sklearn.__version__}.")
    print("#pragma once\n\n#include <cstdint>\n#include <vector>\n\nnamespace goldens {\n")
    print(f"constexpr int64_t kClasses = {CLASSES};")
    print(f"constexpr int64_t kFalseClass = {FALSE_CLASS};  // holds nowhere")
    multi_label(generator)
    regression(generator)
    print("\n}  // namespace goldens")


if __name__ == "__main__":
    main()
