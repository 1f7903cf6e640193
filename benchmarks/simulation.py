"""What a run would take at 1e8 to 1e11 rows on 100 to 10,000 workers, and what stops scaling where.

Nothing of that size is run. Bytes, rounds, tasks and memory are computed from the sizes that
`dask_distill.selection.plan` uses, seconds from costs measured once and named below. The same
sizes are held against small runs in this process, where bytes, rounds and tasks are counted.

python benchmarks/simulation.py          the table, simulation.csv and simulation.png
python benchmarks/simulation.py --check  the small runs alone
python benchmarks/simulation.py --held   the coordinator's share of ever more rows, at a fixed size,
                                         and of a tenth
"""

import argparse
import csv
import math
import os
import tempfile
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import dask
import dask.array as da
import numpy as np
import zarr
from dask._task_spec import Task

from dask_distill import distill, open_dataset
from dask_distill.conversation import converse as rounds
from dask_distill.conversation.converse import FAN_IN
from dask_distill.data.dataset import as_dataset
from dask_distill.selection.plan import make_plan
from dask_distill.selection.request import Request
from dask_distill.strategies import make_strategy

HERE = Path(__file__).parent
STRATEGIES = ("stratified", "gradient", "auto", "kcenter")
HELD = ("random", *STRATEGIES, "strata")
TENTHS = (250_000, 1_000_000, 4_000_000, 16_000_000)
ROWS = (10**8, 10**9, 10**10, 10**11)
WORKERS = (100, 1_000, 10_000)
D = 64
# CPU seconds of client and scheduler for one task, measured on one machine (design notes)
TASK_SECONDS = 1.6e-3
# of a network card of 10 Gbit/s
BYTES_A_SECOND = 1.25e9
GIBIBYTE = 2**30
# what a coordinator may be expected to have, and to be allowed to take
COORDINATOR_BYTES, COORDINATOR_SECONDS = 64 * GIBIBYTE, 600


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    strategy: str
    rows: int
    workers: int
    wanted: str
    size: int
    blocks: int
    blocks_a_worker: float
    rounds: int
    tasks: int
    bytes_moved: int
    share_moved: float
    coordinator_bytes: int
    coordinator_seconds: float
    stops: str


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--held", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.held:
        held()
        return
    check()
    if arguments.check:
        return
    cases = [compute(s, n, w, 0.01) for s in STRATEGIES for n in ROWS for w in WORKERS]
    cases += [compute(s, n, w, None) for s in STRATEGIES for n in ROWS for w in WORKERS]
    show(cases)
    with (HERE / "simulation.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(asdict(cases[0])))
        writer.writeheader()
        writer.writerows(asdict(case) for case in cases)
    draw(cases)


def compute(strategy, n, workers, fraction):
    """The sizes of one run; a fixed size of a million rows where no fraction is given."""
    request = Request(
        strategy=make_strategy(strategy),
        fraction=fraction,
        size=None if fraction else 10**6,
    )
    made = make_plan(dataset(n), request, workers=workers)
    need = request.strategy.footprint(n, D, 10, made.size)
    levels = max(1, math.ceil(round(math.log(made.blocks, FAN_IN), 9)))
    answer = need.answer_bytes_per_block
    # what a round sends through the top of the tree, and the tasks that client and scheduler see
    seconds = made.tasks * TASK_SECONDS
    seconds += need.rounds * levels * FAN_IN * answer / BYTES_A_SECOND
    seconds += need.pool(n, made.blocks) * (4 * D + 48) / BYTES_A_SECOND
    return Case(
        strategy=strategy,
        rows=n,
        workers=workers,
        wanted="1 %" if fraction else "1,000,000 rows",
        size=made.size,
        blocks=made.blocks,
        blocks_a_worker=made.blocks / workers,
        rounds=need.rounds + 1,
        tasks=made.tasks,
        bytes_moved=made.bytes_moved,
        share_moved=made.bytes_moved / made.bytes_to_gather_everything,
        coordinator_bytes=made.coordinator_bytes,
        coordinator_seconds=seconds,
        stops=stops(made, workers, seconds),
    )


def stops(made, workers, seconds):
    """What does not scale to this, in words; empty where all does."""
    reasons = []
    if made.blocks < workers:
        reasons.append(f"only {made.blocks} blocks for {workers} workers")
    if made.worker_bytes > 16 * GIBIBYTE:
        reasons.append("a block and its state above 16 GiB a worker")
    if made.coordinator_bytes - made.worker_bytes > COORDINATOR_BYTES:
        reasons.append("candidates on one coordinator above 64 GiB")
    if seconds > COORDINATOR_SECONDS:
        reasons.append("coordinator above 10 minutes")
    return "; ".join(reasons)


def dataset(n):
    # as shapes: nothing of it is ever computed
    X = da.zeros((n, D), dtype=np.float32, chunks=(math.ceil(n / 1000), D))
    y = da.zeros(n, dtype=np.int64, chunks=math.ceil(n / 1000))
    return as_dataset(X, y)


def check():
    """Counted in small runs / computed: both are counts, whatever the machine has to do."""
    print("counted / computed, in this process, d=16, 4 classes, 1 %\n")
    print(f"{'strategy':<12}{'rows':>10}{'bytes':>8}{'rounds':>8}{'tasks':>8}{'held':>8}")
    for name in STRATEGIES:
        for n in (100_000, 400_000):
            counted, made, need = small_run(name, n)
            ratios = (
                counted["bytes"] / (made.bytes_moved - made.size * 72),
                counted["rounds"] / (need.rounds + 1),
                counted["tasks"] / made.tasks,
                counted["held"] / max(1, made.coordinator_bytes - made.worker_bytes),
            )
            print(f"{name:<12}{n:>10,}" + "".join(f"{ratio:>8.2f}" for ratio in ratios))
    print()


def held(size=1_000, sizes=(250_000, 1_000_000, 4_000_000)):
    """Counted: the largest answer that comes to the coordinator, of a fixed number of rows."""
    print(f"MiB held by the coordinator, in this process, d=4, 4 classes, {size:,} rows selected\n")
    print(f"{'strategy':<12}" + "".join(f"{n:>12,}" for n in sizes))
    for name in HELD:
        runs = [small_run(name, n, d=4, size=size)[0]["held"] for n in sizes]
        print(f"{name:<12}" + "".join(f"{found / 2**20:>12.2f}" for found in runs), flush=True)
    print("\nand of a tenth of the rows\n")
    print(f"{'strategy':<12}" + "".join(f"{n:>12,}" for n in TENTHS))
    for name in ("stratified", "auto"):
        runs = [small_run(name, n, d=4, fraction=0.1)[0]["held"] for n in TENTHS]
        print(f"{name:<12}" + "".join(f"{found / 2**20:>12.2f}" for found in runs), flush=True)


def small_run(name, n, d=16, size=None, fraction=0.01):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, n)
    X = rng.normal(size=(n, d)).astype(np.float32) + 2 * rng.normal(size=(4, d))[y].astype("f4")
    asked = {"size": size} if size else {"fraction": fraction}
    request = Request(strategy=make_strategy(name), **asked)
    folder = tempfile.TemporaryDirectory()
    group = zarr.open_group(f"{folder.name}/source.zarr", mode="w")
    group.create_array("X", data=X, chunks=(n // 50, d))
    group.create_array("y", data=y, chunks=(n // 50,))
    data = open_dataset(f"{folder.name}/source.zarr")
    made = make_plan(data, request)
    need = request.strategy.footprint(n, d, 4, made.size)
    counted = {"tasks": 0, "held": 0}
    advance = rounds._advance

    def watched(strategy, turn, message, *rest):
        counted["held"] = max(counted["held"], rounds.payload_bytes(message.content))
        return advance(strategy, turn, message, *rest)

    def count(graph, keys, **options):
        # what an earlier round has left is in the graph too, but is no task
        nodes = dict(graph.__dask_graph__()).values()
        counted["tasks"] += sum(isinstance(node, Task) for node in nodes)
        return dask.threaded.get(graph, keys, **options)

    rounds._advance = watched
    try:
        with dask.config.set(scheduler=count):
            told = distill(data, strategy=name, **asked).provenance
    finally:
        rounds._advance = advance
        folder.cleanup()
    counted |= {"bytes": told["bytes_moved"], "rounds": told["rounds"]}
    return counted, made, need


def show(cases):
    for wanted in dict.fromkeys(case.wanted for case in cases):
        print(f"{wanted} of 64 features, computed\n")
        head = f"{'strategy':<12}{'rows':>8}{'workers':>9}{'blocks':>8}{'tasks':>9}{'moved':>10}"
        print(head + f"{'share':>9}{'coordinator':>13}{'seconds':>9}  stops")
        for case in cases:
            if case.wanted != wanted:
                continue
            print(
                f"{case.strategy:<12}{case.rows:>8.0e}{case.workers:>9,}{case.blocks:>8,}"
                f"{case.tasks:>9,}{case.bytes_moved / GIBIBYTE:>7.1f} G {case.share_moved:>8.2%}"
                f"{case.coordinator_bytes / GIBIBYTE:>11.1f} G{case.coordinator_seconds:>9.0f}"
                f"  {case.stops}"
            )
        print()


def draw(cases):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), constrained_layout=True)
    for name in STRATEGIES:
        for wanted, style in (("1 %", "-"), ("1,000,000 rows", "--")):
            mine = [c for c in cases if (c.strategy, c.workers, c.wanted) == (name, 1_000, wanted)]
            label = f"{name}, {wanted}"
            rows = [c.rows for c in mine]
            left.loglog(rows, [c.bytes_moved / GIBIBYTE for c in mine], style, label=label)
            held = [c.coordinator_bytes / GIBIBYTE for c in mine]
            right.loglog(rows, held, style, label=label)
    right.axhline(64, color="grey", linewidth=1)
    left.set(xlabel="rows", ylabel="GiB moved")
    right.set(xlabel="rows", ylabel="GiB on the coordinator, 1,000 workers")
    left.legend(fontsize=6)
    figure.savefig(HERE / "simulation.png", dpi=120)


if __name__ == "__main__":
    main()
