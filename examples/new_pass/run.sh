#!/usr/bin/env bash
# Builds the plugin beside moe-opt and runs its pass over a file.
#
#   examples/new_pass/run.sh [FILE.mlir]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

test/setup.sh
test/build.sh release moe-opt CountPicks
exec build/release/bin/moe-opt --load-pass-plugin=build/release/lib/CountPicks.so \
  --pass-pipeline='builtin.module(count-picks)' "${1-examples/new_pass/route.mlir}" -o /dev/null
