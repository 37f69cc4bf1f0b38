# Lensward. `make help` lists what can be made.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS  = -s -w $(if $(VERSION),-X main.version=$(VERSION))

# How long each fuzz target runs, and how often each benchmark is repeated.
FUZZTIME ?= 30s
COUNT    ?= 3

# A tree whose owner git does not trust still builds: the version comes from above.
export GOFLAGS := $(strip $(GOFLAGS) -buildvcs=false)

.DEFAULT_GOAL := all

all: build ## the same as build

build: ## both programs, static, into bin/
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

demo: ## camera, hub and owner on this machine, in a browser (ARGS="--mixup 0.5")
	CGO_ENABLED=0 go run ./cmd/lensctl demo $(ARGS)

test: ## everything that must pass before a merge; installs the tools that it needs
	scripts/test.sh

unit: ## the Go tests alone, with the race detector where it is not too slow
	scripts/unit.sh

test-arm: ## the packages a camera leans on, as ARM programs (ARM=all: armv7 too)
	scripts/test-arm.sh

lab: ## the agent on emulated boards, before cameras of the kernel's drivers (about 3 minutes)
	scripts/lab.sh $(ARGS)

lab-long: ## all of the lab: 100 unplugs, every fault, every camera on every board
	scripts/lab.sh --long $(ARGS)

fuzz: ## every fuzz target for FUZZTIME (30s)
	scripts/fuzz.sh $(FUZZTIME)

lint: ## gofmt, go vet here and for 32-bit ARM, staticcheck, shell syntax
	scripts/lint.sh

page: ## build the viewer page again, after its tests
	scripts/build-page.sh --test

bench: ## every benchmark, COUNT (3) times
	go test -run '^$$' -bench . -benchmem -count $(COUNT) ./...

soak: ## the whole agent on a camera of 30 frames a second for an hour (ARGS="SECONDS FILE.mjpeg")
	scripts/soak.sh $(ARGS)

bench-peers: ## speed beside other programs' (ARGS=FILE.mjpeg adds motion)
	scripts/bench-peers.sh $(ARGS)

size: ## the agent for each ARM, stripped, against its limit
	scripts/size.sh

kills: ## the agent and the hub killed at 200 and 50 moments (about 5 minutes)
	LENSWARD_KILLS=200,50 go test ./internal/systest -run TestKilledAtAnyMoment -count 1 -v -timeout 30m

honest: ## an honest hub, 10,000 items and everything that goes wrong: no finding (about 9 minutes)
	LENSWARD_HONEST=10000 go test ./internal/systest -run TestHonestHubIsNotAccused -count 1 -v -timeout 30m

storm: ## a whole fleet loses its hub and comes back: 5,000 devices, then 13,000 (ARGS=fleet or incident)
	scripts/storm.sh $(ARGS)

setup: ## the tools that the tests use
	scripts/setup.sh

clean: ## what was built
	rm -rf bin dist

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: all build demo test unit test-arm lab lab-long fuzz lint page soak bench bench-peers size kills honest storm setup clean help
