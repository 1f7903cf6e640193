"""What is projected, and what is refused by it."""

import numpy as np
import pytest

from dask_distill.data.dataset import as_dataset
from dask_distill.errors import InputError
from dask_distill.selection.plan import make_plan, refuse_unfit
from dask_distill.selection.request import Request
from dask_distill.strategies import make_strategy

GiB = 2**30


@pytest.fixture
def plan():
    data = as_dataset(np.zeros((5000, 4), "f4"), np.arange(5000) % 2)
    return make_plan(data, Request(make_strategy("auto"), size=100))


def test_refuse_unfit__says_what_is_needed_and_what_is_there(plan):
    with pytest.raises(InputError, match=r"needs .* GiB on a worker and 0.1 GiB are allowed; add"):
        refuse_unfit(plan, [(GiB, 1), (GiB // 10, 1)])


def test_refuse_unfit__threads_share_a_workers_memory(plan):
    limit = plan.coordinator_bytes + 2**20
    refuse_unfit(plan, [(limit, 1)])
    with pytest.raises(InputError, match="on a worker with 5000 threads"):
        refuse_unfit(plan, [(limit, 5000)])


def test_refuse_unfit__without_limits_nothing_is_refused(plan):
    refuse_unfit(plan, [])
    refuse_unfit(plan, [(0, 4)])
