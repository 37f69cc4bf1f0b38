#!/bin/sh
# Builds the viewer page, transport/hub/page/dist, from its sources. The result
# depends on package-lock.json and scripts/tools.mod alone, so that it can be
# built again anywhere and compared.
#
# usage: scripts/build-page.sh [--test] [--check]
#   --test    run the page's unit tests first
#   --check   change nothing: fail if dist is not what the sources give
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
page=$root/transport/hub/page
run_tests=false
check=false
for arg in "$@"; do
	case $arg in
	--test) run_tests=true ;;
	--check) check=true ;;
	*)
		echo "build-page: unknown argument $arg" >&2
		exit 2
		;;
	esac
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cd "$page"
npm ci --ignore-scripts --no-audit --no-fund --silent

if $run_tests; then
	node --test src/test/
fi

# licences prints the licence of every package in the lock file, since all of
# them are bundled.
licences() {
	echo "The viewer page's scripts contain the packages below, under their licences."
	sed -n 's|^    "\(node_modules/[^"]*\)": {$|\1|p' package-lock.json | while read -r dir; do
		version=$(sed -n 's|^ *"version": "\(.*\)",*$|\1|p' "$dir/package.json" | head -n 1)
		printf '\n%s\n%s %s\n\n' "----------------------------------------" "${dir##*node_modules/}" "$version"
		cat "$dir/LICENSE"
	done
}

mkdir "$work/dist"
cd "$root"
go tool -modfile=scripts/tools.mod esbuild \
	"lensward=$page/src/main.js" "lensward-verify=$page/src/verify.js" \
	--bundle --splitting --format=esm --target=es2022 --charset=utf8 \
	--legal-comments=none --chunk-names=lensward-shared \
	--log-level=warning --outdir="$work/dist"
cd "$page"
cp src/index.html src/style.css src/icon.svg "$work/dist/"
licences >"$work/dist/THIRD-PARTY.txt"

if $check; then
	diff -rq dist "$work/dist" || {
		echo "build-page: transport/hub/page/dist is not what its sources give; run scripts/build-page.sh" >&2
		exit 1
	}
	exit 0
fi
rm -rf dist
cp -R "$work/dist" dist
chmod -R u=rwX,go=rX dist
