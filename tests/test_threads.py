"""One BLAS thread, whoever asks, in whatever order they come and go."""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.linalg  # noqa: F401  (brings a BLAS of its own)
import sklearn.utils._openmp_helpers  # noqa: F401
import threadpoolctl

from dask_distill.runtime.silence import without_warnings
from dask_distill.runtime.threads import single_threaded


def counts(api):
    return {i["num_threads"] for i in threadpoolctl.threadpool_info() if i["user_api"] == api}


@pytest.fixture(autouse=True)
def two_threads():
    """As on a machine of two cores, whatever this one has."""
    with single_threaded():
        pass
    with threadpoolctl.threadpool_limits(2):
        before = counts("blas")
    if before != {2}:
        pytest.skip("BLAS has one thread here")


def test_single_threaded__limits_and_restores():
    before = counts("blas"), counts("openmp")
    with single_threaded():
        assert counts("blas") == counts("openmp") == {1}
    assert (counts("blas"), counts("openmp")) == before


def test_single_threaded__holds_in_every_thread_of_a_pool():
    """Threads that live on, and come in one after the other: the second must be limited too."""
    barrier = threading.Barrier(2)

    def work(_):
        barrier.wait()
        with single_threaded():
            return counts("blas"), counts("openmp")

    with ThreadPoolExecutor(2) as pool:
        for _ in range(20):
            assert list(pool.map(work, range(2))) == [({1}, {1})] * 2


def test_single_threaded__holds_until_the_last_one_leaves():
    entered, leave = threading.Event(), threading.Event()

    def stay():
        with single_threaded():
            entered.set()
            leave.wait()

    before = counts("blas")
    other = threading.Thread(target=stay)
    other.start()
    entered.wait()
    with single_threaded():
        leave.set()
        other.join()
        assert counts("blas") == {1}
    assert counts("blas") == before


def test_single_threaded__holds_although_another_thread_has_a_limit_of_its_own():
    with threadpoolctl.threadpool_limits(2), ThreadPoolExecutor(1) as pool:

        def work():
            with single_threaded():
                return counts("blas")

        assert pool.submit(work).result() == {1}


def test_single_threaded__products_have_the_same_bits_in_any_thread():
    A = np.random.default_rng(0).normal(size=(700, 603)).astype(np.float32)

    def product():
        with single_threaded():
            return (A @ A[:311].T).tobytes()

    with ThreadPoolExecutor(4) as pool:
        found = {future.result() for future in [pool.submit(product) for _ in range(16)]}
    assert found == {product()}


def test_without_warnings__holds_until_the_last_thread_leaves():
    """A search selects in one thread and trains in another: each had undone the other's filters."""
    before = list(warnings.filters)
    first_in, second_in, first_out = (threading.Event() for _ in range(3))
    heard = []

    def first():
        with without_warnings():
            first_in.set()
            second_in.wait(10)
        first_out.set()

    def second():
        first_in.wait(10)
        with without_warnings():
            second_in.set()
            first_out.wait(10)
            try:
                warnings.warn("not converged", UserWarning, stacklevel=1)
            except UserWarning as warning:
                heard.append(warning)

    threads = [threading.Thread(target=each) for each in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not heard
    assert list(warnings.filters) == before
