#!/usr/bin/env bash
# The packages that a camera's evidence leans on, run as the programs that ship:
# armv6 on the ARM1176 of the first Pis, and arm64; ARM=all adds armv7, which for
# these packages differs from armv6 in speed alone.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  ./transport/seal
  ./transport/spool
  ./capture/jpegdc
  ./capture/motion
  ./capture/clip
  ./capture/mask
  ./capture/videodev/...
)

arm() {
  local name=$1 exec=$2
  shift 2
  echo "test-arm: $name"
  env GOOS=linux CGO_ENABLED=0 "$@" go test -short -timeout 10m -exec "$exec" "${packages[@]}"
}

arm armv6 'qemu-arm-static -cpu arm1176' GOARCH=arm GOARM=6
if [ "${ARM:-}" = all ]; then arm armv7 'qemu-arm-static' GOARCH=arm GOARM=7; fi
arm arm64 'qemu-aarch64-static' GOARCH=arm64
