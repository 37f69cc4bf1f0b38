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

. scripts/rig.sh
start_agent 'scene:?width=1280&height=720&fps=15' '[event]
pre_roll = "10s"'
sleep "$seconds"
awk '/^(VmHWM|RssAnon|RssFile):/ { printf "%s %.1f MB\n", $1, $2 / 1024 }' "/proc/$agent/status"
