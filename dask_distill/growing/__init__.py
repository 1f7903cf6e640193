"""Subsets of data that grows: batches are read once, and what must be known of old rows is kept."""

from dask_distill.growing.summary import Summary
from dask_distill.growing.update import grow
from dask_distill.kernels.sieve import Sieve

__all__ = ["Sieve", "Summary", "grow"]
