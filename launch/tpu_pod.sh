#!/usr/bin/env bash
# One run on all hosts of a TPU pod slice.
#
# Command: launch/tpu_pod.sh NAME --zone ZONE [--stop | --dry-run] -- \
#   run --config darts_cifar10 --workdir /mnt/runs/darts_cifar10-s0 [option ...]
#
# NAME is the TPU VM; jnas must be installed on each of its hosts, which find
# each other by themselves. The run folder should be where every host sees it,
# such as a mounted disk: the first process alone reads and writes it, but a new
# slice may number its hosts otherwise. --stop (no command after it) tells the
# run to save and end. After a preemption the same command, on a new slice,
# continues from the last checkpoint.
set -uo pipefail

usage() {
  sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

name=${1:-}
[[ -n $name && $name != -* ]] || usage
shift
zone=
stop=false
dry_run=false
while (($# > 0)) && [[ $1 != -- ]]; do
  case $1 in
    --zone) zone=${2:-} && shift ;;
    --stop) stop=true ;;
    --dry-run) dry_run=true ;;
    *) usage ;;
  esac
  shift || usage
done
[[ -n $zone ]] || usage
if $stop; then
  # The brackets keep the pattern from finding the shell that it stands in.
  command="pkill -TERM -f '[j]nas run'"
else
  [[ ${1:-} == -- && $# -gt 1 ]] || usage
  shift
  command="JNAS_PROCESSES=auto jnas$(printf ' %q' "$@")"
fi
ssh=(gcloud compute tpus tpu-vm ssh "$name" --zone "$zone" --worker all
  --command "$command")
if $dry_run; then
  printf '%q ' "${ssh[@]}"
  echo
  exit
fi
exec "${ssh[@]}"
