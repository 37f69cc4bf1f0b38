#!/usr/bin/env bash
# Makes sure that the programs the tests call are there. Go and make are yours to
# bring; the rest is installed with apt-get where that is possible, and named
# where it is not. Does nothing when nothing is missing.
set -euo pipefail

# A program, and the Debian packages that bring it.
wanted=(
  "ffmpeg ffmpeg"                     # media for tests, ffprobe for clips
  "chromium chromium"                 # the viewer page as a person sees it
  "mosquitto mosquitto"               # a second broker for the delivery tests
  "swtpm swtpm"                       # a TPM for the device key
  "swtpm_setup swtpm-tools"           # its maker's certificate
  "ip iproute2"                       # a hub cut off from the others of its cluster
  "qemu-arm-static qemu-user-static"  # tests as ARM programs
  "qemu-system-aarch64 qemu-system-arm" # the boards of the lab
  "node nodejs"                       # the page's own tests
  "npm npm"                           # the page's libraries
  "gcc gcc libc6-dev"                 # the race detector needs a C compiler, and so does spin
  "spin spin"                         # the model of pairing
)

missing() {
  local entry
  for entry in "${wanted[@]}"; do
    command -v "${entry%% *}" >/dev/null || printf '%s ' "${entry#* }"
  done
}

# give_up tells a person what to do, in one line that can be pasted.
give_up() {
  echo "setup: $1; install them yourself:" >&2
  echo "  apt-get install --no-install-recommends $packages" >&2
  exit 1
}

if ! command -v go >/dev/null; then
  echo "setup: go is not in PATH; install Go 1.26 or newer: https://go.dev/dl" >&2
  exit 1
fi

packages=$(missing)
packages=${packages% }
[ -n "$packages" ] || exit 0

as_root=()
command -v apt-get >/dev/null || give_up "these packages are missing and there is no apt-get here"
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || give_up "these packages are missing and you are neither root nor have sudo"
  if [ -t 0 ]; then
    as_root=(sudo)
  elif sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
  else
    give_up "these packages are missing and sudo wants a password"
  fi
fi
run() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "$@"; }

# Debian starts a service that it has just installed. A broker is not wanted
# beyond the tests, so that is refused while packages go in.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi

echo "setup: installing $packages"
for try in 1 2 3; do
  # shellcheck disable=SC2086 # a list of names
  if run apt-get update -qq -o DPkg::Lock::Timeout=300 &&
    run apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 $packages >/dev/null; then
    break
  fi
  [ "$try" -lt 3 ] || give_up "apt-get failed three times"
  echo "setup: apt-get failed, trying again" >&2
  sleep $((try * 10))
done

case " $packages " in *" mosquitto "*)
  if [ -d /run/systemd/system ]; then run systemctl disable --quiet mosquitto || true; fi
esac

still=$(missing)
[ -z "$still" ] || give_up "apt-get succeeded, yet programs of these packages are not in PATH: $still"
