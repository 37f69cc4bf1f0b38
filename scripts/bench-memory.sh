#!/usr/bin/env bash
# How much memory the agent takes: 1280x720, 15 frames a second, 10 s of pre-roll,
# events going on, delivered to a hub on this machine. The scene that stands in
# for a camera is drawn by the agent itself and counts too. Prints the peak
# (VmHWM) and what is anonymous, after SECONDS (60) of running.
#
# usage: scripts/bench-memory.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}

work=$(mktemp -d)
cleanup() {
  local pids
  pids=$(jobs -p)
  [ -z "$pids" ] || kill $pids 2>/dev/null || true
  wait
  rm -rf "$work"
}
trap cleanup EXIT

CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$work/" ./cmd/...
cd "$work"
./lensctl hub --state hub --mqtt 127.0.0.1:28883 --devices 127.0.0.1:28443 --listen 127.0.0.1:28080 --log error >hub.out &
for _ in $(seq 100); do
  [ -s hub.out ] && break
  sleep 0.1
done
./lensctl owner new me >/dev/null 2>&1
cat >lensward.toml <<EOF
[camera]
source = "scene:?width=1280&height=720&fps=15"
[event]
pre_roll = "10s"
[state]
dir = "camera"
[hub]
broker = "127.0.0.1:28883"
url = "https://127.0.0.1:28443"
ca_file = "hub/ca.pem"
connect_window = "1s"
[log]
level = "error"
EOF
./lensward --config lensward.toml &
agent=$!
for _ in $(seq 100); do
  [ -S camera/agent.sock ] && break
  sleep 0.1
done
./lensctl pair --state camera --owner me >/dev/null
sleep "$seconds"
awk '/^(VmHWM|RssAnon|RssFile):/ { printf "%s %.1f MB\n", $1, $2 / 1024 }' "/proc/$agent/status"
