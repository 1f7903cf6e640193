#!/usr/bin/env bash
# Where dask.config.set and the first import of distributed meet.
#
# A setting of distributed's that is set for a while with `dask.config.set(...)` before distributed
# was imported, which is then imported within: on leaving, not that setting alone is undone, but the
# whole section "distributed" of the configuration is gone, its defaults too. They are read at the
# import, which does not come again: whatever asks for one of them later in the process fails with
# a KeyError. Imported before, all is as expected.
#
# Expected of a context that sets one key: afterwards that key is as it was, and nothing else changes.
# Seen with dask and distributed 2026.8.0 on Python 3.11 (output below). Way out: import distributed
# before its settings are set for a while.
#
#   set, then import:    during True, after: KeyError 'distributed'
#   import, then set:    during True, after: 30s
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check dask==2026.8.0 distributed==2026.8.0
cat > "$folder/see.py" <<'PYTHON'
import sys

import dask

if sys.argv[1] == "before":
    import distributed
with dask.config.set({"distributed.scheduler.allowed-failures": 9}):
    import distributed
    during = dask.config.get("distributed.comm.timeouts.connect") is not None
try:
    after = dask.config.get("distributed.comm.timeouts.connect")
except KeyError as error:
    after = f"KeyError {error}"
print(f"during {during}, after: {after}")
PYTHON
late=$("$folder/venv/bin/python" "$folder/see.py" within)
early=$("$folder/venv/bin/python" "$folder/see.py" before)
echo "set, then import:    $late"
echo "import, then set:    $early"
[ "$late" = "during True, after: KeyError 'distributed'" ]
[ "$early" = "during True, after: 30s" ]
