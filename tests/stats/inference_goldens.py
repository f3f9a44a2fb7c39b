#!/usr/bin/env python3
"""Writes inference_goldens.h: what SciPy and statsmodels give for intervals and tests on fixed cases.

Needs SciPy and statsmodels (1.17.1 and 0.15.0 made the file). Some seconds. Run as
    python tests/stats/inference_goldens.py > tests/stats/inference_goldens.h
"""

import numpy
import scipy
import statsmodels
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

PROPORTIONS = [(0, 1), (1, 1), (0, 20), (20, 20), (7, 10), (186, 192), (950, 1000), (5, 100000)]
ALONE = [(0, 0), (0, 1), (3, 9), (1, 12), (5, 5), (40, 71), (300, 401)]
P_VALUES = [[0.04], [0.01, 0.04, 0.03, 0.005], [0.5, 0.9, 0.5], [0.001, 0.001, 0.02, 0.7, 0.013]]
ROWS = 120


def put(name, values):
    text = ", ".join(repr(float(value)) for value in numpy.ravel(values))
    print(f"const std::vector<double> {name} = {{{text}}};")


def bootstrap(first, second):
    """Of the difference of means: value, low, high by percentiles."""
    result = stats.bootstrap((first, second), lambda a, b, axis: a.mean(axis) - b.mean(axis), paired=True,
                             n_resamples=400000, method="percentile", batch=10000, rng=numpy.random.default_rng(1))
    interval = result.confidence_interval
    return [first.mean() - second.mean(), interval.low, interval.high]


def main():
    print(f"// Written by inference_goldens.py with SciPy {scipy.__version__}, statsmodels {statsmodels.__version__}.")
    print("#pragma once\n\n#include <vector>\n\nnamespace goldens {\n")
    put("kRightOfRows", PROPORTIONS)
    put("kWilson95", [proportion_confint(k, n, 0.05, "wilson") for k, n in PROPORTIONS])
    put("kWilson80", [proportion_confint(k, n, 0.2, "wilson") for k, n in PROPORTIONS])
    put("kAlone", ALONE)
    put("kMcNemar", [mcnemar([[9, a], [b, 9]], exact=True).pvalue for a, b in ALONE])
    print("const std::vector<std::vector<double>> kPValues = {")
    for values in P_VALUES:
        print("    {" + ", ".join(repr(value) for value in values) + "},")
    print("};\nconst std::vector<std::vector<double>> kHolm = {")
    for values in P_VALUES:
        print("    {" + ", ".join(repr(float(v)) for v in multipletests(values, method="holm")[1]) + "},")
    print("};")
    generator = numpy.random.default_rng(7)
    second = generator.random(ROWS) < 0.8
    first = numpy.where(generator.random(ROWS) < 0.15, ~second, second) | (generator.random(ROWS) < 0.3)
    put("kFirstRight", first)
    put("kSecondRight", second)
    put("kRightDifference", bootstrap(first.astype(float), second.astype(float)))
    errors = generator.gamma(2.0, 3.0, ROWS)
    others = errors + generator.normal(0.4, 1.0, ROWS)
    put("kFirstErrors", errors)
    put("kSecondErrors", others)
    put("kErrorDifference", bootstrap(errors, others))
    print("\n}  // namespace goldens")


if __name__ == "__main__":
    main()
