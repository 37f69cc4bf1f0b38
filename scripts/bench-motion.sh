#!/usr/bin/env bash
# CPU seconds for finding motion in the same MJPEG frames: lensctl as the agent does it
# by default (some frames a second are looked at) and looking at every frame, Debian's
# motion, and ffmpeg's scene filter on pictures decoded at an eighth of their size.
#
#   scripts/bench-motion.sh FILE.mjpeg [FRAMES]
#
# The programs run one after another, so that on a busy machine the ratios are
# still worth something. motion cannot be told to read a file as fast as it goes:
# it is given 25 frames a second and stopped when the file ends. If the machine is
# too busy for that it leaves frames out, so its figure is the least it takes.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

file=${1:?usage: scripts/bench-motion.sh FILE.mjpeg [FRAMES]}
frames=${2:-1000}
rate=25

for tool in ffmpeg motion go; do
  if ! command -v "$tool" >/dev/null; then
    echo "bench-motion: $tool is not installed" >&2
    exit 1
  fi
done

work=$(mktemp -d)
peer=''
cleanup() {
  if [ -n "$peer" ]; then kill "$peer" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap cleanup EXIT

ffmpeg -v error -f mjpeg -framerate "$rate" -i "$file" -frames:v "$frames" -c copy -f mjpeg "$work/frames.mjpeg"
ffmpeg -v error -f mjpeg -framerate "$rate" -i "$work/frames.mjpeg" -c copy "$work/frames.mkv"
size=$(ffprobe -v error -show_entries stream=width,height -of csv=p=0:s=x "$work/frames.mkv")

lensctl=${LENSCTL:-$work/lensctl}
if [ ! -x "$lensctl" ]; then (cd "$root" && go build -o "$lensctl" ./cmd/lensctl); fi

# bench_lensctl NAME [FLAGS...]
bench_lensctl() {
  local json name=$1
  shift
  json=$("$lensctl" motion "file:$work/frames.mjpeg?rate=max&fps=$rate" --json "$@" 2>/dev/null)
  read_frames=$(sed -n 's/.*"frames":\([0-9]*\).*/\1/p' <<<"$json")
  looked_at[$name]=$(sed -n 's/.*"looked_at":\([0-9]*\).*/\1/p' <<<"$json")
  sed -n 's/.*"cpu_s":\([0-9.]*\).*/\1/p' <<<"$json" >"$work/$name.cpu"
}
declare -A looked_at=([ffmpeg]=all [motion]=all)

bench_ffmpeg() {
  ffmpeg -nostdin -v info -benchmark -threads 1 -lowres 3 -f mjpeg -i "$work/frames.mjpeg" \
    -vf "select='gt(scene,0.02)'" -f null - 2>&1 |
    sed -n 's/.*utime=\([0-9.]*\)s stime=\([0-9.]*\)s.*/\1 \2/p' |
    awk '{ print $1 + $2 }' >"$work/ffmpeg.cpu"
}

bench_motion() {
  cat >"$work/motion.conf" <<CONF
daemon off
log_level 7
netcam_url file://$work/frames.mkv
netcam_params capture_rate=$rate
width ${size%x*}
height ${size#*x}
framerate $rate
picture_output off
movie_output off
stream_port 0
webcontrol_port 0
target_dir $work
CONF
  motion -n -c "$work/motion.conf" >"$work/motion.log" 2>&1 &
  peer=$!
  local waited=0
  until grep -q 'End of file' "$work/motion.log"; do
    if ! kill -0 "$peer" 2>/dev/null || [ "$waited" -gt $((frames / rate * 8 + 60)) ]; then
      echo "bench-motion: motion did not get to the end of the file:" >&2
      tail -5 "$work/motion.log" >&2
      exit 1
    fi
    sleep 0.5
    waited=$((waited + 1))
  done
  # User and system time, in ticks, behind the name in brackets.
  sed 's/.*) //' "/proc/$peer/stat" |
    awk -v hz="$(getconf CLK_TCK)" '{ print ($12 + $13) / hz }' >"$work/motion.cpu"
  kill -INT "$peer"
  wait "$peer" || true
  peer=''
}

bench_lensctl lensctl
bench_lensctl every --rate 0
bench_ffmpeg
bench_motion

printf 'bench-motion: %s frames of %s, %d bytes each, %d a second\n' \
  "$read_frames" "$size" $(($(stat -c %s "$work/frames.mjpeg") / read_frames)) "$rate"
for name in lensctl every ffmpeg motion; do
  awk -v name="$name" -v cpu="$(cat "$work/$name.cpu")" -v looked="${looked_at[$name]}" \
    -v own="$(cat "$work/lensctl.cpu")" -v every="$(cat "$work/every.cpu")" \
    'BEGIN { printf "bench-motion: %-8s %6.2f CPU seconds, %4s frames looked at, %5.2f times lensctl, %5.2f times lensctl at every frame\n",
      name, cpu, looked, cpu / own, cpu / every }'
done
