#!/bin/sh
# Writes what gcc makes of the kernel's header for each ABI beside this file.
set -eu
cd "$(dirname "$0")"
say() {
  out=$1
  shift
  gcc -S -o - -idirafter "/usr/include/$(gcc -print-multiarch)" "$@" layout.c | sed -n 's/^->\([^ ]*\) \$\(.*\)$/\1 \2/p' >"$out"
}
say layout-64.txt
say layout-arm-time64.txt -m32 -malign-double -DTIME=64
say layout-arm-time32.txt -m32 -malign-double -DTIME=32
