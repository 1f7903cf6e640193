"""dbscan: scikit-learn's labels for any partition, no noise selected, groups in proportion."""

import dask
import dask.array as da
import numpy as np
import pytest
import sklearn.cluster
from blocks import select
from hypothesis import given, settings, strategies as st
from sklearn.datasets import make_moons

from dask_distill import InputError, distill
from dask_distill.kernels.density import guess_eps
from dask_distill.kernels.grid import CellTable, cells_of, unique_cells
from dask_distill.strategies import DBSCAN, make_strategy
from dask_distill.strategies.parts import density as dense_steps


def moons(n=3_000, noise=300, seed=0):
    rng = np.random.default_rng(seed)
    X, _ = make_moons(n - noise, noise=0.05, random_state=seed)
    X = np.concatenate([X, rng.uniform(-1.5, 2.5, size=(noise, 2))])
    return X[rng.permutation(n)]


def labels_over_blocks(X, strategy, parts):
    """Labels of all rows: those of a selection of all of them."""
    found = select(strategy, X, None, len(X), parts)
    return found.scores["cluster"].astype(int), found


def peer(X, eps, min_samples):
    return sklearn.cluster.DBSCAN(eps=eps, min_samples=min_samples).fit(X).labels_


# ---------------------------------------------------------------- kernels


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 60), st.integers(0, 999), st.floats(0.1, 3))
def test_grid__neighbours_within_eps_are_in_neighbouring_cells(axes, n, seed, eps):
    Z = np.random.default_rng(seed).normal(size=(n, axes)) * 3
    cells, counts, place = unique_cells(cells_of(Z, eps))
    assert counts.sum() == n
    table = CellTable.of(cells)
    assert np.array_equal(table.place(cells), np.arange(len(cells)))
    near = np.eye(len(cells), dtype=bool)
    for left, right in table.neighbors():
        assert not near[left, right].any()
        near[left, right] = near[right, left] = True
    distance = np.sqrt(((Z[:, None] - Z[None]) ** 2).sum(2))
    assert near[place[:, None], place[None]][distance <= eps].all()
    assert (distance[place[:, None] == place[None]] <= eps).all()
    apart = np.maximum(np.abs(cells[:, None] - cells[None]) - 1, 0)
    assert np.array_equal(near, (apart**2).sum(2) <= axes)


def test_guess_eps__separates_groups_from_noise():
    X = moons(4_000, 200)
    eps = guess_eps(X[::2], len(X), 10)
    labels = peer(X, eps, 10)
    sizes = np.bincount(labels[labels >= 0])
    assert np.sort(sizes)[-2:].sum() > 0.85 * len(X)
    assert guess_eps(np.zeros((50, 2)), 50, 5) == 1
    assert guess_eps(np.zeros((1, 2)), 1, 5) == 1


# ---------------------------------------------------------------- the labels


@pytest.mark.parametrize("parts", [1, 7, 60, [0, 10, 2_980, 10]])
@pytest.mark.parametrize(("eps", "min_samples"), [(0.05, 5), (0.1, 10), (0.15, 40), (3, 5)])
def test_dbscan__labels_are_scikit_learns(eps, min_samples, parts):
    X = moons()
    strategy = DBSCAN(eps=eps, min_samples=min_samples, scale="none")
    labels, found = labels_over_blocks(X, strategy, parts)
    expected = peer(X, eps, min_samples)
    assert np.array_equal(labels, expected)
    assert found.facts["clusters"] == expected.max() + 1
    assert found.facts["noise"] == (expected < 0).sum()


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_dbscan__labels_are_scikit_learns_for_any_data(data):
    n, d = data.draw(st.integers(1, 250)), data.draw(st.integers(1, 4))
    rng = np.random.default_rng(data.draw(st.integers(0, 9_999)))
    X = rng.normal(size=(n, d)) * rng.choice([0.1, 1, 5], size=(n, 1))
    if data.draw(st.booleans()):
        X = np.round(X, 1)
    eps = data.draw(st.floats(0.05, 2))
    min_samples = data.draw(st.integers(1, 12))
    cuts = data.draw(st.lists(st.integers(0, n), max_size=5).map(sorted))
    strategy = DBSCAN(eps=eps, min_samples=min_samples, scale="none")
    labels, _ = labels_over_blocks(X, strategy, np.diff([0, *cuts, n]))
    assert np.array_equal(labels, peer(X, eps, min_samples))


def test_dbscan__groups_that_representatives_do_not_join_are_joined_by_their_rows(monkeypatch):
    """One pair of rows alone bridges two crowded cells."""
    asked = []
    advance = dense_steps.Resolve.advance
    monkeypatch.setattr(
        dense_steps.Resolve, "advance", lambda self, a: asked.append(1) or advance(self, a)
    )
    rng = np.random.default_rng(0)
    left, right = rng.uniform(0, 0.05, (300, 2)), rng.uniform(0, 0.05, (300, 2))
    right[:, 0] += 1.07
    for bridge in (0.3, 1.0):
        X = np.concatenate([left, right, [[0.06, 0.0]], [[0.06 + bridge, 0.0]]])
        X = X[np.random.default_rng(1).permutation(len(X))]
        labels, _ = labels_over_blocks(X, DBSCAN(eps=1.0, min_samples=5, scale="none"), 5)
        assert np.array_equal(labels, peer(X, 1.0, 5))
    assert asked


def test_dbscan__many_features_are_reduced_to_principal_axes():
    rng = np.random.default_rng(0)
    plane = moons(2_000, 100)
    turn, _ = np.linalg.qr(rng.normal(size=(10, 10)))
    X = np.concatenate([plane * 10, rng.normal(size=(2_000, 8)) * 1e-3], axis=1) @ turn
    labels, _ = labels_over_blocks(X, DBSCAN(eps=1.0, axes=2, scale="none"), 9)
    expected = peer(plane, 0.1, 10)
    assert (labels < 0).sum() == pytest.approx((expected < 0).sum(), abs=3)
    assert labels.max() == expected.max()


# ---------------------------------------------------------------- the selection


@pytest.mark.parametrize("balance", ["proportional", "sqrt", "equal"])
def test_dbscan__selects_no_noise_and_groups_by_the_balance(balance):
    rng = np.random.default_rng(0)
    sizes = [2_000, 500, 125]
    middles = np.array([[0, 0], [9, 0], [0, 9]])
    X = np.concatenate(
        [rng.normal(size=(n, 2)) * 0.3 + m for n, m in zip(sizes, middles, strict=True)]
        + [rng.uniform(-20, 20, (60, 2))]
    )
    X = X[rng.permutation(len(X))]
    strategy = DBSCAN(eps=0.5, min_samples=10, scale="none", balance=balance)
    found = select(strategy, X, None, 210, 6)
    labels = peer(X, 0.5, 10)
    assert np.array_equal(found.scores["cluster"], labels[found.rows])
    assert labels[found.rows].min() == 0
    taken = np.bincount(labels[found.rows])
    rows = np.bincount(labels[labels >= 0]).astype(float)
    share = {"proportional": rows, "sqrt": np.sqrt(rows), "equal": np.ones(3)}[balance]
    np.testing.assert_allclose(taken, 210 * share / share.sum(), atol=1)
    weights = np.bincount(labels[found.rows], weights=found.weights)
    np.testing.assert_allclose(weights, rows)


def test_dbscan__noise_makes_up_the_number_where_nothing_else_is_left():
    X = np.random.default_rng(0).uniform(size=(100, 2)) * 1e6
    found = select(DBSCAN(eps=1.0, scale="none"), X, None, 40, 3)
    assert found.facts == {"eps": 1.0, "clusters": 0, "noise": 100, "noise_selected": 40}
    np.testing.assert_allclose(found.weights, 2.5)


def test_dbscan__same_bits_for_any_chunking_with_eps_from_the_data():
    X = np.concatenate([moons(9_000), np.random.default_rng(1).normal(size=(9_000, 4))], axis=1)
    results = []
    for chunks, scheduler in [(9_000, "sync"), (1_234, "threads"), (4_097, "sync")]:
        with dask.config.set(scheduler=scheduler):
            found = distill(da.from_array(X, chunks=(chunks, -1)), size=300, strategy="dbscan")
        told = repr(found.provenance["selection"])
        results.append((found.indices.tobytes(), found.weights.tobytes(), told))
    assert len(set(results)) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": 0.0}, 'eps must be above 0 and finite, or "auto", got 0.0'),
        ({"eps": "big"}, "eps must be above 0 and finite"),
        ({"eps": float("nan")}, "eps must be above 0"),
        ({"min_samples": 0}, "min_samples must be at least 1, got 0"),
        ({"axes": 5}, "axes must be from 1 to 4, got 5"),
        ({"scale": "log"}, "scale must be"),
        ({"balance": "fair"}, "balance must be"),
    ],
)
def test_dbscan__refuses_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        DBSCAN(**options)


def test_dbscan__eps_is_read_from_a_command_line():
    assert make_strategy("dbscan", {"eps": "0.5"}) == DBSCAN(eps=0.5)
    assert make_strategy("dbscan", {"eps": "auto"}) == DBSCAN()
    assert make_strategy("dbscan", {"eps": 1}) == DBSCAN(eps=1.0)
    with pytest.raises(InputError, match="eps must be above 0"):
        make_strategy("dbscan", {"eps": "much"})


def test_dbscan__refuses_what_would_gather_the_data(monkeypatch):
    X = moons()
    monkeypatch.setattr(dense_steps, "MOST_ROWS", 10)
    with pytest.raises(InputError, match=r"at most 10 rows in doubt, got .* raise eps"):
        select(DBSCAN(eps=0.05, min_samples=10), X, None, 10, 3)
    with pytest.raises(InputError, match="eps must not be so small"):
        select(DBSCAN(eps=1e-300), X, None, 10, 3)


def test_footprint__counts_the_rounds_that_are_run():
    X = moons()
    found = select(DBSCAN(), X, None, 60, 3)
    footprint = DBSCAN().footprint(3_000, 2, 1, 60)
    assert len(found.ledger.rounds) <= footprint.rounds <= len(found.ledger.rounds) + 2
