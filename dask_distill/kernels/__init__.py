"""Numbers only: functions and small classes on NumPy arrays; knows nothing of Dask."""
