"""Where a run takes place: what is refused, and what is asked of a batch system."""

import importlib.util

import pytest

from dask_distill.cluster import CLUSTERS, connect
from dask_distill.errors import InputError


def refused(**arguments):
    with pytest.raises(InputError) as caught, connect(**arguments):
        pass
    return str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"cluster": "cloud"}, "cluster must be one of local, slurm, kubernetes, got 'cloud'"),
        ({"cluster": "slurm", "workers": 0}, "workers must be at least 1, got 0"),
        (
            {"cluster": "slurm", "scheduler_address": "tcp://127.0.0.1:1"},
            "at most one of cluster, scheduler_address and scheduler_file may be given, got 2; "
            "cluster is for a cluster that is started for the run",
        ),
        (
            {"cluster": "local", "scheduler_file": "s.json"},
            "at most one of cluster, scheduler_address and scheduler_file may be given, got 2; "
            "cluster is for a cluster that is started for the run",
        ),
        (
            {"workers": 1, "scheduler_file": "s.json"},
            "at most one of workers, scheduler_address and scheduler_file may be given, got 2; "
            "workers is for a cluster that is started here",
        ),
    ],
)
def test_connect__refuses_what_contradicts_itself(arguments, sentence):
    assert refused(**arguments) == sentence


@pytest.mark.parametrize("cluster", ["slurm", "kubernetes"])
def test_connect__names_the_extra_that_is_missing(cluster, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    sentence = refused(cluster=cluster)
    assert f"cluster '{cluster}' needs dask-" in sentence
    assert f'which is not installed; pip install "dask-distill[{cluster}]"' in sentence


def test_options__offer_the_clusters_that_there_are():
    from dask_distill.cli import cli

    for command in ("run", "evaluate"):
        option = next(o for o in cli.commands[command].params if o.name == "cluster")
        assert tuple(option.type.choices) == CLUSTERS
