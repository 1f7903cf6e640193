"""Groups as people have them: arrays at any depth, as columns, of types unknown, of AnnData."""

import json
import warnings
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr
import zarr
from click.testing import CliRunner
from scipy import sparse

from dask_distill import InputError, distill, open_coreset, open_dataset
from dask_distill.cli import cli
from dask_distill.data import rows as chunk_sizes

N = 400
rng = np.random.default_rng(0)
X = rng.normal(size=(N, 4))
Y = np.arange(N) % 2
KINDS = ["B", "T", "natural killer"]
CODES = np.where(np.arange(N) < 5, -1, np.arange(N) % 3).astype("i1")
KIND = np.array([*KINDS, None], object)[CODES]
MATRIX = sparse.random(N, 7, density=0.3, format="csr", dtype="f4", rng=rng)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(group, arrays, chunks=None):
    for name, values in arrays.items():
        array = np.asarray(values)
        if array.dtype.kind in "UO":
            array = array.astype(np.dtypes.StringDType())
        cut = {} if chunks is None else {"chunks": (chunks, *array.shape[1:])}
        group.create_array(name, data=array, **cut)


def roles(dataset):
    return {use.name: use.role for use in dataset.uses}


# ---------------------------------------------------------------- types that zarr does not know


@pytest.fixture
def strange(folder):
    """A group in which one array is of a type that other libraries write, and zarr's does not."""
    group = zarr.open_group("g.zarr", mode="w")
    put(group, {"X": X, "y": Y, "emb": np.zeros((N, 2), "f4")})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata("g.zarr")

    def rewrite(path, change):
        document = json.loads(Path(path).read_text())
        change(document)
        Path(path).write_text(json.dumps(document))

    def unknown(document):
        document["data_type"] = "bfloat16"

    rewrite("g.zarr/emb/zarr.json", unknown)
    rewrite("g.zarr/zarr.json", lambda d: unknown(d["consolidated_metadata"]["metadata"]["emb"]))
    return "g.zarr"


def test_open_dataset__an_array_of_unknown_type_closes_itself_alone(strange):
    dataset = open_dataset(strange)
    assert np.array_equal(dataset.features.compute(), X)
    assert np.array_equal(dataset.labels.compute(), Y)
    assert roles(dataset) == {"X": "feature", "y": "label", "emb": "left out"}
    with pytest.raises(InputError, match=r"carry emb must be readable.*'bfloat16'.* array 'emb'"):
        open_dataset(strange, carry=["emb"])
    with pytest.raises(InputError, match=r"'lable'; there are: X, emb \(of unknown type\), y$"):
        open_dataset(strange, labels="lable")


# ---------------------------------------------------------------- arrays of subgroups


@pytest.fixture
def nested(folder):
    group = zarr.open_group("g.zarr", mode="w")
    put(group, {"X": X})
    obs = group.create_group("obs")
    rows = np.arange(N)
    put(obs, {"kind": Y, "barcode": rows, "when": rows * 2, "rare": rows % 5 == 0})
    put(group.create_group("var/deep"), {"X": X, "index": Y})
    return "g.zarr"


def test_open_dataset__carries_arrays_of_subgroups(nested):
    dataset = open_dataset(
        nested, labels="obs/kind", carry=["obs/barcode", "var/deep/X", "var/deep/index"]
    )
    # by their own names; by the path where that is another's, or one of ours
    assert list(dataset.carry) == ["barcode", "var_deep_X", "var_deep_index"]
    assert dataset.renamed == {
        "kind": "obs/kind",
        "barcode": "obs/barcode",
        "var_deep_X": "var/deep/X",
        "var_deep_index": "var/deep/index",
    }
    assert np.array_equal(dataset.carry["barcode"].compute(), np.arange(N))
    assert np.array_equal(dataset.carry["var_deep_X"].compute(), X)
    assert roles(dataset)["obs/barcode"] == "carried"
    assert roles(dataset)["obs/when"] == "left out"


def test_run_and_evaluate__know_arrays_of_subgroups_by_their_paths(nested):
    words = ["run", nested, "out.zarr", "--labels", "obs/kind", "--time", "obs/when"]
    words += ["--carry", "obs/barcode", "--protect", "obs/rare", "--size", "120", "--workers", "1"]
    done = CliRunner().invoke(cli, [*words, "--quiet"])
    assert done.exit_code == 0, done.output
    coreset = open_coreset("out.zarr")
    assert set(coreset.carry) == {"barcode", "when", "rare"}
    assert set(range(0, N, 5)) <= set(coreset.indices)
    assert coreset.provenance["input"]["renamed"]["when"] == "obs/when"
    words = ["evaluate", "out.zarr", "--source", nested, "--seeds", "2", "--workers", "1"]
    done = CliRunner().invoke(cli, [*words, "--json"])
    assert done.exit_code == 0, done.output


def test_open_dataset__says_what_lies_deeper(nested):
    listed = "X, obs/barcode, obs/kind, obs/rare, obs/when, var/deep/X, var/deep/index$"
    with pytest.raises(InputError, match=f"features must be in .* got 'Q'; there are: {listed}"):
        open_dataset(nested, features="Q")
    with pytest.raises(InputError, match=r"got 'var', which is a group in .*: var/deep/X, var/"):
        open_dataset(nested, labels="var")


# ---------------------------------------------------------------- columns


COLUMNS = {"a": np.arange(N), "b": rng.normal(size=N).astype("f4"), "flag": Y == 0}


@pytest.fixture
def columnar(folder):
    group = zarr.open_group("c.zarr", mode="w")
    put(group, COLUMNS, chunks=30)
    put(group, {"b_2": COLUMNS["b"] * 2}, chunks=7)
    put(group, {"label": Y, "text": ["t"] * N, "wide": X, "short": Y[:9]})
    put(group.create_group("obs"), {"a": COLUMNS["a"], "n": COLUMNS["b"]})
    return "c.zarr"


@pytest.mark.parametrize(
    ("features", "columns"),
    [
        ("b,a", ("b", "a")),
        (["flag", "a"], ("flag", "a")),
        (" a , b* ", ("a", "b", "b_2")),
        ("a", ("a",)),
        ("obs/*", ("obs/a", "obs/n")),
        ("[ab],obs/n", ("a", "b", "obs/n")),
    ],
)
@pytest.mark.parametrize("chunk_bytes", [2**24, 400, 40])
def test_open_dataset__columns_of_a_group(columnar, monkeypatch, features, columns, chunk_bytes):
    monkeypatch.setattr(chunk_sizes, "_CHUNK_BYTES", chunk_bytes)
    dataset = open_dataset(columnar, features=features, labels="label")
    assert dataset.columns == columns
    values = [np.asarray(zarr.open_array(f"c.zarr/{name}")) for name in columns]
    whole = np.stack(values, axis=1)
    found = dataset.features.compute()
    assert found.dtype == whole.dtype
    assert np.array_equal(found, whole)
    assert all(roles(dataset)[name] == "feature" for name in columns)
    assert roles(dataset)["text"] == "left out"
    # read in other parts than they are cut in, the rows selected are those of the same array
    ours = distill(dataset, size=20, seed=1)
    theirs = distill(whole, Y, size=20, seed=1)
    assert np.array_equal(ours.indices, theirs.indices)
    assert np.array_equal(ours.features.compute(), whole[ours.indices])


def test_open_dataset__globs_leave_out_labels_and_what_is_carried(columnar):
    dataset = open_dataset(columnar, features="[abf]*", labels="flag", carry=["a"])
    assert dataset.columns == ("b", "b_2")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"features": "a,text"}, r"one number a row .* text \(StringDType\(\), 400\)"),
        ({"features": "a,wide"}, r"wide \(float64, 400 x 4\)"),
        ({"features": "a,short"}, "columns of the same rows, got 400 in a, 9 in short"),
        ({"features": "a,nope"}, "got 'nope'; there are: a, b, b_2"),
        ({"features": "z*"}, r"got 'z\*'; there are: a, b, b_2"),
        ({"features": "a,label", "labels": "label"}, "must not hold labels .* column 'label'"),
        ({"features": ","}, "at least one array, got none"),
        ({"features": []}, "at least one array, got none"),
    ],
)
def test_open_dataset__refuses_what_makes_no_columns(columnar, arguments, words):
    with pytest.raises(InputError, match=words):
        open_dataset(columnar, **arguments)


def test_open_dataset__a_name_with_a_comma_is_a_name(folder):
    put(zarr.open_group("c.zarr", mode="w"), {"a,b": X, "X*": X})
    assert open_dataset("c.zarr", features="a,b").feature_name == "a,b"
    assert open_dataset("c.zarr", features="X*").d == 4


def test_open_dataset__columns_that_xarray_has_written(folder):
    """With its dimensions beside them; the way back is by names, and so is evaluation."""
    variables = {name: ("row", values) for name, values in COLUMNS.items()} | {"y": ("row", Y)}
    xr.Dataset(variables, coords={"row": np.arange(N)}).to_zarr("x.zarr", consolidated=False)
    words = ["run", "x.zarr", "out.zarr", "--features", "a,b", "--carry", "flag", "--size", "40"]
    done = CliRunner().invoke(cli, [*words, "--quiet", "--workers", "1"])
    assert done.exit_code == 0, done.output
    coreset = open_coreset("out.zarr")
    assert coreset.provenance["input"]["columns"] == ["a", "b"]
    want = np.stack([COLUMNS["a"], COLUMNS["b"]], axis=1)[coreset.indices]
    assert np.array_equal(coreset.features.compute(), want)
    done = CliRunner().invoke(
        cli, ["evaluate", "out.zarr", "--source", "x.zarr", "--seeds", "2", "--workers", "1"]
    )
    assert done.exit_code == 0, done.output


# ---------------------------------------------------------------- AnnData


def encoded(group, name, kind, **arrays):
    inner = group.create_group(name)
    inner.attrs.update({"encoding-type": kind, "encoding-version": "0.2.0"})
    put(inner, arrays, chunks=30)
    return inner


@pytest.fixture(params=[2, 3])
def cells(request, folder):
    """The layout that anndata writes: X sparse, categories, numbers with gaps."""
    group = zarr.open_group("a.zarr", mode="w", zarr_format=request.param)
    parts = {"data": MATRIX.data, "indices": MATRIX.indices, "indptr": MATRIX.indptr}
    encoded(group, "X", "csr_matrix", **parts).attrs["shape"] = [N, 7]
    put(group.create_group("obsm"), {"X_pca": X})
    layers = group.create_group("layers")
    encoded(layers, "by_column", "csc_matrix", **parts).attrs["shape"] = [7, N]
    obs = group.create_group("obs")
    encoded(obs, "cell_type", "categorical", codes=CODES, categories=KINDS)
    encoded(obs, "batch", "categorical", codes=CODES, categories=np.array([7, 8, 9]))
    encoded(obs, "n", "nullable-integer", values=np.arange(N) % 3, mask=Y == 1)
    return "a.zarr"


@pytest.mark.parametrize("chunk_bytes", [2**24, 300])
def test_open_dataset__rows_of_a_sparse_matrix(cells, monkeypatch, chunk_bytes):
    monkeypatch.setattr(chunk_sizes, "_CHUNK_BYTES", chunk_bytes)
    dataset = open_dataset(cells)
    assert dataset.features.dtype == np.float32
    assert np.array_equal(dataset.features.compute(), MATRIX.toarray())
    ours, theirs = distill(dataset, size=20), distill(MATRIX.toarray(), size=20)
    assert np.array_equal(ours.indices, theirs.indices)
    assert np.array_equal(ours.features.compute(), MATRIX.toarray()[ours.indices])


def test_open_dataset__no_block_of_a_sparse_matrix_is_read_with_others(cells, monkeypatch):
    monkeypatch.setattr(chunk_sizes, "_CHUNK_BYTES", 300)
    features = open_dataset(cells).features
    assert len(features.chunks[0]) > 5
    assert np.array_equal(features.blocks[3].compute(), MATRIX.toarray()[30:40])


def test_open_dataset__categories_are_labels_and_gaps_are_missing(cells):
    dataset = open_dataset(cells, features="obsm/X_pca", labels="obs/cell_type")
    assert dataset.labels.compute().tolist() == KIND.tolist()
    with pytest.raises(InputError, match="labels has 5 missing, first in row 0"):
        distill(dataset, size=20)
    coreset = distill(dataset, size=20, on_invalid="drop")
    assert {entry["label"] for entry in coreset.provenance["classes"]} == set(KINDS)
    # the codes by themselves: no class of -1
    dataset = open_dataset(cells, features="obsm/X_pca", labels="obs/cell_type/codes")
    coreset = distill(dataset, size=20, on_invalid="drop")
    assert {entry["label"] for entry in coreset.provenance["classes"]} == {0, 1, 2}
    for name, values in (("batch", [7, 8, 9]), ("n", None)):
        labels = open_dataset(cells, labels=f"obs/{name}").labels.compute()
        gaps = CODES < 0 if name == "batch" else Y == 1
        assert [value is None for value in labels] == gaps.tolist()
        want = np.array(values)[CODES[~gaps]] if values else (np.arange(N) % 3)[~gaps]
        assert labels[~gaps].tolist() == want.tolist()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"features": "obs/cell_type"}, "which is a categorical; encode it"),
        ({"features": "layers/by_column"}, r"a csc_matrix; .* store it by rows"),
        ({"labels": "X"}, "labels must be one value a row, got 'X', which is a csr_matrix"),
        ({"features": "Q"}, r"there are: X \(csr_matrix\), layers/by_column \(csc_matrix\), obs/b"),
        ({"carry": ["obs/batch"]}, "must be text .* carry obs/batch/codes"),
    ],
)
def test_open_dataset__refuses_encoded_groups_by_name(cells, arguments, words):
    with pytest.raises(InputError, match=words):
        open_dataset(cells, **arguments)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda group: group["X/indptr"].__setitem__(5, 10**6), "row pointers .* do not ascend"),
        (lambda group: group["X/indices"].__setitem__(5, 99), "not within 0 to 6; it is damaged"),
        (lambda group: group["X/indices"].__setitem__(5, -1), "not within 0 to 6; it is damaged"),
    ],
)
def test_open_dataset__a_sparse_matrix_that_contradicts_itself_is_damage(cells, change, words):
    change(zarr.open_group(cells, mode="r+"))
    with pytest.raises(InputError, match=words), dask.config.set(scheduler="sync"):
        open_dataset(cells).features.compute()


def test_open_dataset__what_encoded_groups_lack_is_named(cells):
    del zarr.open_group(cells, mode="r+")["X/indices"]
    with pytest.raises(InputError, match=r"got 'X', a csr_matrix, without its array 'indices'"):
        open_dataset(cells)
    group = zarr.open_group("b.zarr", mode="w")
    put(group, {"X": X})
    encoded(group, "y", "categorical", codes=CODES)
    with pytest.raises(InputError, match=r"got 'y', a categorical, without its array 'categories'"):
        open_dataset("b.zarr")
