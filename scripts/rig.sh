# shellcheck shell=bash
# A hub and an agent with their keys in a temporary directory, for what measures them.
# To be sourced: programs are built, and the directory is where one then stands; all of
# it is gone when the script ends.

work=$(mktemp -d)
cleanup() {
  local pids
  pids=$(jobs -p)
  # shellcheck disable=SC2086 # a list of numbers
  [ -z "$pids" ] || kill $pids 2>/dev/null || true
  wait
  rm -rf "$work"
}
trap cleanup EXIT

CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$work/" ./cmd/...
cd "$work"

# appears waits up to ten seconds until the test holds.
appears() {
  for _ in $(seq 100); do
    test "$@" && return
    sleep 0.1
  done
}

# start_agent SOURCE SECTIONS [HUB FLAGS...] starts both and pairs them. $agent is the
# agent's process; SECTIONS are added to its configuration.
start_agent() {
  local source=$1 sections=$2
  shift 2
  ./lensctl hub --state hub --mqtt 127.0.0.1:28883 --devices 127.0.0.1:28443 --listen 127.0.0.1:28080 \
    --log error "$@" >hub.out &
  appears -s hub.out
  ./lensctl owner new me >/dev/null 2>&1
  cat >lensward.toml <<END
[camera]
source = "$source"
[state]
dir = "camera"
[hub]
broker = "127.0.0.1:28883"
url = "https://127.0.0.1:28443"
ca_file = "hub/ca.pem"
connect_window = "1s"
[log]
level = "error"
$sections
END
  ./lensward --config lensward.toml &
  agent=$!
  appears -S camera/agent.sock
  ./lensctl pair --state camera --owner me >/dev/null
}
