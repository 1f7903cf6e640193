"""Where a run takes place: a cluster that is started, or one that is there."""

# where a cluster can be started, and the library and the extra that it needs; module `NAME` of this
# folder has `NAME_cluster`, which starts it, and is imported where it is asked for
CLUSTERS: dict[str, tuple[str, str | None]] = {
    "local": ("distributed", None),
    "slurm": ("dask_jobqueue", "slurm"),
    "kubernetes": ("dask_kubernetes", "kubernetes"),
}
