#!/usr/bin/env bash
# One run by several processes on this machine.
#
# Command: launch/local.sh -n 2 [--gpus "0 1"] [--dry-run] -- \
#   run --config smoke [--devices 2] [option of jnas run ...]
#
# Without -n, one process for each of --gpus, which give every process its own.
# SIGTERM or Ctrl-C stops the run, with its state saved, and exits 0; the same
# command continues. If a process is killed, the others end with one line and
# the exit code is 1; then, too, the same command continues.
set -uo pipefail

usage() {
  sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

number=
gpus=()
dry_run=false
while (($# > 0)) && [[ $1 != -- ]]; do
  case $1 in
    -n) number=${2:-} && shift ;;
    --gpus) read -ra gpus <<< "${2:-}" && shift ;;
    --dry-run) dry_run=true ;;
    *) usage ;;
  esac
  shift || usage
done
[[ -n $number ]] || number=${#gpus[@]}
if ! [[ $number =~ ^[1-9][0-9]*$ && ${1:-} == -- && $# -gt 1 ]] ||
  ((${#gpus[@]} > 0 && ${#gpus[@]} != number)); then
  usage
fi
shift

port=0
$dry_run || port=$(python3 -c "import socket
free = socket.socket()
free.bind(('localhost', 0))
print(free.getsockname()[1])") || exit 1
export JNAS_COORDINATOR=localhost:$port JNAS_PROCESSES=$number

processes=()
stop() {
  ((${#processes[@]} == 0)) || kill -TERM "${processes[@]}" 2> /dev/null
}
trap stop TERM INT

for ((index = 0; index < number; index++)); do
  settings=("JNAS_PROCESS=$index")
  ((${#gpus[@]} == 0)) || settings+=("CUDA_VISIBLE_DEVICES=${gpus[index]}")
  if $dry_run; then
    echo "JNAS_COORDINATOR=localhost:PORT JNAS_PROCESSES=$number" \
      "${settings[@]}" jnas "$@"
  else
    env "${settings[@]}" jnas "$@" &
    processes+=($!)
  fi
done

code=0
for process in "${processes[@]}"; do
  # A signal wakes `wait` before the process has ended.
  while kill -0 "$process" 2> /dev/null; do wait "$process"; done
  wait "$process" || code=$?
done
exit "$code"
