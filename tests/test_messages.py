"""What messages say on the command line: options, not parameters; columns, not their numbers."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from dask_distill import InputError, distill, grow, open_dataset, strategies
from dask_distill.cli.main import cli
from dask_distill.cli.words import as_words

ROWS = 300
rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def frame():
    table = pd.DataFrame({"age": rng.normal(size=ROWS), "fee": rng.normal(size=ROWS)})
    return table.assign(y=np.arange(ROWS) % 2)


def refusal(*words):
    done = CliRunner().invoke(cli, list(words))
    assert done.exit_code == 2, done.output
    return done.stderr.strip().splitlines()[-1]


SAID = {
    'clean them, or pass on_invalid="drop"': "clean them, or pass --on-invalid drop",
    "or pass overwrite=True / --overwrite": "or pass --overwrite",
    'pass on_missing="fill" / --on-missing fill if': "pass --on-missing fill if",
    "pass labels=None to select without labels": "pass --labels '' to select without labels",
    'for a regression target pass task="regression"': (
        "for a regression target pass --task regression"
    ),
    "exactly one of both, got fraction=0.1 and size=5": (
        "exactly one of both, got --fraction 0.1 and --size 5"
    ),
    "for a part of all use fraction=": "for a part of all use --fraction",
    "pass split= / --split": "pass --split",
    'e.g. min_gap="6h"': "e.g. --option min_gap=6h",
    "or sample=True": "or --option sample=true",
    'pass reduce="pca:32" or another': "pass --reduce pca:32 or another",
    # of no option, or not ours to change
    "pass distill(proxy=)": "pass distill(proxy=)",
    "got 'data/size=3/part.parquet'": "got 'data/size=3/part.parquet'",
    "got '/data/seed=3'": "got '/data/seed=3'",
    "write class=LABEL or rare=ROWS": "write class=LABEL or rare=ROWS",
    # an option of evaluate, not of run
    "must be a number, got test_rows=3": "must be a number, got test_rows=3",
}


@pytest.mark.parametrize("text", SAID)
def test_as_words__parameters_become_options(text):
    assert strategies.STRATEGIES
    assert as_words(text, cli.commands["run"]) == SAID[text]


def test_as_words__without_a_command_nothing_but_pairs_changes():
    assert as_words("seed=3, overwrite=True / --overwrite", None) == "seed=3, --overwrite"


def test_run__names_the_column_of_a_value_that_cannot_be_used():
    frame().assign(fee=lambda table: table.fee.where(table.index != 7)).to_parquet("in.parquet")
    words = ("--size", "30", "--workers", "1", "--quiet", "--on-invalid", "raise")
    line = refusal("run", "in.parquet", "out.zarr", *words)
    assert (
        "1 NaN value, first in row 7, column 'fee'; clean them, or pass --on-invalid drop" in line
    )
    assert not Path("out.zarr").exists()


def test_distill__names_the_column_and_speaks_python():
    table = frame()
    table.loc[7, "fee"] = np.inf
    words = r"first in row 7, column 'fee'; clean them, or pass on_invalid=\"drop\""
    with pytest.raises(InputError, match=words):
        distill(table[["age", "fee"]], table.y, size=30)
    with pytest.raises(InputError, match=words):
        grow(table[["age", "fee"]], table.y, size=30)
    # arrays have no names
    with pytest.raises(InputError, match=r"row 7, column 1; clean"):
        distill(table[["age", "fee"]].to_numpy(), table.y, size=30)


def test_run__labels_of_dates_are_advised_what_can_be_done():
    frame().assign(y=pd.Timestamp("2020-01-01")).to_parquet("in.parquet")
    line = refusal("plan", "in.parquet", "--size", "30")
    assert "labels must be ints or strings" in line
    assert "astype" not in line
    assert re.search("convert them to one of these", line)


def test_plan__warnings_speak_the_command_line():
    for split in ("train", "test"):
        frame().to_parquet(f"{split}.parquet")
    done = CliRunner().invoke(cli, ["plan", "*.parquet", "--size", "30"])
    assert done.exit_code == 0
    assert "pass --split" in done.stderr
    assert "split=" not in done.stderr
    with pytest.warns(UserWarning, match="split= / --split"):
        open_dataset("*.parquet")
