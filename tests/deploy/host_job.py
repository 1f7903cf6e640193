"""Runs jobs on a cluster, one for each line of JSON on stdin, and tells of them on stdout."""

import json
import sys
import time

from distributed import Client

from dask_distill import distill, open_dataset


def main(address, workers):
    with Client(address, timeout=60) as client:
        client.wait_for_workers(int(workers), timeout=60)
        tell(event="ready")
        for line in sys.stdin:
            tell(event="done", **run(**json.loads(line)))


def run(source, target, **request):
    started = time.monotonic()
    coreset = distill(open_dataset(source, labels="y"), **request, progress=Told())
    receipt = coreset.to_zarr(target)
    return {
        "seconds": time.monotonic() - started,
        "digest": receipt["digest"],
        "bytes_written": receipt["bytes_written"],
        "bytes_of_all": coreset.provenance["bytes_to_gather_everything"],
        "selecting": coreset.provenance["bytes_on_the_wire"],
        "writing": receipt["bytes_on_the_wire"],
    }


class Told:
    """Progress as lines on stdout."""

    def start(self, phase, total):
        tell(event="phase", phase=phase)

    def advance(self):
        return

    def finish(self):
        return


def tell(**fact):
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
