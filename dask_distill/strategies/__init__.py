"""One file a strategy: what it asks, what a block answers, how answers combine, what is chosen."""

import dataclasses
import pkgutil
import typing
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from dask_distill.errors import InputError
from dask_distill.strategies.active import Active
from dask_distill.strategies.auto import Auto
from dask_distill.strategies.base import Strategy
from dask_distill.strategies.combined import Combined
from dask_distill.strategies.coverage import Coverage
from dask_distill.strategies.dbscan import DBSCAN
from dask_distill.strategies.entropy import Entropy
from dask_distill.strategies.gradient import Gradient
from dask_distill.strategies.hierarchical import Hierarchical
from dask_distill.strategies.kcenter import KCenter
from dask_distill.strategies.kmeans import KMeans
from dask_distill.strategies.kmedoids import KMedoids
from dask_distill.strategies.novelty import Novelty
from dask_distill.strategies.periods import Periods
from dask_distill.strategies.random import Random
from dask_distill.strategies.search import Search
from dask_distill.strategies.spaced import Spaced
from dask_distill.strategies.strata import Strata
from dask_distill.strategies.stratified import Stratified
from dask_distill.support.text import likely

# the order in which people read them, and a search tries them; others follow by name
_ORDER = (
    "auto",
    "random",
    "stratified",
    "combined",
    "strata",
    "gradient",
    "entropy",
    "coverage",
    "kmeans",
    "hierarchical",
    "kcenter",
    "kmedoids",
    "dbscan",
    "active",
    "novelty",
    "search",
    "periods",
    "spaced",
)


def _found() -> dict[str, type[Strategy]]:
    """The strategies that the modules of this folder hold, by name."""
    kinds: dict[str, type[Strategy]] = {}
    for module in pkgutil.iter_modules(__path__):
        for kind in vars(import_module(f"{__name__}.{module.name}")).values():
            if isinstance(kind, type) and issubclass(kind, Strategy) and "name" in vars(kind):
                kinds |= {kind.name: kind} if kind.listed else {}
    places = {name: place for place, name in enumerate(_ORDER)}
    return {name: kinds[name] for name in sorted(kinds, key=lambda n: (places.get(n, 99), n))}


STRATEGIES = _found()

__all__ = [
    "DBSCAN",
    "STRATEGIES",
    "Active",
    "Auto",
    "Combined",
    "Coverage",
    "Entropy",
    "Gradient",
    "Hierarchical",
    "KCenter",
    "KMeans",
    "KMedoids",
    "Novelty",
    "Periods",
    "Random",
    "Search",
    "Spaced",
    "Strata",
    "Strategy",
    "Stratified",
    "make_strategy",
    "strategy_named",
]


def make_strategy(strategy: "str | Strategy", options: Mapping[str, Any] | None = None) -> Strategy:
    """Turn a name and options, or a strategy object, into a strategy.

    Parameters
    ----------
    strategy : str or Strategy
    options : mapping, optional
        Values by option name; strings (from a command line) are read as the option's type.

    Raises
    ------
    InputError
        Where the name or an option is unknown, or a value does not fit.

    Examples
    --------
    >>> make_strategy("auto", {"trust": "0.2"})
    Auto(balance='proportional', trust=0.2, tilt='auto', pick='auto', proxy='ensemble', floor=0)
    """
    if isinstance(strategy, Strategy):
        if options:
            raise InputError(
                "options must come with a strategy's name, got a strategy object; set them on it"
            )
        return strategy
    kind = strategy_named(strategy)
    known = {field.name: field for field in dataclasses.fields(kind)}
    types = typing.get_type_hints(kind)
    values = {}
    for name, value in (options or {}).items():
        if name not in known:
            valid = ", ".join(known) if known else "none"
            raise InputError(
                f"option of strategy {strategy} must be one of: {valid}; got {name!r}"
                f"{likely(name, [*known])}"
            )
        values[name] = _parse(strategy, name, value, types[name])
    return kind(**values)


def strategy_named(name: Any) -> type[Strategy]:
    """The class of a strategy.

    Raises
    ------
    InputError
        With the name that may have been meant.
    """
    if not isinstance(name, str) or name not in STRATEGIES:
        names = [*STRATEGIES]
        raise InputError(
            f"strategy must be one of {', '.join(names)}, got {name!r}{likely(str(name), names)}"
        )
    return STRATEGIES[name]


def _parse(strategy: str, name: str, value: Any, kind: Any) -> Any:
    """Read a string as an option's type; refuse a value of another type."""
    if kind == float | str:
        # a number where it reads as one, or else a word that the option knows
        try:
            return _parse(strategy, name, value, float)
        except InputError:
            if not isinstance(value, str):
                raise InputError(
                    f"option {name} of strategy {strategy} must be a float or a word, got {value!r}"
                ) from None
            return value
    if kind not in (bool, int, float, str):
        if not isinstance(value, str) or str in typing.get_args(kind):
            return value
        raise InputError(
            f"option {name} of strategy {strategy} must be given from Python, got the word "
            f"{value!r}; it is no number"
        )
    if isinstance(value, str) and kind is not str:
        text = value.strip().lower()
        if kind is bool and text in ("true", "false", "1", "0", "yes", "no"):
            return text in ("true", "1", "yes")
        try:
            return int(value) if kind is int else float(value) if kind is float else _raise()
        except ValueError:
            pass
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise InputError(
        f"option {name} of strategy {strategy} must be of type {kind.__name__}, got {value!r}"
    )


def _raise() -> Any:
    raise ValueError
