"""What is searched: strategies, and those of their options that change what they are good for."""

from collections.abc import Mapping
from typing import Any

from dask_distill.errors import InputError
from dask_distill.strategies import make_strategy
from dask_distill.strategies.base import Strategy

Parameters = dict[str, Any]

# option by its name: (low, high) of a float, or a tuple of choices, a word first; that, or the
# default of the strategy, is what the search begins with
_RANGES: dict[str, dict[str, tuple[Any, ...]]] = {
    "auto": {
        "trust": ("auto", "confident", 1.0, 0.3),
        "tilt": ("auto", 0.0, 0.25, 0.5, 1.0),
        "pick": ("auto", 0.25, 0.5, 0.75, 1.0),
        "balance": ("proportional", "sqrt"),
    },
    "stratified": {},
    "combined": {
        "trust": (0.0, 0.6),
        "pool": (2.0, 10.0),
        "criterion": ("random", "entropy", "margin"),
        "diversity": ("coverage", "medoids"),
    },
    "strata": {"drop": (0.0, 0.6), "score": ("el2n", "margin", "entropy")},
    "gradient": {"floor": (0.05, 0.9)},
    "entropy": {"floor": (0.05, 0.9)},
    "coverage": {"oversample": (2.0, 8.0), "balance": ("proportional", "sqrt")},
    "kmeans": {"scale": ("standard", "none")},
    "hierarchical": {"scale": ("standard", "none")},
}
# highest scores are a trap at small fractions: their samples alone are worth a trial
_FIXED: dict[str, Parameters] = {"gradient": {"sample": True}, "entropy": {"sample": True}}
# of the rows that are asked for; fewer are tried where few rows are an aim
PARTS = (1.0, 0.75, 0.5, 0.25)


def strategy_of(parameters: Mapping[str, Any]) -> Strategy:
    """The strategy that a trial's parameters describe.

    Examples
    --------
    >>> strategy_of({"strategy": "gradient", "gradient.floor": 0.5})
    Gradient(sample=True, floor=0.5)
    """
    name = parameters["strategy"]
    options = {
        key.partition(".")[2]: value
        for key, value in parameters.items()
        if key.startswith(f"{name}.")
    }
    return make_strategy(name, {**_FIXED.get(name, {}), **options})


def beginnings() -> list[Parameters]:
    """Every strategy with its defaults, `auto` first.

    Examples
    --------
    >>> beginnings()[0]["strategy"], beginnings()[0]["auto.trust"]
    ('auto', 'auto')
    """
    found = []
    for name, ranges in _RANGES.items():
        plain = make_strategy(name)
        options = {f"{name}.{option}": getattr(plain, option) for option in ranges}
        found.append({"strategy": name, **options})
    return found


def suggest(trial: Any, parts: bool) -> None:
    """Let an optuna trial choose: a strategy, its options, and the part of the rows if asked.

    Parameters
    ----------
    trial : optuna.trial.Trial
    parts : bool
        Whether fewer rows than asked for may be tried.
    """
    name = trial.suggest_categorical("strategy", list(_RANGES))
    if parts:
        trial.suggest_categorical("part", list(PARTS))
    for option, values in _RANGES[name].items():
        key = f"{name}.{option}"
        if isinstance(values[0], str):
            trial.suggest_categorical(key, list(values))
        else:
            low, high = values
            # steps that are wide enough to matter, and written in few digits
            trial.suggest_float(key, low, high, step=0.05)


def check_optuna() -> None:
    """Refuse to search without optuna.

    Raises
    ------
    InputError
    """
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise InputError(
            "strategy search needs optuna, which is not installed; run pip install "
            '"dask-distill[search]", or choose another strategy'
        ) from None
