"""What a client does before anything runs: opening 10,000 stored chunks, and building each round.

    python benchmarks/graph.py [--chunks 10000]

Nothing is computed: a runner takes the graphs as they are built, as the scheduler would.
"""

import argparse
import tempfile
import time
from pathlib import Path

import dask
import numpy as np
import zarr
from dask.delayed import delayed

from dask_distill import open_dataset
from dask_distill.conversation.converse import converse
from dask_distill.conversation.run import Run
from dask_distill.runtime.dask_runner import DaskRunner
from dask_distill.survey.reading import raw_blocks
from dask_distill.survey.survey import Survey


class Built(Exception):  # noqa: N818
    """A round is built, and shall not run."""


class Builder(DaskRunner):
    """Stops where the first round would be sent."""

    def settle(self, watched, kept):
        (optimised,) = dask.optimize([*watched, *kept])
        self.tasks = len(dict(delayed(optimised).dask))
        raise Built


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--chunks", type=int, default=10_000)
    options = parser.parse_args()
    rows = 1_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "in.zarr"
        group = zarr.open_group(path, mode="w")
        # chunks that are not stored are read as zeros: what they hold does not matter here
        for name, shape in (("X", (rows * options.chunks, 64)), ("y", (rows * options.chunks,))):
            group.create_array(
                name,
                shape=shape,
                chunks=(rows, *shape[1:]),
                dtype=np.float32 if name == "X" else int,
            )
        started = time.perf_counter()
        dataset = open_dataset(path)
        opening = time.perf_counter() - started
        runner = Builder()
        started = time.perf_counter()
        blocks = raw_blocks(dataset, runner)
        question = Survey().ask(dataset.n, dataset.d, labelled=True, seed=0)
        try:
            converse(Survey(), blocks, question, Run(runner), phase="survey")
        except Built:
            building = time.perf_counter() - started
    print(
        f"{options.chunks:,} chunks of {rows:,} x 64 in zarr: opening {opening:.2f} s, building "
        f"the first round {building:.2f} s, {len(blocks):,} blocks, {runner.tasks:,} tasks; the "
        "aim was 2 s"
    )


if __name__ == "__main__":
    main()
