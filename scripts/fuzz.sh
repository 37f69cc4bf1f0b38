#!/usr/bin/env bash
# Runs every fuzz target of the tree for a while, two at once: scripts/fuzz.sh [TIME]
# With FUZZ=quick it leaves out the hub's: the engine compiles the whole broker anew for
# them, which takes longer than all the rest. Their seeds run with the unit tests.
set -euo pipefail
cd "$(dirname "$0")/.."
export FUZZ_TIME=${1:-30s}

# "DIR TARGET" a line.
targets=$(find . \( -name .git -o -name node_modules \) -prune -o -name '*_test.go' -print |
  xargs grep -HoE '^func Fuzz[A-Za-z0-9_]+' |
  sed -E 's|/[^/]*_test\.go:func | |' | sort -u)
if [ "${FUZZ:-}" = quick ]; then
  grep -E '^\./transport/hub(/store)? ' <<<"$targets" | sed 's/^/fuzz: left to "make fuzz": /'
  targets=$(grep -vE '^\./transport/hub(/store)? ' <<<"$targets")
fi
if [ -z "$targets" ]; then
  echo "fuzz: no fuzz target found" >&2
  exit 1
fi

# fuzz runs one target. The engine now and then ends its own last round with a
# deadline error and no failing input; only then is a second run fair. Minimising
# what is merely new would take more of a short run than fuzzing does.
fuzz() {
  local log try
  log=$(mktemp)
  for try in 1 2; do
    if go test -run '^$' -fuzz "^$2\$" -fuzztime "$FUZZ_TIME" -fuzzminimizetime 10x -parallel 1 "$1" >"$log" 2>&1; then
      printf 'fuzz: %-32s %-28s %s\n' "$1" "$2" "$(grep -oE 'execs: [0-9]+' "$log" | tail -1)"
      rm -f "$log"
      return 0
    fi
    if [ "$try" = 2 ] || ! grep -q 'context deadline exceeded' "$log" || grep -q 'Failing input' "$log"; then
      cat "$log" >&2
      rm -f "$log"
      return 1
    fi
  done
}
export -f fuzz

xargs -P 2 -L 1 bash -c 'fuzz "$0" "$1"' <<<"$targets"
