# fhird: "make" alone says what there is.

PREFIX ?= /usr/local
DESTDIR ?=
# Where `make install` and the tests in a real systemd take the programs from.
BINARIES ?= .build/dist

# SwiftPM resolves what the lock of another build holds; one build at a time.
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help build release demo run test test-swift test-gateway test-systemd fuzz check install uninstall clean deps

help:
	@echo "make demo       build, then show the whole path on this machine: server, connection, token, refresh; cleans up"
	@echo "make run        the same up to the connection, and leave daemon and server running until Ctrl-C"
	@echo "make build      build the programs (debug)"
	@echo "make release    build them optimized, self-contained and stripped, into .build/dist"
	@echo "make test       all tests; those in a real systemd too when run by root"
	@echo "make fuzz       fuzz every parser of foreign bytes, FHIRD_FUZZ_SECONDS (60) each; needs no root"
	@echo "make check      format, warnings, import directions, shell scripts, units"
	@echo "make install    (sudo) programs, units, user, directories, master key; PREFIX=$(PREFIX), DESTDIR"
	@echo "make uninstall  (sudo) take them away again; leaves the state, the key and /etc/fhird"
	@echo "make clean      remove what was built"

build: deps
	swift build

release: deps
	scripts/release

demo: build
	Demo/demo

run: build
	Demo/demo --stay

test: test-swift test-gateway test-systemd

test-swift: deps
	scripts/deps test
	swift build --build-tests
	scripts/test

# The gateway behind nginx, as the README says.
test-gateway: deps
	swift build --product fhird-gateway
	Tests/Gateway/nginx

# The programs of the debug build, unless BINARIES names others (`make release test-systemd BINARIES=.build/dist`).
test-systemd: deps
	swift build
	Tests/Systemd/run $(if $(filter command% environment%,$(origin BINARIES)),$(BINARIES),.build/debug)

fuzz: deps
	scripts/fuzz

check: deps
	scripts/deps check
	scripts/check

deps:
	@scripts/deps build

install:
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' BINARIES='$(BINARIES)' scripts/install

uninstall:
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' scripts/uninstall

clean:
	rm -rf .build .demo .peers
