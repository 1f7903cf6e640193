#!/usr/bin/env bash
# Where dask.array.map_blocks and dask.dataframe meet.
#
# map_blocks takes a DataFrame as meta, and then gives a Dask DataFrame. Called so, it is not lazy in
# the way that it is for arrays: the whole graph is made and hashed, task by task, before it returns,
# about a millisecond for each chunk. With ten thousand chunks the call takes ten seconds or more; for an
# array it takes less than a millisecond, whatever their number.
#
# Expected: a call that adds one layer to the graph costs the same for any number of chunks.
# Seen with dask 2026.8.0, pandas 3.1.1, pyarrow 26.0.1 on Python 3.11 (output below, of CPU
# seconds). Way out: to_delayed(optimize_graph=False), a delayed function for each block, and
# dask.dataframe.from_delayed(..., verify_meta=False).
#
#   500 chunks: to frames more than 100 times as long as to arrays
#   4 times as many chunks, to frames: between 2 and 8 times as long
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  dask==2026.8.0 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6
cat > "$folder/see.py" <<'PYTHON'
import time

import dask.array as da
import dask.dataframe
import numpy as np
import pandas as pd


def seconds(chunks, meta):
    x = da.zeros((10 * chunks, 2), chunks=(10, 2))
    started = time.process_time()
    da.map_blocks(pd.DataFrame, x, meta=meta)
    return time.process_time() - started


frame = pd.DataFrame({0: np.empty(0), 1: np.empty(0)})
seconds(10, frame)
array = seconds(500, np.empty((0, 2)))
few, many = seconds(500, frame), seconds(2000, frame)
more = "more than 100 times" if few > 100 * array else f"{few / array:.0f} times"
times = "between 2 and 8 times" if 2 < many / few < 8 else f"{many / few:.1f} times"
print(f"500 chunks: to frames {more} as long as to arrays")
print(f"4 times as many chunks, to frames: {times} as long")
PYTHON
seen=$("$folder/venv/bin/python" "$folder/see.py")
echo "$seen"
[ "$seen" = "500 chunks: to frames more than 100 times as long as to arrays
4 times as many chunks, to frames: between 2 and 8 times as long" ]
