# One entry for people and for CI. `make test` needs Go and, once, root on
# Debian for scripts/deps; everything else is fetched into .tools.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

export SLUICE_TOOLS ?= $(CURDIR)/.tools
# The administrative folders hold ip, nft and conntrack.
export PATH := $(SLUICE_TOOLS)/bin:$(PATH):/usr/sbin:/sbin

FUZZTIME ?= 2s
# What make test-long fuzzes for ten minutes each: all that reads what strangers
# send as SDP, fragments, STUN, RTCP, RTP and tokens, and the rewriting of RTP.
FUZZ_LONG := ^Fuzz(Offer|Answer|Fragment|Receive|Check|LikePion|Feedback|Inbound|Track|ParseRTP|Numbering|Header|Rewrite|Token|Claims)$$=10m
PKG ?= ./...
# Systems that nothing runs on here: all of the code must compile for them.
FOREIGN ?= darwin windows
# End-to-end tests measure frame rates of browsers: one after the other, without
# the race detector, and never from the cache.
E2E := -tags=e2e -count=1 -p=1 -timeout=20m -run=^TestE2E ./gateway/...
E2E_MUTANTS := -tags=e2e -count=1 -timeout=20m -run=^TestE2E ./conformance/mutant
E2E_WEB := -tags=e2e -count=1 -timeout=10m ./web

.PHONY: testsum build test test-long test-unit e2e deps vet lint fuzz-short bench paired cover

build: ## the binary
	CGO_ENABLED=0 go build -trimpath -o sluice .

test: deps vet lint testsum ## everything; the last line is the sum of all tests
	testsum -figures=^TestE2E -fuzz=$(FUZZTIME) -- '-race -timeout=10m ./...' '$(E2E_WEB)' '$(E2E_MUTANTS)' '$(E2E)'

test-long: deps vet lint testsum ## the same with full counts and durations
	SLUICE_LONG=1 testsum -figures=^TestE2E -fuzz=60s '-fuzz-for=$(FUZZ_LONG)' -- '-race -timeout=60m ./...' '$(E2E_WEB)' '$(subst 20m,60m,$(E2E_MUTANTS))' '$(subst 20m,90m,$(E2E))'

test-unit: testsum ## the packages' own tests, quick
	testsum -- '$(PKG)'

e2e: deps testsum ## real clients and network namespaces only (RUN=regexp picks)
	testsum -figures=^TestE2E -- $(if $(RUN),'$(subst ^TestE2E,$(RUN),$(E2E))','$(E2E_WEB)' '$(E2E_MUTANTS)' '$(E2E)')

testsum: # not by go run, which adds a line of its own when a test fails
	go build -o $(SLUICE_TOOLS)/bin/testsum ./scripts/testsum

deps: ## what the tests run: browser, ffmpeg, GStreamer, linter
	scripts/deps

vet: ## compile checks, also of the end-to-end tests and for other systems
	go vet ./...
	go vet -tags=e2e ./...
	for os in $(FOREIGN); do echo "GOOS=$$os go vet ./..."; GOOS=$$os CGO_ENABLED=0 go vet ./...; done

lint: deps ## golangci-lint and formatting
	golangci-lint run --build-tags=e2e ./...

fuzz-short: testsum ## every fuzz target for FUZZTIME
	testsum -fuzz=$(FUZZTIME)

bench: ## benchmarks, then Sluice and a naive forwarder under load; BASE=commit compares benchmarks with it (PKG, BENCH, COUNT, BENCHTIME, PAIRED)
	scripts/bench $(BASE)
	$(if $(BASE),,go run ./bench/paired $(PAIRED))

paired: ## Sluice and a naive forwarder under load, side by side; PAIRED="-full -out DIR" is everything, with long windows
	go run ./bench/paired $(PAIRED)

cover: ## coverage of the packages' own tests
	go test -coverprofile=cover.out -coverpkg=./... ./...
	go tool cover -func=cover.out | tail -1
