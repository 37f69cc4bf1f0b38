#!/usr/bin/env bash
# What a fleet's return must be like, and what it is: the tables of all policies and of
# mixed fleets, the plots of docs/design/recovery.md, and the goals for each size.
#
#   scripts/fleet-goals.sh [SIZE...]
#
# SIZE is a number of devices; 100000 and 1000000 if none is given. SEEDS in the
# environment is how many seeds each run has, 10 if it is not set. A fleet of 100,000
# takes half a minute, ten times as many ten times as long. It leaves with 1 if a goal
# is missed.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ $# -eq 0 ]; then set -- 100000 1000000; fi
seeds=${SEEDS:-10}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -o "$work/lensctl" ./cmd/lensctl
simulate() { "$work/lensctl" fleet simulate "$@"; }

simulate --table --seeds "$seeds"

img=docs/design/img
mkdir -p "$img"
plot() { simulate --plot "$img/recovery-$1.svg" "${@:2}" >/dev/null; }
plot ours --model s1
plot none --model s1 --hint none
plot small4 --model s3 --hint small4
plot large4 --model s2 --hint large4
plot aws --model s1 --policy aws --hint none --limit 30m
plot paho --model s3 --policy paho --hint none
plot mixed --model s1 --mix 0.5 --limit 30m
plot gate --model s1 --mix 0.5 --gate --limit 30m

echo
missed=0
for size; do
  simulate --goals --devices "$size" --seeds "$seeds" || missed=1
done
exit "$missed"
