#!/usr/bin/env bash
# Select rows with the cores of this machine; what has died before is continued.
#
#   cluster/local/distill.sh SOURCE TARGET --fraction 0.1 [more of `dask-distill run`]
#
# Settings: distill.yaml beside this script, or another file or folder in DASK_CONFIG.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export DASK_CONFIG=${DASK_CONFIG:-$here/distill.yaml}
# --resume begins where nothing has died
case " $* " in
*" --overwrite "* | *" --resume "*) ;;
*) set -- "$@" --resume ;;
esac
exec dask-distill run "$@" --cluster local
