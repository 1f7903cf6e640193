"""What is searched: strategies, and those of their options that change what they are good for."""

from collections.abc import Mapping
from typing import Any

from dask_distill.errors import InputError
from dask_distill.strategies import STRATEGIES, make_strategy
from dask_distill.strategies.base import Ranges, Strategy

Parameters = dict[str, Any]

# of the rows that are asked for; fewer are tried where few rows are an aim
PARTS = (1.0, 0.75, 0.5, 0.25)


def searched() -> dict[str, Ranges]:
    """What is tried of each strategy's options: a word, or what comes first, begins.

    Examples
    --------
    >>> list(searched())[:3]
    ['auto', 'stratified', 'combined']
    """
    return {name: kind.ranges for name, kind in STRATEGIES.items() if kind.ranges is not None}


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
    return make_strategy(name, {**STRATEGIES[name].searched_with, **options})


def beginnings() -> list[Parameters]:
    """Every strategy with its defaults, `auto` first.

    Examples
    --------
    >>> beginnings()[0]["strategy"], beginnings()[0]["auto.trust"]
    ('auto', 'auto')
    """
    found = []
    for name, ranges in searched().items():
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
    name = trial.suggest_categorical("strategy", list(searched()))
    if parts:
        trial.suggest_categorical("part", list(PARTS))
    for option, values in searched()[name].items():
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
