"""The report: well-formed, self-contained, escaped, and at home in a real browser."""

import base64
import hashlib
import json
import re
import shlex
import subprocess
from dataclasses import replace
from html import escape
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression

from dask_distill import InputError, distill, grow, open_coreset, open_dataset, size_curve
from dask_distill.cli.main import cli
from dask_distill.cli.request import prepared
from dask_distill.data.dataset import as_dataset
from dask_distill.report.columns import values_shown
from dask_distill.report.page import render
from dask_distill.report.pictures import pictures
from dask_distill.report.words import command
from tests.browser import HEADLESS, chromium
from tests.pages import Page

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def data(labelled):
    names = np.array([EVIL, "$x_1$ & <b>", "_hidden", ""])[labelled.y[:4000]]
    dataset = as_dataset(labelled.X[:4000], names, carry={"number": np.arange(4000)})
    return replace(dataset, columns=("<i>a</i>", *"bcdef"), sources=("a & <b>.parquet",))


@pytest.fixture(scope="module")
def coreset(data):
    return distill(data, fraction=0.05, strategy="kcenter", certify=True)


@pytest.fixture(scope="module")
def scored(data):
    return distill(data, fraction=0.05)


@pytest.fixture(scope="module")
def evaluation(scored, data):
    return scored.evaluate(data, models=LogisticRegression(), seeds=2, max_rows=1000)


@pytest.fixture(scope="module")
def curve(data):
    few = {"sizes": [0.05, 0.2], "strategies": "strata", "seeds": 2}
    return size_curve(data, models=LogisticRegression(), **few)


@pytest.fixture(scope="module")
def text(scored, data, evaluation, curve):
    return render(scored, dataset=data, evaluation=evaluation, curve=curve)


def test_report__is_well_formed_and_has_its_parts(text, evaluation):
    page = Page(text)
    assert page.tags.count("h1") == 1
    # pictures, a bar for each class, a histogram for each feature
    assert page.tags.count("svg") == 11 + 4 + 6
    assert len(set(page.ids)) == len(page.ids)
    for title in (
        "How well each class is kept",
        "What is lost",
        "How many rows are enough",
        "Where the selected rows lie",
        "Weights",
    ):
        assert f"<h2>{title}</h2>" in text
    assert "Scores of the selected rows" in text
    assert escape(evaluation.verdict) in text
    assert page.attributes.count(("role", "img")) == 11 + 6


def test_report__loads_nothing(text):
    page = Page(text)
    assert not {"img", "iframe", "object", "embed"} & set(page.tags)
    for name, value in page.attributes:
        if name in ("src", "href", "xlink:href", "data"):
            assert value.startswith(("#", "data:")), value
    assert not re.search(r"@import|url\((?!#)", text)
    outside = re.findall(r"https?://[^\"'\s]+", text)
    assert set(outside) <= {"http://www.w3.org/2000/svg"}
    # one script, ours: the page says by its digest that nothing else runs
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert page.tags.count("script") == 1
    allowed = f"style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
    assert f"default-src 'none'; {allowed}" in text
    assert not re.search(r"fetch|XMLHttpRequest|import|eval|innerHTML", script)


def test_report__what_users_wrote_is_escaped(text, coreset):
    for shown in (text, render(coreset)):
        assert shown.count("<script") == 1
        assert "<b>" not in shown
        assert "<i>" not in shown
        assert "&lt;script&gt;" in shown


def test_report__without_scores_source_or_labels(labelled):
    coreset = distill(labelled.X[:500], size=20, strategy="random")
    text = render(coreset)
    Page(text)
    assert "How well each" not in text
    assert "<h2>Coverage</h2>" not in text


def test_report__one_column_and_one_row():
    coreset = distill(np.arange(30.0)[:, None], size=1, strategy="random")
    assert pictures(coreset) == {}
    text = render(coreset)
    Page(text)
    assert "Each selected row stands for as much of the data: 30." in text


@pytest.mark.parametrize("given", [True, False])
def test_report__rows_that_are_all_alike_have_no_axes(given):
    data = as_dataset(np.full((50, 2), 0.1))
    coreset = distill(data, size=5, strategy="random")
    text = render(coreset, dataset=data if given else None)
    assert "first axis" not in text
    assert "nan%" not in text


def test_report__coverage_stands_beside_random(coreset):
    text = render(coreset)
    assert "<h2>Coverage</h2>" in text
    assert f"{coreset.certificate.random_radius:.4g}" in text


def test_report__the_class_that_lost_most_comes_first(scored, text):
    table = scored.provenance["classes"]
    kept = sorted(entry["selected"] / entry["rows"] for entry in table)
    shown = re.findall(r'<td>([\d.]+%)</td><td class="bar">', text)
    assert shown == [f"{share:.1%}" for share in kept]


def test_pictures__are_svg_with_titles_and_the_same_each_time(scored, data):
    drawn = pictures(scored, data)
    of_scores = (f"{what}/{name}" for name in scored.scores for what in ("score", "where"))
    assert set(drawn) == {"where", "weights", *of_scores}
    for svg in drawn.values():
        root = ElementTree.fromstring(svg)
        title = root.find("{http://www.w3.org/2000/svg}title")
        assert title.text
        assert root.get("aria-labelledby") == title.get("id")
        assert "currentColor" in svg
    assert pictures(scored, data) == drawn


def test_command__gives_the_same_rows_again(labelled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("it's in.npz", X=labelled.X[:900], y=labelled.y[:900])
    dataset = open_dataset("it's in.npz")
    coreset = distill(dataset, size=40, strategy="stratified", seed=3)
    words = shlex.split(command(coreset))
    assert words[:2] == ["dask-distill", "run"]
    assert " ".join(words[3:]) == (
        "TARGET --features X --labels y --size 40 --strategy stratified --seed 3"
    )
    assert words[2].endswith("it's in.npz")
    secret = replace(coreset, provenance=coreset.provenance | {"seed": 4})
    assert command(secret).endswith("--seed 4")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reduce": "pca:2"}, "--reduce pca:2"),
        (
            {"time": "hour", "time_scale": 6.0},
            "--carry hour --size 40 .* --time hour --time-scale 6.0",
        ),
        ({"protect": {"class": [3], "rare": 5}}, "--protect class=3 --protect rare=5"),
        ({"initial": "known"}, "--initial known"),
        ({"task": "regression"}, "--task regression"),
        ({"protect": np.arange(3)}, r"distill\(features, .*protect=<3 row numbers>, seed=0\)"),
        ({"reduce": np.cos}, r"distill\(features, .*reduce=<"),
    ],
)
def test_command__tells_all_that_was_asked_for(labelled, tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    hour, known = np.arange(900.0), np.arange(900) % 100 == 0
    y = hour if "task" in options else labelled.y[:900]
    np.savez("in.npz", X=labelled.X[:900], y=y, hour=hour, known=known)
    named = (options.get("time"), options.get("initial"))
    carry = [name for name in ("hour", "known") if name in named]
    dataset = open_dataset("in.npz", carry=carry)
    coreset = distill(dataset, size=40, strategy="kcenter", **options)
    assert re.search(words, command(coreset)), command(coreset)
    if command(coreset).startswith("dask-distill"):
        # it can be run, and gives the same rows
        line = shlex.split(command(coreset).replace("TARGET", "again.zarr"))[1:]
        done = CliRunner().invoke(cli, [*line, "--quiet", "--workers", "1"])
        assert done.exit_code == 0, done.output
        assert np.array_equal(open_coreset("again.zarr").indices, coreset.indices)


def test_report__tells_of_spaces_time_searches_and_batches(labelled, tmp_path):
    X, y = labelled.X[:900], labelled.y[:900]
    for options, words in (
        ({"reduce": "pca:2"}, r"Compared in</th><td>pca:2, 2 features, \d+% of the variance"),
        ({"time": np.arange(900.0), "time_scale": 5.0}, "alike for 5 of time"),
        ({"protect": np.arange(3)}, "Protected</th><td>3 rows"),
        (
            {"strategy": "search", "options": {"trials": 3}},
            r"Trial 0</th><td>auto .*: [\d.]+% accuracy",
        ),
    ):
        assert re.search(words, render(distill(X, y, size=40, **options)))
    coreset = grow(X[:500], y[:500], size=40, half_life=300.0).update(X[500:], y[500:])
    text = render(coreset)
    assert re.search(r"2 batches, each read when it came; \d+ rows are remembered", text)
    assert "Half-life</th><td>300 rows" in text
    assert "grow(features, labels, size=40" in text
    certified = grow(X[:500], size=40, strategy="kcenter")
    assert "a bound, since old rows were not read again" in render(certified)


def test_command_line__writes_the_file(labelled, tmp_path, monkeypatch, evaluation):
    monkeypatch.chdir(tmp_path)
    np.savez("in.npz", X=labelled.X[:900], y=labelled.y[:900])
    distill(open_dataset("in.npz"), size=40).to_zarr("selected.zarr")
    done = CliRunner().invoke(cli, ["report", "selected.zarr"])
    assert done.exit_code == 0, done.output
    assert done.stdout == "wrote selected.html\n"
    (tmp_path / "found.json").write_text(json.dumps(evaluation.as_dict()))
    arguments = ["--source", "in.npz", "--evaluation", "found.json", "-o", "r.html", "--quiet"]
    done = CliRunner().invoke(cli, ["report", "selected.zarr", *arguments])
    assert (done.exit_code, done.output) == (0, "")
    assert "over a sample of all rows" in (tmp_path / "r.html").read_text()
    assert sorted(p.name for p in tmp_path.glob("*.html")) == ["r.html", "selected.html"]
    for arguments, sentence in [
        (["nowhere"], "nowhere"),
        (["selected.zarr", "-o", "no/where.html"], "path must be a file in a folder that exists"),
        (["selected.zarr", "--evaluation", "in.npz"], "evaluation must be a file that evaluate"),
    ]:
        done = CliRunner().invoke(cli, ["report", *arguments])
        assert done.exit_code == 2
        assert done.stderr.count("\n") == 1
        assert sentence in done.stderr


def test_report__says_what_is_not_installed(scored, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r'run pip install "dask-distill\[report\]"'):
        pictures(scored)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(InputError, match="jinja2 and matplotlib"):
        render(scored)


def test_notebooks__show_escaped_tables(coreset, data, tmp_path):
    for shown in (coreset._repr_html_(), data._repr_html_()):
        Page(shown)
        assert "<script" not in shown
        assert "number" in shown
    assert "&lt;i&gt;a&lt;/i&gt;" in data._repr_html_()
    assert "&lt;script&gt;" in coreset._repr_html_()
    assert "covering radius" in coreset._repr_html_()
    coreset.to_zarr(tmp_path / "out.zarr")
    assert "200 of 4,000" in open_coreset(tmp_path / "out.zarr")._repr_html_()


@pytest.mark.parametrize("width", [1280, 500])
def test_report__opens_in_a_browser_without_complaint(text, tmp_path, width):
    browser = chromium()
    (tmp_path / "report.html").write_text(text, encoding="utf-8")
    options = [*HEADLESS, "--enable-logging=stderr", "--v=0"]
    done = subprocess.run(
        [
            browser,
            *options,
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={width},3000",
            f"--screenshot={tmp_path / 'page.png'}",
            (tmp_path / "report.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page.png").stat().st_size > 20_000
    assert "CONSOLE" not in done.stderr


def test_pictures__of_a_subset_with_text_labels_as_the_source(tmp_path):
    """Stored text comes back as text of any length."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(900, 3)), np.where(np.arange(900) % 2, "late", "in time")
    distill(X, y, size=300, strategy="random").to_zarr(tmp_path / "one.zarr")
    source = open_dataset(tmp_path / "one.zarr")
    distill(source, size=60, strategy="random").to_zarr(tmp_path / "two.zarr")
    page = render(open_coreset(tmp_path / "two.zarr"), dataset=source)
    assert "in time" in page


def mixed_table(n=600, more=0):
    """Columns of twelve kinds and a label; and as many more numbers."""
    rng = np.random.default_rng(0)
    days = np.datetime64("2020-01-01") + rng.integers(0, 700, n)
    columns = {
        "order_id": np.arange(n) + 7_000_000,
        "city": np.where(rng.random(n) < 0.1, None, rng.choice([EVIL, "Ulm", "$x_1$"], n)),
        "amount": pa.array(
            np.where(rng.random(n) < 0.1, np.nan, rng.gamma(2, 30, n)), None, None, True
        ),
        "quantity": rng.integers(1, 9, n),
        "express": rng.random(n) < 0.2,
        "ordered": days,
        "note": [f"please <b>leave</b> it at door {i}, {'thanks ' * 20}" for i in range(n)],
        "embedding": pa.array(list(rng.normal(size=(n, 16)).astype(np.float32))),
        "photo": [None if i % 5 == 0 else bytes(i) for i in range(n)],
        "address": [{"zip": f"8907{i % 3}", "house": i % 90} for i in range(n)],
        "currency": ["EUR"] * n,
        "returned": rng.choice(["yes", "no"], n, p=[0.2, 0.8]),
    }
    columns |= {f"more{i:03d}": rng.normal(size=n) for i in range(more)}
    return pa.table(columns)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    place = tmp_path_factory.mktemp("mixed") / "in.parquet"
    pq.write_table(mixed_table(), place)
    return place


def read_mixed(place, **how):
    return open_dataset(place, labels="returned", carry=["order_id"], **how)


@pytest.fixture(scope="module")
def table_page(mixed):
    dataset = read_mixed(mixed, columns={"quantity": "category"})
    coreset = distill(dataset, fraction=0.1)
    return coreset, render(coreset, dataset=dataset)


def cells_of(text, name):
    found = re.search(rf'<tr><th scope="row">{re.escape(name)}</th>(.*?)</tr>', text)
    return re.findall(r"<td[^>]*>(.*?)</td>", found.group(1))


def test_report__of_a_table_lists_its_columns(table_page):
    _, text = table_page
    Page(text)
    section = text[
        text.index("<h2>Columns</h2>") : text.index("<h2>Some of the selected rows</h2>")
    ]
    used = "9 used (3 categories, 2 numbers, 1 boolean, 1 date, 1 text, 1 embedding)"
    assert used in section
    assert cells_of(section, "order_id") == ["", "", "", "", "", "int64", "", "carried"]
    assert cells_of(section, "returned") == ["", "", "", "", "", "string", "", "label"]
    picture, differs, chance, *rest = cells_of(section, "quantity")
    assert picture.startswith('<svg class="small"')
    assert re.fullmatch(r"\d+\.\d%", differs)
    assert re.fullmatch(r"\d+\.\d%", chance)
    assert rest == ["none", "8", "int64", "category, as asked for", "feature"]
    left = ["none", "1", "string", "", "left out: one value"]
    assert cells_of(section, "currency")[3:] == left
    assert cells_of(section, "photo")[-1].startswith("left out: bytes")
    assert cells_of(section, "address.zip")[6] == "category"
    nulls = cells_of(section, "city")[3]
    assert re.fullmatch(r"\d+\.\d%", nulls)
    assert "<details>" not in section


def test_report__of_a_table_shows_rows_as_they_are(table_page, mixed):
    coreset, text = table_page
    section = text[text.index("<h2>Some of the selected rows</h2>") :]
    numbers = re.findall(r'<th scope="col">([\d,]+)</th>', section)[:10]
    rows = [int(number.replace(",", "")) for number in numbers]
    assert len(set(rows)) == 10
    assert set(rows) <= set(coreset.indices.tolist())
    source = pq.read_table(mixed).take(rows).to_pylist()
    assert cells_of(section, "order_id") == [str(row["order_id"]) for row in source]
    assert cells_of(section, "ordered") == [str(row["ordered"]) for row in source]
    null = '<i class="soft">null</i>'
    cities = [null if row["city"] is None else escape(row["city"]) for row in source]
    assert cells_of(section, "city") == cities
    sizes = [null if row["photo"] is None else f"{len(row['photo']):,} bytes" for row in source]
    assert cells_of(section, "photo") == sizes
    assert all(
        re.fullmatch(r"\[.*, … 16 in all\]", cell) for cell in cells_of(section, "embedding")
    )
    assert all(len(cell) < 90 and cell.endswith("…") for cell in cells_of(section, "note"))
    weights = cells_of(section, "Weight")
    chosen = np.isin(coreset.indices, rows)
    assert weights == [f"{weight:,.4g}" for weight in coreset.weights[chosen].tolist()]
    assert text.count("<script") == 1
    assert "<b>" not in text


def test_report__of_many_columns_folds_them(tmp_path):
    pq.write_table(mixed_table(more=288), tmp_path / "in.parquet")
    dataset = open_dataset(tmp_path / "in.parquet", labels="returned")
    text = render(distill(dataset, size=30), dataset=dataset)
    page = Page(text)
    # without the script it scrolls in a box, and with it the first lines are seen
    assert '<div class="scroll folded"' in text
    assert 'data-first="12" data-noun="columns"' in text
    assert "<summary>The other 280 columns</summary>" in text
    assert page.tags.count("details") == 3
    assert page.tags.count("svg") > 290
    assert len(text) < 1_000_000


def test_report__axes_are_named_after_columns(mixed):
    dataset = read_mixed(mixed, features=["embedding", "amount", "quantity"])
    svg = pictures(distill(dataset, size=60), dataset)["where"]
    # a column of 16 numbers counts as one: it is not all that there is to see
    assert re.search("amount|quantity", svg)
    assert "first axis" in svg


def test_report__of_a_stored_table_tells_its_columns(mixed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = read_mixed(mixed, features=["amount", "city", "quantity"])
    distill(dataset, size=60, strategy="random").to_parquet("out.parquet")
    words = ["report", "out.parquet", "--source", str(mixed), "-o", "out.html"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    text = (tmp_path / "out.html").read_text()
    assert cells_of(text, "city")[-1] == "feature"
    assert "3 used (2 numbers, 1 category)" in text


@pytest.mark.parametrize(
    ("opened", "asked", "words"),
    [
        ({}, {}, "TARGET --labels"),
        ({"columns": {"quantity": "category"}}, {}, "TARGET --column quantity=category --labels"),
        (
            {"columns": {"amount": "leave-out"}, "features": ["amount", "city", "quantity"]},
            {},
            "TARGET --features amount,city,quantity --column amount=leave-out --labels",
        ),
        ({}, {"on_invalid": "drop"}, "--on-invalid drop"),
        ({"features": ["quantity"]}, {"on_invalid": "raise"}, "--on-invalid raise"),
    ],
)
def test_command__of_a_table_tells_how_columns_were_read(
    mixed, tmp_path, monkeypatch, opened, asked, words
):
    monkeypatch.chdir(tmp_path)
    coreset = distill(read_mixed(mixed, **opened), size=40, **asked)
    told = command(coreset)
    assert words in told
    assert ("--features" in told) == ("features" in opened)
    assert ("--on-invalid" in told) == bool(asked)
    again, request = read_by_command_line(told, monkeypatch)
    assert again.profile == coreset.provenance["input"]["profile"]
    assert list(again.carry) == ["order_id"]
    described = request.of(again).request.describe()
    assert {**described, "seed": 0} == {**coreset.provenance["parameters"], "seed": 0}


def read_by_command_line(line, monkeypatch):
    """The data set and the request that a command comes to, before anything is selected."""
    found = []

    def taken(source, _target, **arguments):
        found.append(prepared(source, arguments, read=True))
        raise SystemExit(0)

    monkeypatch.setattr("dask_distill.cli.run.run_request", taken)
    done = CliRunner().invoke(cli, shlex.split(line)[1:])
    assert done.exit_code == 0, done.output
    return found[0]


def test_command__of_a_profile_that_was_given_says_so(mixed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = read_mixed(mixed, columns={"quantity": "category"})
    again = read_mixed(mixed, profile=dataset.profile)
    coreset = distill(again, size=40)
    told = command(coreset)
    assert "TARGET --profile PROFILE --labels returned" in told
    assert "--column" not in told
    assert "PROFILE was given" in render(coreset)
    stored = json.dumps(coreset.provenance["input"]["profile"])
    (tmp_path / "profile.json").write_text(stored)
    read, _ = read_by_command_line(told.replace("PROFILE", "profile.json"), monkeypatch)
    assert read.profile == coreset.provenance["input"]["profile"]


def test_command__of_a_table_in_python_opens_it(mixed):
    dataset = read_mixed(mixed, columns={"quantity": "category"})
    coreset = distill(dataset, size=40, protect=np.arange(3))
    told = command(coreset)
    opened = f"distill(open_dataset({str(mixed)!r}, labels='returned', carry=['order_id'], "
    assert told.startswith(f"{opened}columns={{'quantity': 'category'}}), size=40")


def test_values__in_short_form():
    for values, shown in (
        (pa.array([1.23456789, None, np.nan]), ["1.23457", None, None]),
        (pa.array([2**60, -1]), [str(2**60), "-1"]),
        (pa.array([True, None]), ["True", None]),
        (pa.array([["a", None], []]), ["[a, null]", "[]"]),
        (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), ["[k: 1]"]),
        (pa.array(["a\tb\u202ec", ""]), ["a b c", ""]),
        (pa.array(["x" * 500]), ["x" * 60 + "…"]),
        (pa.array([b"ab"]), ["2 bytes"]),
        (pa.array([b"\xff"]).view(pa.string()), ["(no text)"]),
        (pa.array([10**17]).view(pa.timestamp("s")), ["(out of range)"]),
        (pa.array([1]).view(pa.timestamp("ns")), ["1970-01-01 00:00:00.000000001"]),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        (pa.array([{"a": None, "b": 1.5}, None]), ["{a: null, b: 1.5}", None]),
    ):
        assert values_shown(pa.chunked_array([values])) == shown


def test_repr__of_a_table_counts_its_columns(table_page, mixed):
    coreset, _ = table_page
    dataset = read_mixed(mixed)
    used = re.search(r"columns: (9 used \([^)]*\)), labels object, 1 carried", repr(dataset))
    assert used is not None
    assert used.group(1) in dataset._repr_html_()
    assert "n-grams" not in dataset._repr_html_()
    assert "9 used" in coreset._repr_html_()
    assert "float32" not in coreset._repr_html_()


def test_report__of_a_number_that_is_predicted_says_nothing_of_strata(tmp_path):
    rng = np.random.default_rng(0)
    table = pa.table({"area": rng.gamma(4, 20, 900), "price": rng.gamma(2, 30, 900)})
    pq.write_table(table, tmp_path / "in.parquet")
    dataset = open_dataset(tmp_path / "in.parquet", labels="price")
    coreset = distill(dataset, size=60, task="regression")
    coreset.to_parquet(tmp_path / "out.parquet")
    stored = open_coreset(tmp_path / "out.parquet")
    assert np.array_equal(stored.labels.compute(), coreset.labels.compute())
    for each in (coreset, stored):
        text = render(each)
        assert "stratum" not in text[: text.index("Everything that is recorded")]
        assert "How well each" not in text
