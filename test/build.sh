#!/usr/bin/env bash
# Configures a preset once and builds targets of it; shows progress on a terminal only.
#
#   test/build.sh PRESET [TARGET...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

preset=$1
shift
if [ ! -f "build/$preset/build.ninja" ]; then
  mkdir -p "build/$preset"
  rm -rf "build/$preset/CMakeCache.txt" "build/$preset/CMakeFiles" # of a configuration that failed
  echo "configuring build/$preset" >&2
  if ! cmake --preset "$preset" >"build/$preset/configure.log" 2>&1; then
    cat "build/$preset/configure.log" >&2
    exit 1
  fi
fi
if [ -t 2 ]; then
  ninja -C "build/$preset" "$@" >&2
else
  ninja -C "build/$preset" --quiet "$@" 2>&1 | sed '/^ninja: no work to do\.$/d' >&2
fi
