#!/usr/bin/env bash
# Fetches the kernels that the lab boots: Debian's own packages, by a private apt
# configuration that leaves the system's alone, checked by apt against Debian's
# signatures, and unpacked as far as they are needed. What is there already is
# not fetched again; REFRESH=1 looks for newer ones.
#
# usage: lab-kernels.sh CACHE KERNEL...    (arm64, armmp, rpi)
#
# The packages come from where the system's own do. Another Debian than 12 may not
# have them all: LENSWARD_LAB_SOURCES names a sources file that does.
set -euo pipefail

cache=$1
shift

# What is unpacked: the kernel, the device trees, and the modules of the subsystems
# that a guest could load something from.
wanted=(
  './boot/vmlinuz-*'
  './usr/lib/linux-image-*/bcm2835-rpi-zero.dtb'
  './lib/modules/*/modules.builtin'
  './lib/modules/*/kernel/crypto/*'
  './lib/modules/*/kernel/lib/*'
  './lib/modules/*/kernel/net/*'
  './lib/modules/*/kernel/drivers/i2c/*'
  './lib/modules/*/kernel/drivers/media/*'
  './lib/modules/*/kernel/drivers/net/*'
  './lib/modules/*/kernel/drivers/usb/*'
  './lib/modules/*/kernel/drivers/virtio/*'
)

give_up() {
  echo "lab: $1" >&2
  exit 1
}

# sources gathers Debian's own of the system's sources.
sources() {
  local file
  mkdir -p "$1"
  if [ -n "${LENSWARD_LAB_SOURCES:-}" ]; then
    cp "$LENSWARD_LAB_SOURCES" "$1/"
    return
  fi
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
    if [ -f "$file" ] && grep -qE '^(URIs:|deb ).*/debian' "$file"; then
      cp "$file" "$1/"
    fi
  done
}

# configure writes an apt configuration for another architecture that shares
# nothing with the system's but the keys.
configure() {
  local apt=$1 arch=$2
  mkdir -p "$apt/lists/partial" "$apt/archives/partial"
  sources "$apt/sources"
  cat >"$apt/apt.conf" <<CONF
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
Dir::State::status "/dev/null";
Dir::State::lists "$apt/lists";
Dir::Cache "$apt";
Dir::Cache::archives "$apt/archives";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$apt/sources";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "";
CONF
}

# download leaves the package that an architecture's newest kernel is in. A mirror
# in the middle of a change may lack the index of one suite: any kernel that the
# others have will do.
download() {
  local apt=$1 meta=$2 name
  APT_CONFIG="$apt/apt.conf" apt-get update -qq || echo "lab: going on with the indexes that could be had" >&2
  name=$(APT_CONFIG="$apt/apt.conf" apt-cache depends "$meta" 2>/dev/null |
    awk '$1 == "Depends:" && $2 ~ /^linux-image-[0-9]/ { print $2; exit }')
  if [ -z "$name" ]; then
    echo "lab: no $meta in the system's Debian sources; LENSWARD_LAB_SOURCES can name others" >&2
    return 1
  fi
  (cd "$apt/archives" && APT_CONFIG="$apt/apt.conf" apt-get download -qq "$name")
}

fetch() {
  local kernel=$1 meta=$2 arch=$3 try apt deb
  local to=$cache/kernels/$kernel
  if [ -e "$to/package" ] && [ -z "${REFRESH:-}" ]; then return; fi
  command -v apt-get >/dev/null || give_up "kernels come from Debian by apt-get, and there is none here"
  command -v dpkg-deb >/dev/null || give_up "kernels are unpacked by dpkg-deb, and there is none here"
  echo "lab: fetching the kernel $kernel ($meta, $arch)"
  apt=$(mktemp -d "$cache/apt.XXXXXX")
  # shellcheck disable=SC2064 # the directory's name as it is now
  trap "rm -rf '$apt'" EXIT
  configure "$apt" "$arch"
  for try in 1 2 3; do # a mirror can be in the middle of a change
    download "$apt" "$meta" && break
    [ "$try" -lt 3 ] || give_up "$meta could not be fetched"
    sleep $((try * 10))
  done
  deb=$(ls "$apt"/archives/*.deb)
  mkdir -p "$apt/tree"
  dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$apt/tree" --wildcards "${wanted[@]}" 2>"$apt/tar.log" ||
    grep -qE 'Not found in archive' "$apt/tar.log" || give_up "$deb: $(cat "$apt/tar.log")"
  ls "$apt"/tree/boot/vmlinuz-* >/dev/null || give_up "$deb has no kernel"
  basename "$deb" >"$apt/tree/package"
  rm -rf "$to"
  mv "$apt/tree" "$to"
  rm -rf "$apt"
}

mkdir -p "$cache/kernels"
cache=$(cd "$cache" && pwd)
exec 9>"$cache/lock" # of two at once, one fetches and the other finds it there
flock 9
for kernel in "$@"; do
  case $kernel in
  arm64) fetch arm64 linux-image-arm64 arm64 ;;
  armmp) fetch armmp linux-image-armmp armhf ;;
  rpi) fetch rpi linux-image-rpi armel ;;
  *) give_up "no kernel is called $kernel" ;;
  esac
done
