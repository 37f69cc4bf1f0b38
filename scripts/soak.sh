#!/usr/bin/env bash
# The whole agent on a camera of 1280x720 and 30 frames a second: processor time,
# memory and allocations a frame, once a minute, and whether anything grows.
#
#   scripts/soak.sh [SECONDS] [FILE.mjpeg]
#
# FILE stands in for the camera, played at 30 frames a second again and again;
# without it the built-in scene does, which the agent draws itself: its processor
# time and allocations then count too. SECONDS is 3600 if it is not given. The
# items go to a hub on this machine that keeps them for a minute.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-3600}
source='scene:?width=1280&height=720&fps=30'
if [ $# -gt 1 ]; then source="file:$(realpath "$2")?fps=30&loop=true"; fi

. scripts/rig.sh
start_agent "$source" '' --retention 1m

# sample prints: seconds, processor seconds, resident KiB, goroutines, files, heap
# bytes, allocated objects, frames, items that wait.
sample() {
  local json ticks
  json=$(./lensward status --state camera --json)
  ticks=$(sed 's/.*) //' "/proc/$agent/stat" | awk '{ print $12 + $13 }')
  number() { sed -n "s/.*\"$1\":\([0-9-]*\).*/\1/p" <<<"$json"; }
  awk -v hz="$(getconf CLK_TCK)" -v t="$SECONDS" -v ticks="$ticks" \
    -v rss="$(awk '/^VmRSS:/ { print $2 }' "/proc/$agent/status")" \
    -v g="$(number goroutines)" -v f="$(number files)" -v h="$(number heap_bytes)" \
    -v a="$(number allocated_objects)" -v n="$(number Frames)" -v d="$(number Depth)" \
    'BEGIN { print t, ticks / hz, rss, g, f, h, a, n, d }'
}

sleep 20 # the pre-roll fills, the picture is learnt
SECONDS=0
sample >samples
echo 'soak:   time  processor  memory  goroutines  files  allocations  waiting'
step=60
[ "$seconds" -ge 600 ] || step=10
while [ "$SECONDS" -lt "$seconds" ]; do
  sleep "$step"
  kill -0 "$agent" 2>/dev/null || { echo 'soak: the agent died' >&2; exit 1; }
  sample >>samples
  tail -2 samples | awk '
    NR == 1 { split($0, a) }
    NR == 2 { printf "soak: %5d s  %6.1f %%  %5.1f MB  %10d  %5d  %5.1f/frame  %d items\n",
      $1, 100 * ($2 - a[2]) / ($1 - a[1]), $3 / 1024, $4, $5, ($7 - a[7]) / ($8 - a[8]), $9 }'
done

# Growth: the third quarter of the samples' greatest against the last's.
awk '
  { t[NR] = $1; cpu[NR] = $2; rss[NR] = $3; g[NR] = $4; f[NR] = $5; a[NR] = $7; n[NR] = $8 }
  function most(x, from, to,   i, m) { m = 0; for (i = from; i <= to; i++) if (x[i] > m) m = x[i]; return m }
  END {
    q = int(NR / 4); if (q < 1) exit
    printf "soak: %d frames in %d s: %.2f ms of processor, %.1f allocations a frame; %.1f %% of one core\n",
      n[NR] - n[1], t[NR] - t[1], 1000 * (cpu[NR] - cpu[1]) / (n[NR] - n[1]), (a[NR] - a[1]) / (n[NR] - n[1]),
      100 * (cpu[NR] - cpu[1]) / (t[NR] - t[1])
    printf "soak: greatest by quarters: memory %.1f %.1f %.1f %.1f MB, goroutines %d %d %d %d, files %d %d %d %d\n",
      most(rss, 1, q) / 1024, most(rss, q + 1, 2 * q) / 1024, most(rss, 2 * q + 1, 3 * q) / 1024, most(rss, 3 * q + 1, NR) / 1024,
      most(g, 1, q), most(g, q + 1, 2 * q), most(g, 2 * q + 1, 3 * q), most(g, 3 * q + 1, NR),
      most(f, 1, q), most(f, q + 1, 2 * q), most(f, 2 * q + 1, 3 * q), most(f, 3 * q + 1, NR)
  }' samples
