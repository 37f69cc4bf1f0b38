#!/usr/bin/env bash
# The CPU time that a frame's luma takes, at an eighth of its size: capture/jpegdc and
# libjpeg-turbo over the same frames, both in process and on one thread, in turns.
#
#   scripts/bench-jpegdc.sh [VIDEO] [ROUNDS]
#
# A VIDEO that ends in .mjpeg is taken as it is. Any other is made into 300 frames of
# 1280x720, twice: as it is, and noisy, as cameras are in the dark. Without one,
# ffmpeg's test picture stands in. libjpeg-turbo has its fastest settings (see
# capture/jpegdc/testdata/djpeg.c); that both read the same luma is checked. Last
# comes djpeg itself, a process for each frame, for what starting one costs.
set -euo pipefail
cd "$(dirname "$0")/.."

video=${1:-}
rounds=${2:-7}
frames=300 # that are made, and that a round decodes

for tool in gcc djpeg ffmpeg; do
  if ! command -v "$tool" >/dev/null; then
    echo "bench-jpegdc: $tool is not installed (Debian: gcc libjpeg-turbo-progs libjpeg62-turbo-dev ffmpeg)" >&2
    exit 1
  fi
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
gcc -O2 -o "$work/peer" capture/jpegdc/testdata/djpeg.c -ljpeg
go test -c -o "$work/jpegdc.test" ./capture/jpegdc

# make_clip NAME FILTERS QUALITY: an MJPEG file out of the video.
make_clip() {
  ffmpeg -v error -nostdin "${input[@]}" -vf "$2" -frames:v "$frames" -c:v mjpeg -q:v "$3" -f mjpeg "$work/$1.mjpeg"
}

# jpegdc's figures for a round: CPU microseconds, allocations, luma.
own() {
  LENSWARD_CLIP=$1 "$work/jpegdc.test" -test.run '^$' -test.bench 'Decode$' -test.benchtime "${frames}x" |
    awk '/^Benchmark/ { for (i = 3; i < NF; i += 2) v[$(i + 1)] = $i
           printf "%s %s %d\n", v["cpu-µs/frame"], v["allocs/op"], v["luma/frame"] }'
}

compare() {
  local file=$1 round
  : >"$work/rounds"
  for ((round = 0; round < rounds; round++)); do
    echo "$("$work/peer" "$file" "$frames") $(own "$file")" >>"$work/rounds"
  done
  awk -v name="$(basename "$file")" -v size="$(stat -c %s "$file")" '
    function sort(a, n,   i, j, t) { for (i = 2; i <= n; i++) for (j = i; j > 1 && a[j] < a[j-1]; j--) { t = a[j]; a[j] = a[j-1]; a[j-1] = t } }
    { n++; frames = $1; peer[n] = $2; own[n] = $4; ratio[n] = $4 / $2; if ($5 > allocs) allocs = $5
      if ($3 != $6) { printf "bench-jpegdc: %s: luma %s, libjpeg-turbo has %s\n", name, $6, $3; bad = 1; exit 1 } }
    END { if (bad) exit 1
      sort(peer, n); sort(own, n); sort(ratio, n); m = int((n + 1) / 2)
      printf "%s: %d frames of %d bytes, %d rounds; min / median / max\n", name, frames, size / frames, n
      printf "  libjpeg-turbo  %7.0f %7.0f %7.0f µs of CPU a frame\n", peer[1], peer[m], peer[n]
      printf "  jpegdc         %7.0f %7.0f %7.0f µs of CPU a frame, %d allocations\n", own[1], own[m], own[n], allocs
      printf "  ratio          %7.2f %7.2f %7.2f\n", ratio[1], ratio[m], ratio[n] }' "$work/rounds"
}

# djpeg, a process for each of the first frames.
processes() {
  local n=100 i
  mkdir -p "$work/frames"
  ffmpeg -v error -nostdin -y -f mjpeg -i "$1" -c copy -frames:v "$n" -f image2 "$work/frames/%d.jpg"
  local TIMEFORMAT='%U %S'
  { time for i in "$work"/frames/*.jpg; do djpeg -scale 1/8 -grayscale -outfile /dev/null "$i"; done; } 2>&1 |
    awk -v n="$(find "$work/frames" -name '*.jpg' | wc -l)" '{ printf "  djpeg, started for each  %.0f µs of CPU a frame\n", ($1 + $2) / n * 1e6 }'
}

if [[ $video == *.mjpeg ]]; then
  compare "$video"
  processes "$video"
  exit
fi
input=(-i "$video")
if [ -z "$video" ]; then input=(-f lavfi -i testsrc2=size=1280x720:rate=25); fi
make_clip plain scale=1280:720 5
make_clip noisy scale=1280:720,noise=alls=10:allf=t 3
for clip in plain noisy; do
  compare "$work/$clip.mjpeg"
  processes "$work/$clip.mjpeg"
done
