#!/usr/bin/env bash
# The product's speed beside its peers', in one run. FILE is MJPEG in 1280x720; without
# it the motion comparison is left out and stand-ins are taken.
#
# usage: scripts/bench-peers.sh [FILE.mjpeg]
set -euo pipefail
cd "$(dirname "$0")/.."

echo "== seal 20,000 bytes: this, age, openssl (their figures hold a process's start)"
go test -run '^$' -bench SealBesidePeers -benchtime 200x ./internal/systest | grep -E '^Benchmark'
echo "== from the frame that declares an event to the hub's receipt for its thumbnail"
go test -run '^$' -bench FrameToReceipt -benchtime 40x ./internal/systest | grep -E '^Benchmark'
echo "== bytes written to disk for each byte of an item"
go test -run '^$' -bench WriteAmplification -benchtime 200x ./transport/spool | grep -E '^Benchmark'
echo "== memory of the agent at 1280x720, 15 frames a second, 10 s of pre-roll"
scripts/bench-memory.sh
echo "== size of the agent"
scripts/size.sh
echo "== encoding raw pictures, and redacting JPEGs"
go test -run '^$' -bench . -benchtime 100x ./capture/encode | grep -E '^Benchmark'
go test -run '^$' -bench Redact -benchtime 100x ./capture/jpegdc | grep -E '^Benchmark'
echo "== luma of a JPEG: this, libjpeg-turbo"
scripts/bench-jpegdc.sh "$@"
if [ $# -gt 0 ]; then
  echo "== motion in 1,000 frames: this, motion, ffmpeg"
  scripts/bench-motion.sh "$1"
fi
echo "== the whole agent at 1280x720, 30 frames a second, for two minutes"
scripts/soak.sh 120 "$@"
