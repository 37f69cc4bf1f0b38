#!/usr/bin/env bash
# Prints how well visits are found in the variants that scripts/motion-variants.sh
# has made, and in their empty rooms, with Debian's motion beside it.
#
#   scripts/motion-table.sh DIR TRUTH.csv [NAME...]
#
# TRUTH has the columns enter_s,leave_s, good to a second. For each variant:
#
#   found  visits that an event touches
#   own    visits that have one event, and one that touches no other visit
#   whole  of those: the event begins at most 2 s after they come and ends no more
#          than 2 s before they are gone
#   apart  of those: it ends at most 3 s after they are gone, and before the next comes
#   false  events that touch no visit, and events in a minute of the empty room
#
# MOTION=0 leaves motion out, AT_ONCE is how many of it run at once (6), and
# MOTION_CONF are more lines of its configuration. It takes
# files at their own speed and is given the settings that did best for it here: an
# event ends after 2 s, two frames make motion, and light switches are looked for.
# What it sees is written down by the commands that it runs at an event's ends.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

usage='usage: scripts/motion-table.sh DIR TRUTH.csv [NAME...]'
dir=${1:?$usage}
truth=${2:?$usage}
shift 2
wanted=" $* "
with_motion=${MOTION:-1}
at_once=${AT_ONCE:-6}
gap=2

work=$(mktemp -d)
cleanup() {
  local p
  for p in $(jobs -p); do kill "$p" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT

if [ "$with_motion" = 1 ] && ! command -v motion >/dev/null; then
  echo "motion-table: motion is not installed; MOTION=0 does without" >&2
  exit 1
fi
lensctl=${LENSCTL:-$work/lensctl}
if [ ! -x "$lensctl" ]; then (cd "$root" && go build -o "$lensctl" ./cmd/lensctl); fi

# judge EVENTS prints found, own, whole, apart and false of "start end" lines.
judge() {
  awk -F, -v events="$1" '
    NR > 1 { n++; enter[n] = $1; leave[n] = $2 }
    END {
      while ((getline line < events) > 0) {
        split(line, f, " ")
        m++; from[m] = f[1]; to[m] = f[2]
      }
      enter[n + 1] = 1e9
      for (i = 1; i <= n; i++) {
        count = 0
        for (k = 1; k <= m; k++) {
          if (from[k] <= leave[i] + 1 && to[k] >= enter[i] - 1) { count++; touched[k]++; last = k }
        }
        found += count > 0
        single[i] = count == 1 ? last : 0
      }
      for (i = 1; i <= n; i++) {
        k = single[i]
        if (!k || touched[k] > 1) continue
        own++
        whole += from[k] <= enter[i] + 2 && to[k] >= leave[i] - 2
        apart += to[k] <= leave[i] + 3 && to[k] <= enter[i + 1]
      }
      for (k = 1; k <= m; k++) wrong += !touched[k]
      printf "%d %d %d %d %d\n", found, own, whole, apart, wrong
    }' "$truth"
}

own_events() { # FILE FPS
  "$lensctl" motion "file:$1?fps=$2&rate=max" --json 2>/dev/null |
    { grep -o '"start_s":[0-9.]*,"end_s":[0-9.]*' || true; } | # none is no failure
    sed 's/[^0-9.]*\([0-9.]*\)[^0-9.]*\([0-9.]*\)/\1 \2/'
}

# peer_events FILE FPS NAME writes motion's events to $work/NAME.peer.
peer_events() {
  local at=$work/$3.run begun line kind size
  mkdir "$at"
  ffmpeg -nostdin -v error -f mjpeg -framerate "$2" -i "$1" -c copy "$at/in.mkv"
  size=$(ffprobe -v error -show_entries stream=width,height -of csv=p=0:s=x "$at/in.mkv")
  cat >"$at/motion.conf" <<CONF
daemon off
log_level 6
netcam_url file://$at/in.mkv
netcam_params capture_rate=$2
width ${size%x*}
height ${size#*x}
framerate $2
event_gap $gap
minimum_motion_frames 2
lightswitch_percent 20
lightswitch_frames 5
picture_output off
movie_output off
stream_port 0
webcontrol_port 0
target_dir $at
${MOTION_CONF:-}
on_event_start sh $at/mark start
on_event_end sh $at/mark end
CONF
  echo "echo \$1 \$(date +%s.%N) >>$at/events" >"$at/mark"
  : >"$at/events"
  motion -n -c "$at/motion.conf" >"$at/log" 2>&1 &
  local peer=$!
  until grep -q 'netcam_rtsp_handler' "$at/log"; do
    kill -0 "$peer" 2>/dev/null || break
    sleep 0.1
  done
  begun=$(date +%s.%N)
  until grep -q 'End of file\|Reconnecting with camera' "$at/log" || ! kill -0 "$peer" 2>/dev/null; do sleep 0.5; done
  kill -INT "$peer" 2>/dev/null || true
  wait "$peer" || true
  awk -v begun="$begun" -v gap="$gap" '
    $1 == "start" { from = $2 - begun; open = 1 }
    $1 == "end" && open { printf "%.1f %.1f\n", from, $2 - begun - gap; open = 0 }
    END { if (open) printf "%.1f 1e6\n", from }' "$at/events" >"$work/$3.peer"
  rm -rf "$at"
}

chosen=()
while read -r name fps; do
  if [ "$wanted" = "  " ] || [ "${wanted/ $name /}" != "$wanted" ]; then chosen+=("$name $fps"); fi
done <"$dir/variants.txt"

if [ "$with_motion" = 1 ]; then
  for row in "${chosen[@]}"; do
    for kind in visits empty; do
      while [ "$(jobs -rp | wc -l)" -ge "$at_once" ]; do wait -n || true; done
      peer_events "$dir/${row% *}.$kind.mjpeg" "${row#* }" "${row% *}.$kind" &
    done
  done
  wait
fi

visits=$(($(wc -l <"$truth") - 1))
printf '%s visits           |        lensctl                  |        motion\n' "$visits"
printf '%-14s %4s | %5s %3s %5s %5s %5s %5s | %5s %3s %5s %5s %5s %5s\n' \
  variant fps found own whole apart false empty found own whole apart false empty
for row in "${chosen[@]}"; do
  name=${row% *}
  own_events "$dir/$name.visits.mjpeg" "${row#* }" >"$work/events"
  read -r found own whole apart wrong < <(judge "$work/events")
  empty=$(own_events "$dir/$name.empty.mjpeg" "${row#* }" | wc -l)
  printf '%-14s %4s | %5d %3d %5d %5d %5d %5d |' "$name" "${row#* }" "$found" "$own" "$whole" "$apart" "$wrong" "$empty"
  if [ "$with_motion" = 1 ]; then
    read -r found own whole apart wrong < <(judge "$work/$name.visits.peer")
    printf ' %5d %3d %5d %5d %5d %5d' "$found" "$own" "$whole" "$apart" "$wrong" "$(wc -l <"$work/$name.empty.peer")"
  fi
  echo
done
