#!/usr/bin/env bash
# Runs what prepare.sh made, in the folder that it made, on a machine with a GPU: parity, sanitizers, speed.
#
#   ./run.sh [--device=emulated]
#
# Prints a line per check, and writes it to results.txt too. With --device=emulated the checks of numbers run without a GPU.
# Status 0 if all checks were right, 1 if one was wrong, 5 without a GPU or a driver. Needs Python 3, and numpy to compare numbers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

device=cuda
case "$*" in
  "") ;;
  --device=cuda) ;;
  --device=emulated) device=emulated ;;
  *) echo "usage: ./run.sh [--device=emulated]" >&2; exit 2 ;;
esac
if [ ! -d cases ]; then
  echo "run: there are no programs here; test/gpu/prepare.sh makes a folder that has them and this script" >&2
  exit 2
fi
if [ "$device" = cuda ]; then
  ./yardsticks --driver >/dev/null || exit 5
fi
if ! command -v python3 >/dev/null; then
  echo "run: there is no python3 here; install it" >&2
  exit 2
fi

run_all() {
  date -u +"%Y-%m-%d %H:%M UTC"
  if [ "$device" = cuda ]; then
    ./yardsticks --driver
    if command -v nvidia-smi >/dev/null; then
      nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit --format=csv || true
    fi
  fi
  # A part that ends in the middle is a check that failed.
  python3 -B parity.py "$device" || [ $? = 1 ] || echo "FAIL  parity.py ended early"
  if [ "$device" = cuda ]; then
    python3 -B speed.py || [ $? = 1 ] || echo "FAIL  speed.py ended early"
  else
    echo "skip  speed: an emulated GPU has none"
  fi
}
run_all 2>&1 | tee results.txt

count() { grep -c "^$1 " results.txt || true; }
right=$(count ok) wrong=$(count FAIL) skipped=$(count skip)
echo "$right right, $wrong wrong, $skipped skipped; these lines are in $PWD/results.txt" | tee -a results.txt
[ "$wrong" = 0 ] && [ "$right" != 0 ]
