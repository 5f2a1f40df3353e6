#!/usr/bin/env bash
# Several seeds of a run on this machine, one after another or N at a time.
#
# Command: launch/seeds.sh [--jobs N | --gpus "0 1"] [--dry-run] "0 1 2 3" \
#   --config darts_cifar10 [option of jnas run ...]
#
# --jobs N runs N at a time; --gpus runs one at a time on each GPU. Each seed
# has its run folder, runs/NAME-sSEED. SIGTERM or Ctrl-C stops the runs, with
# their state saved, and exits 0; the same command continues. A seed that fails
# does not end the others; the exit code is then 1.
set -uo pipefail

jobs=1
gpus=()
run=(jnas run)
while [[ ${1:-} == --* ]]; do
  case $1 in
    --jobs) jobs=${2:-} && shift ;;
    --gpus) read -ra gpus <<< "${2:-}" && jobs=${#gpus[@]} && shift ;;
    --dry-run) run=(echo jnas run) ;;
    *) break ;;
  esac
  shift
done
read -ra seeds <<< "${1:-}"
if ! [[ $jobs =~ ^[1-9][0-9]*$ && ${1:-} =~ ^[0-9][0-9\ ]*$ ]]; then
  sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
shift

declare -A seed_of=() slot_of=() # by process
free=()
for ((slot = jobs - 1; slot >= 0; slot--)); do free+=("$slot"); done
stopping=false
failed=()

stop() {
  stopping=true
  ((${#seed_of[@]} == 0)) || kill -TERM "${!seed_of[@]}" 2> /dev/null
}
trap stop TERM INT

start() {
  local seed=$1 slot=${free[-1]}
  unset 'free[-1]'
  (
    ((${#gpus[@]} == 0)) || export CUDA_VISIBLE_DEVICES=${gpus[slot]}
    exec "${run[@]}" --seed "$seed" "${@:2}"
  ) > >(trap '' INT TERM && sed -u "s/^/seed $seed: /") 2>&1 &
  seed_of[$!]=$seed
  slot_of[$!]=$slot
  # A stop that came before this line did not know of the run.
  if $stopping; then kill -TERM $! 2> /dev/null; fi
}

# Waits until a run has ended, and notes how.
reap() {
  local process code=0
  wait -n -p process "${!seed_of[@]}" || code=$?
  [[ -n ${process:-} ]] || return 0 # woken by a signal
  # 143: a stop that came while the program was still being loaded.
  if ((code != 0)) && ! { $stopping && ((code == 143)); }; then
    failed+=("${seed_of[$process]}")
  fi
  free+=("${slot_of[$process]}")
  unset "seed_of[$process]"
}

for seed in "${seeds[@]}"; do
  while ((${#free[@]} == 0)); do reap; done
  $stopping && break
  start "$seed" "$@"
done
while ((${#seed_of[@]} > 0)); do reap; done

if ((${#failed[@]} > 0)); then
  echo "failed: seeds ${failed[*]}" >&2
  exit 1
fi
if $stopping; then echo "stopped; the same command continues"; fi
