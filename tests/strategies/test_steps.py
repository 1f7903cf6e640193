"""What questions and answers do alike: one place for it, with the same bits in any tree."""

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, strategies as st

import dask_distill
from dask_distill.data.blocks import Block
from dask_distill.kernels.nearest import nearest_center
from dask_distill.strategies.parts.held import Held, Pool, with_nearest
from dask_distill.strategies.parts.metric import MetricSpace
from dask_distill.strategies.parts.steps import AddedUp, Inquiry, SideBySide

ROOT = Path(dask_distill.__file__).parent


@dataclass(frozen=True)
class Told(SideBySide):
    array: Any
    blocks: dict
    pairs: tuple
    within: Pool
    most: int


@dataclass(frozen=True)
class Counts(AddedUp):
    counts: Any
    squared: float
    masses: Any


def told(number):
    rows = np.arange(number, number + 2)
    pool = Pool(rows, np.full((2, 3), number, np.float32), np.ones(2))
    return Told(rows, {number: rows}, ((number, "a"),), pool, 7)


@given(st.integers(1, 6), st.integers(0, 5))
def test_side_by_side__is_the_order_of_the_blocks_in_any_tree(blocks, cut):
    answers = [told(number) for number in range(blocks)]

    def united(part):
        if len(part) == 1:
            return part[0]
        at = 1 + cut % (len(part) - 1)
        return united(part[:at]).merge(united(part[at:]))

    found = united(answers)
    assert found.array.tolist() == [row for one in answers for row in one.array.tolist()]
    assert list(found.blocks) == list(range(blocks))
    assert found.pairs == tuple((number, "a") for number in range(blocks))
    assert found.within.X[:, 0].tolist() == [number for number in range(blocks) for _ in "ab"]
    assert found.within.X.dtype == np.float32
    assert found.most == 7


def test_added_up__is_field_by_field_and_none_where_one_has_none():
    one, other = Counts(np.array([1, 2]), 0.5, None), Counts(np.array([3, 4]), 1.0, np.ones(2))
    both = one.merge(other)
    assert both.counts.tolist() == [4, 6]
    assert (both.squared, both.masses) == (1.5, None)
    assert other.merge(other).masses.tolist() == [2, 2]


def test_with_nearest__step_by_step_is_at_once():
    rng = np.random.default_rng(0)
    X, centers = rng.normal(size=(50, 3)), rng.normal(size=(8, 3))
    block = Block(number=0, rows=np.arange(50), X=X, codes=None)
    space = MetricSpace("euclidean", None, None)
    held = Held.taken(block, space)
    assert Held.taken(held, space) is held
    first = with_nearest(held, centers[:5])
    found, (nearest, squared) = with_nearest(first, centers, 5), nearest_center(held.X, centers)
    assert found.nearest.tolist() == nearest.tolist()
    np.testing.assert_allclose(found.squared, squared, rtol=1e-12)
    assert with_nearest(held, centers).squared.tobytes() == squared.tobytes()
    # what was known before is as it was
    assert first.nearest.max() < 5


def test_inquiry__changes_nothing():
    state = object()
    assert Inquiry().observe(state) is state


def test_questions__that_change_nothing_are_inquiries():
    """Of a step, which is asked of a state alone: none says it again, after its docstring."""
    again = []
    for file in sorted(ROOT.rglob("*.py")):
        for kind in ast.walk(ast.parse(file.read_text())):
            for node in kind.body if isinstance(kind, ast.ClassDef) else ():
                if isinstance(node, ast.FunctionDef) and node.name == "observe":
                    said = [ast.unparse(line) for line in node.body[1:2]]
                    if len(node.args.args) == 2 and said == ["return state"]:
                        again.append(kind.name)
    assert again == ["Inquiry"]
