"""Numbers only: plain functions on NumPy arrays that know nothing of Dask."""
