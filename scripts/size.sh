#!/usr/bin/env bash
# The agent as it is shipped, for each ARM, against the size that it may have.
set -euo pipefail
cd "$(dirname "$0")/.."
limit=$((14 * 1024 * 1024))

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

too_big=0
for target in 'armv6 arm 6' 'armv7 arm 7' 'arm64 arm64 -'; do
  read -r name arch arm <<<"$target"
  [ "$arm" = - ] && arm=''
  env GOOS=linux GOARCH="$arch" ${arm:+GOARM=$arm} CGO_ENABLED=0 \
    go build -trimpath -ldflags '-s -w' -o "$out/lensward-$name" ./cmd/lensward
  bytes=$(stat -c %s "$out/lensward-$name")
  printf 'size: lensward %s %d bytes (limit %d)\n' "$name" "$bytes" "$limit"
  if [ "$bytes" -gt "$limit" ]; then too_big=1; fi
done

if [ "$too_big" -ne 0 ]; then
  echo "size: lensward is over its limit" >&2
  exit 1
fi
