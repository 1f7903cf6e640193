"""Subsets of data that grows: what must be known of old rows is kept; they are not read again."""

from dask_distill.growing.summary import Summary
from dask_distill.growing.update import grow
from dask_distill.kernels.sieve import Sieve

__all__ = ["Sieve", "Summary", "grow"]
