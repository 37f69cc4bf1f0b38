#!/usr/bin/env bash
# The Go tests. The race detector watches every package but those that embed the
# broker: compiling NATS for it takes longer than all the tests together, and
# RACE=all is there for whoever has the time.
set -euo pipefail
cd "$(dirname "$0")/.."

# One line a tested package: "embeds PATH" or "plain PATH".
sorted=$(go list -test -f '{{.ImportPath}} {{join .Deps " "}}' ./... | awk '
  $1 ~ /\.test$/ {
    path = $1; sub(/\.test$/, "", path)
    print (/nats-server\/v2\/server/ ? "embeds " : "plain ") path
  }')
mapfile -t embeds < <(awk '$1 == "embeds" { print $2 }' <<<"$sorted")
mapfile -t plain < <(awk '$1 == "plain" { print $2 }' <<<"$sorted")

if [ "${RACE:-}" = all ]; then
  plain+=("${embeds[@]}")
  embeds=()
fi

failed=0
if [ ${#embeds[@]} -gt 0 ]; then
  go test -timeout 15m "${embeds[@]}" || failed=1
fi
if [ ${#plain[@]} -gt 0 ]; then
  go test -race -timeout 15m "${plain[@]}" || failed=1
fi
exit $failed
