"""What options may be: told where they are declared, and refused in one form of sentence."""

import math
import re
from dataclasses import MISSING, fields, replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from dask_distill.errors import InputError
from dask_distill.spaces.reductions import PCA, SVD, Autoencoder, RandomProjection
from dask_distill.strategies import STRATEGIES, Active, Auto
from dask_distill.support.options import (
    Interval,
    OneOf,
    Such,
    allowed,
    check_value,
    in_words,
    rules_of,
)
from dask_distill.synthesis.methods import METHODS

KINDS = {
    **STRATEGIES,
    **METHODS,
    **{kind.name: kind for kind in (PCA, SVD, Autoencoder, RandomProjection)},
}
# what no rule of one option says: any text, what another module reads, and what is yes or no
FREE = {
    ("search", "metric"),
    ("search", "study"),
    ("search", "model"),
    ("spaced", "min_gap"),
    ("kcenter", "exact"),
    ("coverage", "full"),
    *((name, "sample") for name in ("gradient", "entropy", "novelty")),
}
OPTIONS = [(name, each) for name, kind in KINDS.items() for each in fields(kind)]
RULED = [(name, each.name) for name, each in OPTIONS if rules_of(KINDS[name])[each.name]]


def test_options__say_what_they_may_be():
    silent = {(name, each.name) for name, each in OPTIONS if (name, each.name) not in RULED}
    assert silent == FREE


def test_defaults__are_allowed():
    for name, each in OPTIONS:
        if each.default is not MISSING:
            assert allowed(rules_of(KINDS[name])[each.name], each.default), (name, each.name)


def test_ranges_of_a_search__lie_in_what_options_may_be():
    tried = 0
    for name, kind in STRATEGIES.items():
        for option, values in (kind.ranges or {}).items():
            rules = rules_of(kind)[option]
            assert all(allowed(rules, value) for value in values), (name, option)
            tried += bool(rules)
    assert tried > 8


@pytest.mark.parametrize(("name", "option"), RULED)
def test_bad_options__are_told_by_name_rule_and_value(name, option):
    kind = KINDS[name]
    others = {"components": 2, "min_gap": 1.0}
    known = {each.name for each in fields(kind)}
    others = {key: value for key, value in others.items() if key in known}
    for bad in ("no such word", math.nan, -1e9, object()):
        with pytest.raises(InputError, match=option) as caught:
            kind(**{**others, option: bad})
        text = str(caught.value)
        assert "\n" not in text
        assert f"must be {in_words(rules_of(kind)[option])}, got {bad!r}" in text


def test_options__are_checked_where_a_record_is_changed_too():
    with pytest.raises(InputError, match="floor must be at least 0, got -1; 0 is the default"):
        replace(Auto(), floor=-1)
    with pytest.raises(InputError, match="trust must be at least 0, got -1; 1 is the default"):
        replace(Active(), trust=-1)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ((Interval(1, 20),), "from 1 to 20"),
        ((Interval(1, 10_000),), "from 1 to 10,000"),
        ((Interval(0),), "at least 0"),
        ((Interval(0, closed="left"),), "at least 0 and finite"),
        ((Interval(0, closed="neither"),), "above 0 and finite"),
        ((Interval(0, 1, closed="right"),), "above 0 and at most 1"),
        ((Interval(0, 1, closed="left"),), "at least 0 and below 1"),
        ((Interval(0, 1, closed="neither"),), "above 0 and below 1"),
        ((Interval(1, kind="int"),), "an int of at least 1"),
        ((Interval(1, 9, kind="int"),), "an int from 1 to 9"),
        ((Interval(0, noun="a number"),), "a number of at least 0"),
        ((OneOf("a", "b", "c"),), '"a", "b" or "c"'),
        ((OneOf("a", "b", listed=True), Interval(1, 9)), "one of a, b, or from 1 to 9"),
        ((OneOf("auto"), Interval(0, 1)), '"auto" or from 0 to 1'),
        ((Interval(0, closed="neither"), OneOf("auto")), 'above 0 and finite, or "auto"'),
        ((Such(callable, "a function"),), "a function"),
    ],
)
def test_words__are_those_of_a_sentence(rules, words):
    assert in_words(rules) == words
    with pytest.raises(InputError, match=f"x must be {re.escape(words)}, got None; y"):
        check_value("x", None, *rules, way_out="y")


@given(
    low=st.integers(-5, 5),
    width=st.integers(1, 5),
    closed=st.sampled_from(["both", "left", "right", "neither"]),
    value=st.one_of(st.integers(-12, 12), st.floats(-12, 12), st.just(math.inf)),
)
def test_interval__holds_what_lies_between_its_ends(low, width, closed, value):
    rule = Interval(low, low + width, closed=closed)
    inside = low < value < low + width
    at_left = value == low and closed in ("both", "left")
    at_right = value == low + width and closed in ("both", "right")
    assert rule.holds(value) == (inside or at_left or at_right)
    assert not rule.holds(True)


def test_kinds__of_numbers():
    assert Interval(1, 9, kind="int").holds(np.int64(3))
    assert not Interval(1, 9, kind="int").holds(3.0)
    assert Interval(1, 9, kind="whole").holds(3.0)
    assert not Interval(1, 9, kind="whole").holds(3.5)
    assert Interval(0, 9).holds(np.float32(0.5))
    assert not Interval(0, closed="left").holds(math.inf)
    assert Interval(0).holds(math.inf)
