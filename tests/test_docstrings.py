"""Docstrings: every example runs, and every public name says what it takes."""

import doctest
import importlib
import importlib.util
import inspect
import pkgutil
import re

import pytest

import dask_distill

MODULES = [
    "dask_distill",
    *(found.name for found in pkgutil.walk_packages(dask_distill.__path__, "dask_distill.")),
]
NUMBA = importlib.util.find_spec("numba") is not None
TORCH = importlib.util.find_spec("torch") is not None
NETWORKS = [f"dask_distill.synthesis.{n}" for n in ("condensation", "diffusion", "gan", "networks")]
PUBLIC = [name for name in dask_distill.__all__ if not name.startswith("__")]


def load(name):
    if name.rpartition(".")[2].startswith("_compiled") and not NUMBA:
        pytest.skip("numba is not installed")
    if name in NETWORKS and not TORCH:
        pytest.skip("PyTorch is not installed")
    return importlib.import_module(name)


@pytest.mark.parametrize("name", MODULES)
def test_examples__run_and_print_what_they_say(name, tmp_path, monkeypatch):
    module = load(name)
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_modules__say_what_they_are_for(name):
    assert load(name).__doc__.strip()


def sections(documented):
    """Names of the numpydoc sections."""
    return re.findall(r"^(\w[\w ]*)\n-{3,}$", inspect.getdoc(documented), flags=re.MULTILINE)


def parameters(function):
    return [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name not in ("self", "cls")
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names__have_a_docstring_with_their_parameters(name):
    thing = getattr(dask_distill, name)
    text = inspect.getdoc(thing)
    assert text
    assert len(text.splitlines()[0]) <= 100
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return
    names = parameters(thing)
    if not names:
        return
    wanted = {"Parameters", "Attributes"} if inspect.isclass(thing) else {"Parameters"}
    assert wanted & set(sections(thing)), f"{name} takes {names}"
    # a class names what its users read; how it is made may be its own affair
    for parameter in () if inspect.isclass(thing) else names:
        assert re.search(rf"^[\w, ]*\b{parameter}\b[\w, ]*( :.*)?$", text, flags=re.MULTILINE), (
            f"{name} does not describe {parameter}"
        )
