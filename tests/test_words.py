"""Words: a class's name means one thing, and what is said of the code holds."""

import ast
import re
import sys
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

import dask_distill

PACKAGE = Path(dask_distill.__file__).parent
ROOT = PACKAGE.parent
FILES = sorted(PACKAGE.rglob("*.py"))
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


@cache
def tree(file):
    return ast.parse(file.read_text("utf-8"))


def classes(file):
    """Names of a module's public classes."""
    for node in tree(file).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name


def test_public_classes__have_their_names_to_themselves():
    counted = Counter(name for file in FILES for name in classes(file))
    assert not [name for name, count in counted.items() if count > 1]


# ---------------------------------------------------------------- the glossary

# every public class of these is a word of a conversation
CENTRAL = (
    *("conversation/protocol.py", "conversation/turns.py", "conversation/journal.py"),
    *("conversation/ledger.py", "conversation/run.py", "data/blocks.py", "survey/schema.py"),
    *("selection/request.py", "selection/ground.py", "selection/choose.py", "strategies/base.py"),
    *("strategies/parts/stepwise.py", "subset/subset.py", "coreset.py", "runtime/runner.py"),
    "proxy/criteria.py",
)


def glossary():
    """Terms, and the classes that each names."""
    text = (ROOT / "docs/about/glossary.md").read_text("utf-8")
    body = text.partition("```{glossary}\n")[2].partition("\n```")[0]
    found = {}
    for entry in body.split("\n\n"):
        term, _, words = entry.partition("\n")
        named = re.search(r"In the code: ([^.]+)\.$", words)
        found[term] = re.findall(r"`(\w+)`", named[1]) if named else []
        assert term not in list(found)[:-1], term
        assert bool(named) == ("In the code:" in words), term
    return found


def test_glossary__names_classes_that_there_are_once_each():
    known = {name for file in FILES for name in classes(file)}
    named = Counter(name for names in glossary().values() for name in names)
    assert set(named) <= known
    assert max(named.values()) == 1


@pytest.mark.parametrize("file", CENTRAL)
def test_glossary__has_every_class_of_a_conversation(file):
    named = {name for names in glossary().values() for name in names}
    assert set(classes(PACKAGE / file)) <= named


def test_glossary__is_in_order():
    terms = list(glossary())
    assert terms == sorted(terms, key=str.lower)


# ---------------------------------------------------------------- what modules say of themselves

# words of a docstring, and packages that a module that says so does not import, or all it does
WITHOUT = {
    r"(no|nothing of|nor) Dask\b": {"dask", "dask_ml", "distributed"},
    r"no PyTorch": {"torch"},
    r"[Nn]either files nor": {"fsspec"},
}
ALONE = {
    r"Knows NumPy and SciPy\.": {"numpy", "scipy"},
    r"Knows NumPy, SciPy and scikit-learn\.": {"numpy", "scipy", "sklearn"},
}
# what is there for all that is imported, or imports nothing itself
LIGHT = {"click", "dask_distill"}


def imported(file, *, top=False):
    """Packages that a module imports; at the top alone, or anywhere in it."""
    found = set()
    for node in tree(file).body if top else ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    return found - sys.stdlib_module_names


def said(file):
    return " ".join((ast.get_docstring(tree(file)) or "").split())


def test_modules__know_nothing_of_what_they_say_they_do_not_know():
    checked = 0
    for file in FILES:
        for words, packages in WITHOUT.items():
            if re.search(words, said(file)):
                checked += 1
                # a charter is its folder's
                mine = file.parent.rglob("*.py") if file.name == "__init__.py" else [file]
                assert not [one for one in mine if imported(one) & packages], file
        for words, packages in ALONE.items():
            if re.search(words, said(file)):
                checked += 1
                assert imported(file) <= packages | {"dask_distill"}, file
    assert checked >= 10


def test_modules__that_say_so_import_nothing_heavy():
    checked = [file for file in FILES if re.search(r"nothing heavy", said(file), re.IGNORECASE)]
    assert len(checked) >= 5
    for file in checked:
        assert imported(file, top=True) <= LIGHT, file


def test_requests__are_made_where_users_come_in():
    made = {
        file.relative_to(PACKAGE).as_posix()
        for file in FILES
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Request"
    }
    assert made == {
        "cli/request.py",
        "growing/check.py",
        "pipeline.py",
        "scoring.py",
        "search/run.py",
    }


# ---------------------------------------------------------------- what CONTRIBUTING says


def table(title):
    """Cells of the lines of the table under a title, without its head."""
    text = CONTRIBUTING.partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_floors__are_those_that_are_held():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (floors,) = [
        contract["layers"]
        for contract in settings["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    ]
    held = [[name.strip() for name in floor.split("|")] for floor in floors]
    told = [
        [name.removesuffix(".py").removesuffix("/") for name in re.findall(r"`([\w/.]+)`", names)]
        for names, _ in table("How the code is laid out")[1:]
    ]
    assert [sorted(floor) for floor in told] == [sorted(floor) for floor in held]


PLACES = [line for line in table("Where to begin") if line[1].startswith("`")]


def test_places__are_ten_and_more():
    assert len({file for _, file, _ in PLACES}) == len(PLACES) >= 10


@pytest.mark.parametrize(("what", "file", "name"), PLACES)
def test_place__is_there_and_has_what_it_is_named_for(what, file, name):
    path = ROOT / re.search(r"`([^`]+)`", file)[1]
    names = set()
    for node in tree(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    assert name.strip("`") in names, what
