"""The documentation: what its pages show is what happens, and everything public is in it."""

import contextlib
import doctest
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from unittest import SkipTest

import pytest
from PIL import Image
from sybil import Sybil
from sybil.evaluators.doctest import NUMBER
from sybil.parsers.myst import CodeBlockParser, PythonCodeBlockParser, SkipParser
from threadpoolctl import threadpool_limits

import dask_distill
from dask_distill.cli.main import cli
from dask_distill.strategies import STRATEGIES

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
_PHASES = ("load", "open", "start", "survey", "decide", "select", "collect", "write", "stop")
# a number that the machine decides, and any other one
_VARIES = re.compile(
    r"\b[\d.]+ (?:s|B|KiB|MiB|GiB)\b|\b[0-9a-f]{32}\b"
    # what each phase of a run took
    + "".join(rf"|(?<=\b{phase} )[\d.]+(?=[,)])" for phase in _PHASES)
    # the column of seconds, behind one of shares
    + r"|(?<=% )[\d.]+(?![\d.]*%)"
)
_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?")
# which of the verdicts it is may hang by a thread
_VERDICT = re.compile(r"(?:Random does|The subset is worth it) .*?(?= Training takes)")
# proxies are fitted by BLAS, whose last bits differ between kinds of processors
_TOLERANCE = 0.02


def run_console(example):
    """Run the commands of a console block, and compare what they print."""
    blocks = re.split(r"^\$ ", example.parsed, flags=re.MULTILINE)
    assert not blocks[0].strip(), "a console block begins with '$ '"
    for block in blocks[1:]:
        command, _, printed = re.sub(r"\\\n\s*", "", block).partition("\n")
        name, *arguments = shlex.split(command)
        assert name == "dask-distill", f"only dask-distill is run, got {command!r}"
        done = subprocess.run(
            [sys.executable, "-c", "from dask_distill.cli import main; main()", *arguments],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            env=os.environ | {"COLUMNS": "100"},
        )
        found = done.stdout if done.returncode == 0 else done.stderr
        found = found.replace(os.getcwd(), "/data")
        if not alike(printed, found):
            return f"$ {command}\nexpected:\n{printed}\ngot:\n{found}\n{done.stderr}"
    return None


def alike(printed, found):
    """Whether two texts are the same but for the machine's numbers; others may differ a little."""
    printed, found = (" ".join(text.replace("−", "-").split()) for text in (printed, found))
    printed, found = (_VARIES.sub("#", _VERDICT.sub("#", text)) for text in (printed, found))
    if _NUMBER.sub("0", printed) != _NUMBER.sub("0", found):
        return False
    pairs = zip(_NUMBER.findall(printed), _NUMBER.findall(found), strict=True)
    numbers = [(float(a.replace(",", "")), float(b.replace(",", ""))) for a, b in pairs]
    return all(abs(a - b) <= max(1, _TOLERANCE * abs(a)) for a, b in numbers)


PARSERS = (
    PythonCodeBlockParser(
        doctest_optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | NUMBER
    ),
    CodeBlockParser(language="console", evaluator=run_console),
    SkipParser(),
)
PAGES = [
    page
    for page in sorted([*DOCS.rglob("*.md"), ROOT / "README.md"])
    if "_build" not in page.parts
    and re.search(r"^```(python|console)$", page.read_text("utf-8"), flags=re.MULTILINE)
]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page__shows_what_happens(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # threads of OpenMP that wait for a core spin
    for example in Sybil(PARSERS).parse(page).examples():
        with contextlib.suppress(SkipTest), threadpool_limits(1):
            example.evaluate()


@pytest.mark.parametrize(
    ("printed", "found", "same"),
    [
        ("time 13.6 s", "time 2 s", True),
        ("10,000 rows", "10,100 rows", True),
        ("10,000 rows", "12,000 rows", False),
        ("−0.5 points (−1.4 to +0.9)", "−0.4 points (−1.4 to +0.9)", True),
        ("−3.5 points", "+3.5 points", False),
        ("10 rows", "10 columns", False),
        ("24.7%   1.4\nall", "24.7%   9.4\nall", True),
        ("24.7%  31.4%", "24.7%  39.4%", False),
        ("one line", "one line\nmore", False),
    ],
)
def test_console__differences_are_seen(printed, found, same):
    assert alike(printed, found) is same


def test_pictures__show_what_their_page_computes(tmp_path):
    """Those that are committed were drawn from the same numbers as those drawn now."""
    drawing = runpy.run_path(str(DOCS / "pictures.py"))
    with contextlib.redirect_stdout(None), threadpool_limits(1):
        drawing["draw_all"](tmp_path)
    drawn = sorted(tmp_path.iterdir())
    committed = DOCS / "guides" / "pictures"
    assert [picture.name for picture in drawn] == sorted(file.name for file in committed.iterdir())
    for picture in drawn:
        digests = [
            Image.open(file).text["Drawn-from"] for file in (picture, committed / picture.name)
        ]
        assert digests[0] == digests[1], f"{picture.name}: run python docs/pictures.py"
    shown = {
        name
        for page in PAGES
        for name in re.findall(r"\(pictures/([\w-]+\.png)\)", page.read_text("utf-8"))
    }
    assert shown == {picture.name for picture in drawn}


def test_reference__lists_every_public_name():
    text = (DOCS / "reference" / "python.rst").read_text("utf-8")
    listed = set(re.findall(r"^   ([\w.]+)$", text, flags=re.MULTILINE))
    assert {name for name in dask_distill.__all__ if not name.startswith("__")} <= listed


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_strategy__is_in_the_reference_and_in_the_guide(name):
    reference = (DOCS / "reference" / "strategies.rst").read_text("utf-8")
    assert re.search(rf"^   {STRATEGIES[name].__name__}$", reference, flags=re.MULTILINE)
    assert f"`{name}`" in (DOCS / "guides" / "choosing-a-strategy.md").read_text("utf-8")


def test_guides__are_linked_by_every_command():
    """Commands that the command line has are named in README or guides."""
    texts = [page.read_text("utf-8") for page in (*DOCS.rglob("*.md"), ROOT / "README.md")]
    for name in cli.commands:
        assert any(f"dask-distill {name}" in text for text in texts), name
