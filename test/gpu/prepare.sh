#!/usr/bin/env bash
# Makes a folder for a machine with a GPU and without a compiler: programs, their numbers, yardsticks, and run.sh.
#
#   test/gpu/prepare.sh FOLDER [--only CASE]... [--gpu LIST] [--layers N]
#
# Without --only it has every golden case, and a model of Qwen3-30B-A3B's shape with N layers (2), whose speed is measured; with
# it, these cases alone. MOEC names the compiler, of build/release if unset.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(dirname "$(dirname "$here")")"

case "${1-}" in
  "" | -*) echo "usage: test/gpu/prepare.sh FOLDER [--only CASE]... [--gpu LIST] [--layers N]" >&2; exit 2 ;;
esac
folder=$1
shift
if [ -e "$folder" ] && [ -n "$(ls -A "$folder")" ]; then
  echo "prepare: $folder is not empty; name a new folder, so that nothing old is run" >&2
  exit 2
fi
mkdir -p "$folder"

python=${PYTHON:-$root/build/python/bin/python3}
"$python" -B "$here/make_programs.py" "$folder" "$@"
clang++-22 -std=c++20 -O2 -fno-exceptions -fno-rtti -static-libstdc++ -static-libgcc "$here/yardsticks.cpp" -o "$folder/yardsticks" -ldl
cp "$here/run.sh" "$here/parity.py" "$here/speed.py" "$here/report.py" "$root/test/end_to_end/comparison.py" "$folder"
echo "prepare: $(du -sh "$folder" | cut -f 1) in $folder; carry it to the machine, and run its run.sh there"
