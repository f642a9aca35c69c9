#!/usr/bin/env bash
# Builds moec where needed, compiles the dictionary model with it, and prints the program's greedy answer.
#
#   examples/dictionary/run.sh WORD
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [ $# != 1 ]; then
  echo 'usage: examples/dictionary/run.sh WORD' >&2
  exit 2
fi

test/setup.sh
test/build.sh release moec moe-opt moe-lsp-server

moec=build/release/bin/moec
model=examples/dictionary/model
program=build/dictionary/dictionary
# The program is made again when the compiler or a file of the model is newer.
if [ ! -x $program ] || [ $moec -nt $program ] || [ -n "$(find $model -newer $program -print -quit)" ]; then
  mkdir -p build/dictionary
  echo "compiling $model" >&2
  $moec compile $model -o $program
  touch $program # what was compiled before may have been kept as it was
fi
exec $program generate --greedy -- "$1"
