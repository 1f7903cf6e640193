"""What ``reduce=`` and ``--reduce`` may be, turned into a `Reduction`."""

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from dask_distill.errors import InputError
from dask_distill.spaces import reductions
from dask_distill.spaces.own import Function, Transformer
from dask_distill.spaces.reductions import Directions, Reduction, Sized

# what has a name and takes a number of features, in the order in which it is written there
_KINDS: dict[str, type[Sized]] = {
    kind.name: kind
    for kind in vars(reductions).values()
    if isinstance(kind, type) and issubclass(kind, Sized) and "name" in vars(kind)
}

# names with a number of features: what the command line has by a word
SIZED = tuple(_KINDS)


def make_reduction(reduce: Any) -> Reduction | None:
    """What ``reduce=`` asks for.

    Parameters
    ----------
    reduce : None, str, Reduction, fitted transformer or callable
        Strings as on the command line: "pca:32", "pca:32:all", "svd:32", "random-projection:64",
        "autoencoder:32".

    Raises
    ------
    InputError

    Examples
    --------
    >>> make_reduction("pca:32")
    PCA(components=32, scale='standard', rows='sample')
    """
    if reduce is None or isinstance(reduce, Reduction):
        return reduce
    if isinstance(reduce, str):
        return _named(reduce)
    if isinstance(reduce, type):
        raise InputError(
            f"reduce must be a fitted transformer or a function, got the class {reduce.__name__}; "
            "make one of it and fit it"
        )
    if hasattr(reduce, "transform"):
        return Transformer(reduce)
    if callable(reduce):
        return Function(reduce)
    raise InputError(
        'reduce must be "pca:32" or the like, a fitted transformer or a function, got '
        f"{type(reduce).__name__}"
    )


def _named(text: str) -> Reduction:
    """The reduction that a word and a number name."""
    name, count, rows = (*text.split(":", 2), "", "")[:3]
    kind = _KINDS.get(name)
    if kind is None or not count.isdecimal() or rows not in ("", "all"):
        known = ", ".join(f"{kind}:32" for kind in _KINDS)
        raise InputError(
            f"reduce must be one of {known} (any number), a fitted transformer or a function, "
            f"got {text!r}; on the command line module:function names a function"
        )
    if not rows:
        return kind(int(count))
    if not issubclass(kind, Directions):
        raise InputError(
            f"reduce={name} cannot be fitted on all rows, got {text!r}; take {name}:{count}, "
            f"or pca:{count}:all"
        )
    return kind(int(count), rows=rows)


def word_of(described: Mapping[str, Any]) -> str:
    """The word for a reduction of ours, from what its ``describe`` gives.

    Examples
    --------
    >>> word_of(reductions.PCA(32, rows="all").describe())
    'pca:32:all'
    """
    word = f"{described['name']}:{described['components']}"
    return f"{word}:all" if described.get("rows") == "all" else word


def named_function(text: str | None) -> Reduction | None:
    """What a command line's ``--reduce`` names: also ``module:function``, which is imported.

    A module in the current folder travels with the function; others must be on the workers too.

    Raises
    ------
    InputError
    """
    module_name, sign, attribute = (text or "").partition(":")
    if module_name in _KINDS or not sign or attribute.isdecimal():
        return make_reduction(text)
    try:
        found: Any = _imported(module_name)
        for name in attribute.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"--reduce must name a function that can be imported, got {text!r}: {error}; check "
            "the module's name and PYTHONPATH"
        ) from None
    return make_reduction(found)


def _imported(name: str) -> Any:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)
    module = import_module(name)
    if os.path.dirname(os.path.abspath(module.__file__ or "/")) == here:
        import cloudpickle

        cloudpickle.register_pickle_by_value(module)
    return module
