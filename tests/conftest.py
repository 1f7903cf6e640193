"""Data and clusters that several tests share."""

from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest


@dataclass(frozen=True)
class Labelled:
    """Rows of a Gaussian mixture with overlapping classes, one of them rare."""

    X: np.ndarray
    y: np.ndarray

    @property
    def names(self):
        """The labels as strings that sort in another order than the numbers."""
        return np.array(["delta", "alpha", "gamma", "beta"])[self.y]


def make_labelled(n, d=6, seed=0):
    """(n, d) float32 features on different scales, and labels 0 to 3."""
    rng = np.random.default_rng(seed)
    y = rng.choice(4, n, p=[0.5, 0.3, 0.19, 0.01])
    centers = rng.normal(size=(4, d)) * 1.5
    X = (centers[y] + rng.normal(size=(n, d))) * np.geomspace(0.1, 100, d) + np.arange(d)
    wrong = rng.random(n) < 0.05
    return Labelled(X.astype(np.float32), np.where(wrong, rng.integers(0, 4, n), y))


@pytest.fixture(scope="session")
def labelled():
    return make_labelled(30_000)


@pytest.fixture
def local_client():
    """Start a client on a cluster of so many worker processes; closed at the end."""
    from contextlib import ExitStack

    from distributed import Client, LocalCluster

    with ExitStack() as stack:

        def start(workers=2, processes=True):
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=processes,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                    silence_logs=50,
                )
            )
            return stack.enter_context(Client(cluster))

        yield start


@pytest.fixture(scope="module")
def threads_for_a_cluster():
    """The cluster of the command line is started where input is already known to be good, or
    where only the data can tell; a thread in this process does as well for these."""
    from distributed import Client

    with Client(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
    ) as client:

        @contextmanager
        def connect(**places):
            yield client

        yield connect
