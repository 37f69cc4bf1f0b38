#!/usr/bin/env bash
# All that must hold before a merge, on a machine with Go, make and git: what is
# missing is installed first. The Go tests come last, so that the output ends
# with their own words. Leaves nothing running, and fails if something did.
set -euo pipefail
cd "$(dirname "$0")/.."
# One set of flags throughout, so that what one step compiled the next one finds.
export GOFLAGS="${GOFLAGS:-} -buildvcs=false -trimpath"

# Everything started from here carries this mark in its environment.
export LENSWARD_TEST_RUN="$$.$RANDOM"

# left_over lists the processes that carry the mark and outlived their test.
left_over() {
  local dir
  for dir in /proc/[0-9]*; do
    if tr '\0' '\n' 2>/dev/null <"$dir/environ" | grep -qx "LENSWARD_TEST_RUN=$LENSWARD_TEST_RUN"; then
      basename "$dir"
    fi
  done
}

finish() {
  local status=$? pid pids
  for _ in 1 2 3 4 5 6 7 8 9 10; do # whoever is on the way out may go
    pids=$(left_over)
    [ -n "$pids" ] || exit "$status"
    sleep 0.5
  done
  for pid in $pids; do
    echo "test: left running: $pid $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline")" >&2
    kill "$pid" 2>/dev/null || true
  done
  exit 1
}
trap finish EXIT

step() {
  local from=$SECONDS
  "$@"
  echo "test: $* took $((SECONDS - from)) s"
}

scripts/setup.sh
case $(node --version) in v18.*) # Debian 12's: what browsers have is there, behind flags
  export NODE_OPTIONS="--experimental-global-webcrypto --experimental-global-customevent"
  ;;
esac
step scripts/lint.sh
step scripts/build-page.sh --test --check
step scripts/size.sh
step scripts/test-arm.sh
step scripts/lab.sh
FUZZ=quick step scripts/fuzz.sh "${FUZZTIME:-2s}"
scripts/unit.sh
