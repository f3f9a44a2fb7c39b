#!/usr/bin/env python3
"""The peer of heads.sh: makes its rows, and fits 64 logistic regressions by scikit-learn, one after another.

    heads_sklearn.py make FOLDER ROWS DIMENSION CLASSES    writes rows.npy labels.npy others.npy other-labels.npy
    heads_sklearn.py fit FOLDER                            prints one line of JSON

Each fit has scikit-learn's defaults (lbfgs, tolerance 1e-4) but for C, of which there are 64 from 1e-4 to 1e4, and as
many iterations as it takes to converge. Needs numpy and scikit-learn.
"""

import json
import pathlib
import sys
import time
import warnings

import numpy

HEADS = 64


def make(folder, rows, dimension, classes):
    generator = numpy.random.default_rng(1)
    # Like pooled features: not negative, correlated, with classes that overlap.
    mixing = generator.normal(size=(dimension // 8, dimension)) / numpy.sqrt(dimension / 8)
    centres = 0.2 * generator.normal(size=(classes, dimension // 8))
    for name, count in (("rows", rows), ("others", rows // 4)):
        labels = generator.integers(classes, size=count)
        hidden = centres[labels] + generator.normal(size=(count, dimension // 8))
        values = numpy.maximum(hidden @ mixing + 0.2 * generator.normal(size=(count, dimension)), 0)
        numpy.save(folder / f"{name}.npy", values.astype(numpy.float32))
        numpy.save(folder / ("labels.npy" if name == "rows" else "other-labels.npy"), labels.astype(numpy.int64))


def fit(folder):
    from sklearn.linear_model import LogisticRegression

    rows, labels = numpy.load(folder / "rows.npy"), numpy.load(folder / "labels.npy")
    others, other_labels = numpy.load(folder / "others.npy"), numpy.load(folder / "other-labels.npy")
    best, unfinished, begin = 0.0, 0, time.perf_counter()
    for c in numpy.logspace(-4, 4, HEADS):
        model = LogisticRegression(C=c, max_iter=100000)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(rows, labels)
        unfinished += len(caught) > 0
        best = max(best, model.score(others, other_labels))
    print(json.dumps({"seconds": time.perf_counter() - begin, "best_top1": best, "not_converged": unfinished}))


def main():
    what, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    if what == "make":
        folder.mkdir(parents=True, exist_ok=True)
        make(folder, *map(int, sys.argv[3:6]))
    else:
        fit(folder)


if __name__ == "__main__":
    main()
