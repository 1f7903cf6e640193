"""Calls at once or as tasks of Dask; clients, their failures and their wire; knows no rows."""
