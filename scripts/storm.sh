#!/usr/bin/env bash
# A whole fleet loses its hub and comes back, at full size, with real sessions in a few
# processes. One JSON object a storm on stdout; docs/ref/commands.md, "fleet storm", says
# what is in it.
#
#   scripts/storm.sh [fleet|incident|all] [FLAGS FOR EVERY STORM...]
#
# fleet: 5,000 devices with ten spooled items each, with our policy and the right hint,
# with the hub's own hint, and with paho's own reconnecting. It fails if, with the right
# hint, anything failed for want of an answer, or 99 % took longer than 1.25 times the ideal.
# incident: 13,000 devices, and their 13,000 owners in front of a hub that lies in half of
# its answers.
# In each no item may be lost, doubled or shown to a stranger. On two cores: 25 minutes for
# fleet, 17 for incident, and 8 GiB of memory.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-all}
[ $# -eq 0 ] || shift

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$work/" ./cmd/lensctl
failed=0

# storm NAME FLAGS... runs one and keeps its report.
storm() {
  local name=$1
  shift
  echo "storm: $name" >&2
  "$work/lensctl" fleet storm --json "$@" >"$work/$name.json" || failed=1
  cat "$work/$name.json"
}

# number NAME MEMBER gives a number of a report.
number() { sed -n "s/.*\"$2\":\(-\?[0-9.]*\).*/\1/p" "$work/$1.json"; }

case $what in fleet | all)
  storm right --devices 5000 --processes 4 --outage 60s --hint right "$@"
  storm hub --devices 5000 --processes 4 --outage 60s --hint hub "$@"
  storm paho --devices 5000 --processes 4 --outage 60s --hint right --policy paho "$@"
  if ! awk "BEGIN { exit !(0$(number right t99_over_ideal) <= 1.25 && 0$(number right back) == 1) }"; then
    echo "storm: with the right hint the fleet was not back within 1.25 times the ideal" >&2
    failed=1
  fi
  if grep -Eq '"(timed out|stalled)":' "$work/right.json"; then
    echo "storm: with the right hint connects failed for want of an answer" >&2
    failed=1
  fi
  ;;
esac
case $what in incident | all)
  storm incident --devices 13000 --processes 4 --outage 20s --items 2 --mixup 0.5 --hint right --drain 600 "$@"
  ;;
esac
case $what in fleet | incident | all) ;; *)
  echo "storm: fleet, incident or all, not $what" >&2
  exit 2
  ;;
esac
exit "$failed"
