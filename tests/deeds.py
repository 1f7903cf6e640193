"""What a process can do with a target: with so little data that it takes some 0.1 s."""

import json
import re

import dask
import fsspec.implementations.asyn_wrapper
import fsspec.implementations.local
import numpy as np
import pandas as pd
import pyarrow.dataset
import pyarrow.pandas_compat
import zarr
from fsspec.core import url_to_fs

from dask_distill import distill, grow as begun, open_coreset, open_dataset, open_scores
from dask_distill.errors import IncompleteOutput, InputError
from dask_distill.follow import follow as followed
from dask_distill.pipeline import distill_to_zarr
from dask_distill.scoring_run import score_and_write, scoring_run
from dask_distill.selection.request import Request
from dask_distill.storage import group as store
from dask_distill.strategies import make_strategy
from dask_distill.subset.summary import Settings

ROWS, BATCH_ROWS, SIZE = 64, 40, 8
# what may be asked for: names that a failure is told with
REQUESTS = {
    "random": ("random", 0),
    "random-1": ("random", 1),
    "stratified": ("stratified", 0),
    "kcenter": ("kcenter", 0),
    "auto": ("auto", 0),
}
GROWING = ("random", "stratified", "kcenter")
SIGHTS = ("features", "labels", "indices", "weights")

dask.config.set({"scheduler": "sync", "distill.checkpoint.worth": "0s"})


def rows_of(batch, rows=BATCH_ROWS):
    """Features and labels of a batch by its number; of the data set that runs select from, too."""
    generator = np.random.default_rng([17, batch])
    X = generator.normal(size=(rows, 3)).astype(np.float32)
    return X, (X[:, 0] > 0.3).astype(np.int64)


def rows_of_all(batches):
    return tuple(np.concatenate(each) for each in zip(*map(rows_of, batches), strict=True))


def source_rows():
    """Of the data set that runs select from."""
    return rows_of(1000, ROWS)


def make_source(path):
    """The data set that runs select from, as a zarr group."""
    X, y = source_rows()
    root = zarr.open_group(path, mode="w")
    for name, values in (("X", X), ("y", y)):
        root.create_array(
            name, data=values, chunks=(32, *values.shape[1:]), config={"write_empty_chunks": True}
        )


def warm_up():
    """Import and compile, without a thread: one that is there does not live on in a child."""
    X, y = rows_of(0)
    for name in ("random", "stratified", "kcenter", "auto"):
        distill(X, y, size=SIZE, strategy=name)
    for name in GROWING:
        begun(X, y, size=SIZE, strategy=name).update(X, y)


# what is imported late, before a child would have to
_ = fsspec.implementations.asyn_wrapper, fsspec.implementations.local
_ = pyarrow.dataset, pyarrow.pandas_compat


def _request(name):
    strategy, seed = REQUESTS[name]
    return Request(strategy=make_strategy(strategy), size=SIZE, seed=seed)


def _options(remote):
    return {"root": remote} if remote else {}


# ---------------------------------------------------------------- what changes a target


def run(target, source, request, remote=None, **how):
    how["storage_options"] = _options(remote)
    return distill_to_zarr(open_dataset(source), target, _request(request), **how)[1]["digest"]


def grow(target, settings, batches, overwrite=False, remote=None):
    coreset = begun(*rows_of_all(batches), size=SIZE, strategy=settings)
    return coreset.to_zarr(target, _options(remote), overwrite)["digest"]


def update(target, batch, remote=None):
    coreset = open_coreset(target, _options(remote)).update(*rows_of(batch))
    return coreset.to_zarr(target, _options(remote), overwrite=True)["digest"]


def follow(target, source, settings, remote=None):
    asked = Settings.of(settings, None, None, SIZE, None)
    # each file is a batch
    batches = followed(
        source, target, asked, once=True, max_rows=1, storage_options=_options(remote)
    )
    return [batch.new_rows for batch in batches]


def score(target, source, seed, remote=None, **how):
    how["storage_options"] = _options(remote)
    words = {"seed": seed}
    job = scoring_run(open_dataset(source), target, ("gradient", "entropy"), words, **how)
    return score_and_write(job)[1]["digest"]


def table(target, source, request, overwrite=False):
    strategy, seed = REQUESTS[request]
    dataset = open_dataset(source)
    coreset = distill(dataset, size=SIZE, strategy=strategy, seed=seed)
    return coreset.to_parquet(target, overwrite=overwrite)["digest"]


# ---------------------------------------------------------------- what a reader sees


def read(target, remote=None):
    """What is there, to the last value; what lies beside it."""
    return _seen(target, _options(remote)) | {"beside": beside(target, remote)}


def read_scores(target, remote=None):
    """What is there, to the last value, or that nothing whole is; and what lies beside it."""
    told = {"beside": _names_beside(target, remote)}
    try:
        scores = open_scores(target, _options(remote))
    except (IncompleteOutput, InputError) as error:
        return told | {"nothing": str(error)}
    found = store.verify(target, storage_options=_options(remote))
    values = dask.compute(dict(scores))[0]
    assert found.ok, found.problems
    return told | {
        "digest": found.digest,
        "values": {name: each.tolist() for name, each in values.items()},
    }


def _seen(target, options):
    try:
        coreset = open_coreset(target, options)
    except IncompleteOutput as error:
        found = store.verify(target, storage_options=options)
        assert not found.ok, "what cannot be opened must not pass for sound"
        told = {"incomplete": str(error)}
        if place := re.search(r"'([^']*)' has it whole", str(error)):
            told["whole"] = _seen(place[1], options)
        return told
    except InputError as error:
        return {"nothing": str(error)}
    found = store.verify(target, storage_options=options)
    return {
        "digest": found.digest,
        "problems": list(found.problems),
        "values": values_of(coreset),
        "taken": None if coreset.summary is None else coreset.summary.taken.get("files"),
        "rows": coreset.provenance["rows"],
    }


def values_of(coreset):
    features, labels = dask.compute(coreset.features, coreset.labels)
    return {
        "features": features.tolist(),
        "labels": labels.tolist(),
        "indices": coreset.indices.tolist(),
        "weights": coreset.weights.tolist(),
    }


def beside(target, remote=None):
    """Names of hidden neighbours, and what unfinished runs among them were asked for."""
    system, path = url_to_fs(target, **_options(remote))
    head = path.rpartition("/")[0]
    names = _names_beside(target, remote)
    noted = []
    for entry in names:
        if entry.endswith((".bin", ".turn")):
            continue
        try:
            text = system.cat_file(f"{head}/{entry}/request.json")
        except (FileNotFoundError, NotADirectoryError):
            continue
        told = json.loads(text)
        asked = (told["request"]["strategy"], told["request"]["seed"])
        (request,) = [name for name, known in REQUESTS.items() if known == asked]
        noted.append([request, told["overwrite"]])
    return {"names": names, "noted": noted}


def _names_beside(target, remote):
    system, path = url_to_fs(target, **_options(remote))
    head, _, name = path.rpartition("/")
    try:
        found = [entry.rstrip("/").rpartition("/")[2] for entry in system.ls(head, detail=False)]
    except FileNotFoundError:
        found = []
    return sorted(entry for entry in found if entry.startswith(f".{name}."))


def read_table(target):
    """What a reader of parquet finds, by our ways and by pandas'."""
    told = _seen(target, {}) | {"beside": beside(target)}
    if "values" in told:
        frame = pd.read_parquet(target)
        assert frame[["x0", "x1", "x2"]].to_numpy().tolist() == told["values"]["features"]
        assert frame["y"].tolist() == told["values"]["labels"]
        assert frame["_index"].tolist() == told["values"]["indices"]
        assert frame["_weight"].tolist() == told["values"]["weights"]
    return told
