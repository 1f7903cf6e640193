"""The house: what imports what beyond import-linter's contracts, which `make lint` holds."""

import ast
from pathlib import Path

import pytest

import dask_distill

ROOT = Path(dask_distill.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))


def name(file):
    return file.relative_to(ROOT).as_posix()


def imports_of_ours(tree):
    """Modules of ours that are imported, and whether within a function."""
    for statement in tree.body:
        for node in ast.walk(statement):
            modules = []
            if isinstance(node, ast.ImportFrom):
                modules = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            for module in modules:
                if module.startswith("dask_distill."):
                    yield module, node is not statement


@pytest.mark.parametrize("file", FILES, ids=name)
def test_imports__within_functions_are_there_for_weight_alone(file):
    """Commands import the library when they run; numba's loops are imported where it is there."""
    within = {module for module, inner in imports_of_ours(ast.parse(file.read_text())) if inner}
    if name(file).startswith("cli/") or file == ROOT / "__init__.py":
        return
    assert all(module.startswith("dask_distill.kernels._compiled") for module in within), within


@pytest.mark.parametrize("file", sorted((ROOT / "strategies/parts").glob("*.py")), ids=name)
def test_parts__know_no_strategy(file):
    known = ("dask_distill.strategies.base.", "dask_distill.strategies.parts.")
    for module, _ in imports_of_ours(ast.parse(file.read_text())):
        assert not module.startswith("dask_distill.strategies.") or module.startswith(known), module


@pytest.mark.parametrize("folder", sorted({file.parent for file in FILES}), ids=name)
def test_folders__begin_with_their_charter(folder):
    assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))


def test_coreset__is_named_by_no_floor_below():
    above = ("cli/", "pipeline.py", "coreset.py", "distiller.py", "labelling.py", "__init__.py")
    for file in FILES:
        found = [module for module, _ in imports_of_ours(ast.parse(file.read_text()))]
        if not name(file).startswith(above):
            assert not [module for module in found if module.startswith("dask_distill.coreset.")]
