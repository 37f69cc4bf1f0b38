#!/usr/bin/env bash
# Few linters, each for a reason: gofmt (one style), go vet, on 32-bit ARM too for
# what a camera runs (a 64-bit constant in an int breaks there alone), staticcheck (real
# mistakes), and the shell's own parser. House rules that no linter knows are tests
# in internal/house.
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t files < <(find . \( -name .git -o -name node_modules \) -prune -o -name '*.go' -print)
unformatted=$(gofmt -l "${files[@]}")
if [ -n "$unformatted" ]; then
  printf 'lint: not formatted, run gofmt -w on:\n%s\n' "$unformatted" >&2
  exit 1
fi

for script in scripts/*.sh .ci/run; do
  bash -n "$script"
done

echo "lint: go vet"
go vet ./...
# On 32-bit ARM, what the camera runs: the hub's broker would take minutes to compile.
mapfile -t agent < <(go list -deps ./cmd/lensward | grep "^$(go list -m)/")
echo "lint: go vet, linux/arm"
GOOS=linux GOARCH=arm GOARM=6 CGO_ENABLED=0 go vet "${agent[@]}"

# All but the tests of the whole, whose browser driver would take minutes to analyse.
echo "lint: staticcheck"
mapfile -t packages < <(go list ./... | grep -v '/internal/systest$')
go tool -modfile=scripts/tools.mod staticcheck "${packages[@]}"
