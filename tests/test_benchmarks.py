"""Benchmarks are run by hand; that they still find what they use is looked at here."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent.parent / "benchmarks"
SCRIPTS = sorted([*HERE.glob("*.py"), *HERE.glob("quality/*.py")])
# others' packages that a benchmark compares with, and that need not be there
PEERS = ("fpsample", "faiss", "apricot", "coreax", "kmedoids", "cleanlab", "skrub", "semhash")
LOAD = """
import runpy, sys
sys.path.insert(0, sys.argv[1].rpartition("/")[0])
for script in sys.argv[1:]:
    try:
        runpy.run_path(script, run_name="loaded")
    except ModuleNotFoundError as missing:
        if missing.name.partition(".")[0] not in {peers}:
            raise
"""


@pytest.mark.parametrize(
    "folder", sorted({script.parent for script in SCRIPTS}), ids=lambda folder: folder.name
)
def test_benchmarks__find_all_that_they_import(folder):
    mine = [str(script) for script in SCRIPTS if script.parent == folder]
    assert mine
    done = subprocess.run(
        [sys.executable, "-c", LOAD.format(peers=PEERS), *mine],
        cwd=folder.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
