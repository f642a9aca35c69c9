#!/usr/bin/env bash
# Compiles the dictionary model as a library, links a C program with it, and asks that program.
#
#   examples/embed_in_c/run.sh WORD [shared|static]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [ $# -lt 1 ]; then
  echo 'usage: examples/embed_in_c/run.sh WORD [shared|static]' >&2
  exit 2
fi
kind=${2:-shared}

test/setup.sh
test/build.sh release moec

folder=$PWD/build/embed_in_c/$kind
mkdir -p "$folder"
if [ "$kind" = shared ]; then
  library=$folder/libdictionary.so
  link=(-L"$folder" -ldictionary -Wl,-rpath,"$folder")
else
  library=$folder/libdictionary.a
  link=("$library" -lm -lpthread)
fi
build/release/bin/moec compile examples/dictionary/model --emit="$kind" -o "$library"
cc -std=c11 -O2 -Wall -Iruntime/include examples/embed_in_c/main.c -o "$folder/ask" "${link[@]}"
exec "$folder/ask" "$library.weights" "define $1"
