#!/usr/bin/env bash
# Runs every fuzz target of the tree for a while: scripts/fuzz.sh [TIME]
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-30s}

# "DIR TARGET" a line.
targets=$(find . \( -name .git -o -name node_modules \) -prune -o -name '*_test.go' -print |
  xargs grep -HoE '^func Fuzz[A-Za-z0-9_]+' |
  sed -E 's|/[^/]*_test\.go:func | |' | sort -u)
if [ -z "$targets" ]; then
  echo "fuzz: no fuzz target found" >&2
  exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT

fuzz() { go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" "$1" >"$log" 2>&1; }

while read -r dir target; do
  if ! fuzz "$dir" "$target"; then
    # The engine now and then ends its own last round with a deadline error and
    # no failing input; only then is a second run fair.
    if grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input' "$log"; then
      fuzz "$dir" "$target" || { cat "$log" >&2; exit 1; }
    else
      cat "$log" >&2
      exit 1
    fi
  fi
  printf 'fuzz: %-32s %-28s %s\n' "$dir" "$target" \
    "$(grep -oE 'execs: [0-9]+' "$log" | tail -1)"
done <<<"$targets"
