#!/usr/bin/env bash
# Boots the agent on emulated boards before cameras that the kernel's own drivers
# drive: all of it in a few minutes, or with --long everything (docs/design/lab.md).
# Kernels and QEMU are fetched where they are missing. ARGS go to `go test`, such as
# -run TestBoards/armv6.
#
# usage: lab.sh [--long] [ARGS...]
set -euo pipefail
cd "$(dirname "$0")/.."

export LENSWARD_LAB=${LENSWARD_LAB_CACHE:-$HOME/.cache/lensward/lab}
timeout=15m
if [ "${1:-}" = --long ]; then
  shift
  export LENSWARD_LAB_LONG=1
  export LENSWARD_LAB_UNPLUGS=${LENSWARD_LAB_UNPLUGS:-100}
  timeout=60m
fi

# room fails early and in words where the disk is too full for kernels and guests.
room() {
  local free
  mkdir -p "$1"
  free=$(df -Pm "$1" | awk 'NR == 2 { print $4 }')
  if [ "$free" -lt 1500 ]; then
    echo "lab: $1 has $free MB free, 1500 are needed; LENSWARD_LAB_CACHE names another directory" >&2
    exit 1
  fi
}

room "$LENSWARD_LAB"
room "${TMPDIR:-/tmp}"
scripts/setup.sh
for emulator in qemu-system-aarch64 qemu-system-arm; do
  if ! "$emulator" --version >/dev/null 2>&1; then
    echo "lab: $emulator does not run here; it is in the package qemu-system-arm" >&2
    exit 1
  fi
done
scripts/lab-kernels.sh "$LENSWARD_LAB" arm64 armmp rpi
exec go test -count 1 -timeout "$timeout" ./internal/lab -v "$@"
