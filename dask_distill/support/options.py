"""Options of a record: what each may be stands in its field; one checker says what is wrong.

Rules between two options are no rules of a field: they stay in ``__post_init__``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from typing import Any

from dask_distill.errors import InputError

_RULES, _WAY_OUT = "rules", "way_out"


@dataclass(frozen=True)
class Interval:
    """Numbers between two limits.

    Attributes
    ----------
    low, high : float
        An infinite end that is open asks for finite numbers.
    closed : "both", "left", "right" or "neither"
        Which ends belong to it.
    kind : "number", "int" or "whole"
        "whole" takes numbers of any type without a fraction.
    noun : str
        What the numbers are, where the sentence needs a word for them.

    Examples
    --------
    >>> Interval(0, 1, closed="right").parts
    ('above 0 and at most 1',)
    """

    low: float
    high: float = math.inf
    closed: str = "both"
    kind: str = "number"
    noun: str = ""

    def holds(self, value: Any) -> bool:
        """Whether it is such a number."""
        if isinstance(value, bool) or not isinstance(value, Integral if self._ints else Real):
            return False
        number = float(value)
        if self.kind == "whole" and not number.is_integer():
            return False
        above = number >= self.low if self.closed in ("both", "left") else number > self.low
        below = number <= self.high if self.closed in ("both", "right") else number < self.high
        return above and below

    @property
    def _ints(self) -> bool:
        return self.kind == "int"

    @property
    def parts(self) -> tuple[str, ...]:
        """In words, as they follow "must be"."""
        low, high = (f"{limit:,}" for limit in (self.low, self.high))
        if self.closed == "both" and math.isfinite(self.high):
            words = f"from {low} to {high}"
        else:
            words = f"{'at least' if self.closed in ('both', 'left') else 'above'} {low}"
            if math.isfinite(self.high):
                words += f" and {'at most' if self.closed == 'right' else 'below'} {high}"
            elif self.closed in ("left", "neither"):
                words += " and finite"
        noun = self.noun or ("an int" if self._ints else "")
        return (f"{noun}{' of' if words.startswith('at') and noun else ''} {words}".strip(),)


@dataclass(frozen=True, init=False)
class OneOf:
    """One of a few words.

    Attributes
    ----------
    choices : tuple of str
    listed : bool
        Whether they are told as a list, as long ones are.

    Examples
    --------
    >>> OneOf("a", "b").parts, OneOf("a", "b", listed=True).parts
    (('"a"', '"b"'), ('one of a, b',))
    """

    choices: tuple[str, ...]
    listed: bool

    def __init__(self, *choices: str, listed: bool = False) -> None:
        object.__setattr__(self, "choices", choices)
        object.__setattr__(self, "listed", listed)

    def holds(self, value: Any) -> bool:
        """Whether it is one of them."""
        return isinstance(value, str) and value in self.choices

    @property
    def parts(self) -> tuple[str, ...]:
        """In words, as they follow "must be"."""
        if self.listed:
            return (f"one of {', '.join(self.choices)}",)
        return tuple(f'"{choice}"' for choice in self.choices)


@dataclass(frozen=True)
class Such:
    """What a function says yes to, and that in words.

    Examples
    --------
    >>> Such(callable, "a function").holds(3)
    False
    """

    holds: Callable[[Any], bool]
    words: str

    @property
    def parts(self) -> tuple[str, ...]:
        """In words, as they follow "must be"."""
        return (self.words,)


Rule = Interval | OneOf | Such
FLAG = Such(lambda value: isinstance(value, bool), "true or false")


def option(default: Any, *rules: Rule, way_out: str = "") -> Any:
    """A dataclass's field that takes what one of the rules allows.

    Parameters
    ----------
    default : object
    *rules : Interval, OneOf or Such
        As the sentence tells them. Anything will do where there are none.
    way_out : str
        What the sentence ends with.

    Returns
    -------
    dataclasses.Field
    """
    return field(default=default, metadata={_RULES: rules, _WAY_OUT: way_out})


def rules_of(kind: Any) -> dict[str, tuple[Rule, ...]]:
    """The rules of each option of a class or record, by name.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Kind:
    ...     rounds: int = option(3, Interval(0, 100))
    >>> rules_of(Kind)["rounds"][0].high
    100
    """
    return {each.name: each.metadata.get(_RULES, ()) for each in fields(kind)}


def allowed(rules: tuple[Rule, ...], value: Any) -> bool:
    """Whether some rule allows a value; anything is allowed where there are none."""
    return not rules or any(rule.holds(value) for rule in rules)


def in_words(rules: tuple[Rule, ...]) -> str:
    """What rules allow, as it follows "must be"; "" where there are none.

    Examples
    --------
    >>> in_words((OneOf("auto"), Interval(0, 1)))
    '"auto" or from 0 to 1'
    >>> in_words((Interval(0, closed="neither"), OneOf("auto")))
    'above 0 and finite, or "auto"'
    """
    if not rules:
        return ""
    *most, last = [part for rule in rules for part in rule.parts]
    if not most:
        return last
    comma = "," if any(" and " in part or "," in part for part in most) else ""
    return f"{', '.join(most)}{comma} or {last}"


def check_options(record: Any, named: str = "{}") -> None:
    """Refuse a record with an option that its rules do not allow.

    Parameters
    ----------
    record : dataclass instance
    named : str
        How its options are called.

    Raises
    ------
    InputError

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Kind:
    ...     rounds: int = option(3, Interval(0, 100), way_out="3 is the default")
    >>> check_options(Kind(rounds=-1))
    Traceback (most recent call last):
    dask_distill.errors.InputError: rounds must be from 0 to 100, got -1; 3 is the default
    """
    for each in fields(record):
        rules, way_out = each.metadata.get(_RULES, ()), each.metadata.get(_WAY_OUT, "")
        check_value(named.format(each.name), getattr(record, each.name), *rules, way_out=way_out)


def check_value(name: str, value: Any, *rules: Rule, way_out: str = "") -> None:
    """Refuse what no rule allows, in one sentence: name, rules, value, and the way out.

    Raises
    ------
    InputError
    """
    if not allowed(rules, value):
        # numbers of NumPy as people write them
        shown = repr(value) if isinstance(value, str) else str(value)
        end = f"; {way_out}" if way_out else ""
        raise InputError(f"{name} must be {in_words(rules)}, got {shown}{end}")
