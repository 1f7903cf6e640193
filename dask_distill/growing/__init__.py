"""Subsets of data that grows: what must be known of old rows is kept; they are not read again."""

from dask_distill.kernels.sieve import Sieve
from dask_distill.subset.summary import Summary

__all__ = ["Sieve", "Summary"]
