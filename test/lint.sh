#!/usr/bin/env bash
# Runs clang-tidy 22 over source files, all of the runtime if none is named; needs build/release configured.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[ $# -gt 0 ] || set -- $(git ls-files -- 'runtime/*.cpp')
printf '%s\0' "$@" | xargs -0 -n 4 -P "$(nproc)" clang-tidy-22 -p build/release --quiet
