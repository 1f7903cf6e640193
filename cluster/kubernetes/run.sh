#!/usr/bin/env bash
# Runs the DaskJob to its end: applies it, follows its log, and exits as the job did.
#
#   run.sh [SOURCE TARGET [OPTION...]]     options of `dask-distill run`; none: as in daskjob.yaml
#
#   IMAGE=…       in place of the manifest's      NAMESPACE=…   in place of the context's
#   WORKERS=N     worker pods                     LIMIT=7200    seconds to wait
#
# Exit codes: 0 done, 1 the job failed, 2 it could not be started, 124 it is not done in time
# (it goes on; run.sh leaves it alone).
set -euo pipefail
folder=$(cd "$(dirname "$0")" && pwd)
name=distill limit=${LIMIT:-7200} image=registry.example.com/dask-distill:0.1.0
kube() { kubectl ${NAMESPACE:+--namespace "$NAMESPACE"} "$@"; }
state() { kube get daskjob "$name" --ignore-not-found --output "jsonpath={.status.jobStatus}"; }
fail() { echo "run.sh: $2" >&2; exit "$1"; }

# a text as JSON
quoted() {
  local text=${1//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}

manifest() {
  local changes=() arguments="" argument
  if [ $# -gt 0 ]; then
    for argument in "$@" --resume --scheduler-address '$(DASK_SCHEDULER_ADDRESS)'; do
      arguments+="${arguments:+,}$(quoted "$argument")"
    done
    changes+=("{\"op\":\"replace\",\"path\":\"/spec/job/spec/containers/0/args\",\"value\":[$arguments]}")
  fi
  if [ -n "${WORKERS:-}" ]; then
    changes+=("{\"op\":\"replace\",\"path\":\"/spec/cluster/spec/worker/replicas\",\"value\":$WORKERS}")
  fi
  local IFS=,
  kubectl patch --local --type json --patch "[${changes[*]}]" --output yaml \
    --filename "$folder/daskjob.yaml" | sed "s|image: $image|image: ${IMAGE:-$image}|"
}

[ $# -ne 1 ] || fail 2 "SOURCE and TARGET must be given, got only '$1'"
kube get secret distill-s3 --output name >/dev/null ||
  fail 2 "the Secret distill-s3 must be there: fill in a copy of secret.example.yaml and apply it"
case $(state) in
  Successful | Failed) kube delete daskjob "$name" --timeout 120s ;;
  "") ;;
  *) fail 2 "a job '$name' is running; wait for it, or: kubectl delete daskjob $name" ;;
esac
kube apply --kustomize "$folder"
manifest "$@" | kube apply --filename -

SECONDS=0
pod=$name-runner
until phase=$(kube get pod "$pod" --ignore-not-found --output "jsonpath={.status.phase}") &&
  [ -n "$phase" ] && [ "$phase" != Pending ]; do
  [ "$SECONDS" -lt "$limit" ] || fail 124 "the job has not begun in $limit s: kubectl describe pod $pod"
  sleep 1
done
# a stream of logs may break where the job does not
while [ "$(kube get pod "$pod" --output "jsonpath={.status.phase}")" = Running ]; do
  [ "$SECONDS" -lt "$limit" ] || fail 124 "the job is not done in $limit s: kubectl logs --follow $pod"
  timeout "$((limit - SECONDS))" kubectl ${NAMESPACE:+--namespace "$NAMESPACE"} \
    logs --follow ${seen:+--since 1s} "$pod" || true
  seen=yes
  sleep 1
done
[ -n "${seen:-}" ] || kube logs "$pod"
until end=$(state) && [ "$end" = Successful ] || [ "$end" = Failed ]; do
  [ "$SECONDS" -lt "$limit" ] || fail 124 "the job's end is not told in $limit s: is the operator running?"
  sleep 1
done
echo "run.sh: $end after $SECONDS s"
[ "$end" = Successful ]
