# The two commands are `make demo` and `make test`. Everything that they need
# and that is missing is installed by scripts/need, which says what it does.

CARGO ?= cargo

.PHONY: help demo test bench bench-lockless coverage mutants fuzz verify prove loom shuttle misuse torture sanitize broken seeded lint doc build clean install uninstall deb vm

help:
	@echo 'make demo    two machines, one dies, the other answers: watch it'
	@echo 'make test    all tests'
	@echo 'make bench   the figures of docs/benchmarks.md, with the peers in the same run'
	@echo 'make bench-lockless  of these only what reads and changes of if_carp cost'
	@echo 'make verify  the lockless design: loom, shuttle, misuse, torture, and each way to break it'
	@echo 'make torture SECONDS=60  real threads at full rate while the configuration changes'
	@echo 'make sanitize  the same tests under the address, leak and thread sanitizers and Miri'
	@echo 'make seeded  faults put into libcarp one at a time: netisrd lab fuzz must find each'
	@echo 'make coverage  how much of libcarp its tests run, by line: at least 95 per cent'
	@echo 'make mutants   changes libcarp in every small way, and asks the tests'
	@echo 'make fuzz SECONDS=60  each fuzz target of fuzz/ for so long'
	@echo 'make install PREFIX=/usr/local DESTDIR=  programs, pages, unit, completions; make uninstall'
	@echo 'make deb     target/debian/*.deb'
	@echo 'make vm      a Debian with systemd under qemu: the package and its service on it, on VLAN, bond and bridge too'
	@echo 'make lint    format and clippy, warnings denied'
	@echo 'make doc     the documentation of the crates'

demo:
	@scripts/need libpcap-dev iproute2
	$(CARGO) build --release --workspace --bins
	target/release/demo

# The laboratories wait for their wires most of the time: two for each processor.
test: export RUST_TEST_THREADS ?= $(shell expr 2 \* $$(nproc))
test:
	@scripts/need libpcap-dev iproute2
	@scripts/need --optional ucarp keepalived curl nftables tcpdump tshark iputils-ping arping python3 chromium mandoc zsh fish systemd
	$(CARGO) build --workspace --bins
	$(CARGO) test --workspace

bench:
	@scripts/need libpcap-dev iproute2 ucarp iputils-ping
	@scripts/need --optional keepalived valgrind
	$(CARGO) build --release --workspace --bins
	target/release/bench

# QUICK=1 tries every part and writes nothing.
bench-lockless:
	@scripts/need libpcap-dev
	@scripts/need --optional valgrind
	$(CARGO) build --release --package benches
	target/release/bench --only read,change,forward $(if $(QUICK),--quick,--out docs/benchmarks.md)

coverage:
	@scripts/need libpcap-dev
	@scripts/need-cargo cargo-llvm-cov llvm-tools
	$(CARGO) llvm-cov --package libcarp --ignore-filename-regex '(/compat/|/tests_|/testutil)' \
	    --fail-under-lines 95

mutants:
	@scripts/need libpcap-dev
	@scripts/need-cargo cargo-mutants
	scripts/mutants

# A model checker's build goes to a folder of its own: other flags, other code.
# SHORT=1: as CI runs it, with fewer preemptions.
loom: export RUSTFLAGS = --cfg loom
loom: export LOOM_MAX_PREEMPTIONS = $(if $(SHORT),2,3)
loom:
	$(CARGO) test --target-dir target/loom --profile model -p compat --lib -- model

shuttle: export RUSTFLAGS = --cfg shuttle
shuttle:
	@scripts/need libpcap-dev
	$(CARGO) test --target-dir target/shuttle --profile model -p netisrd --test shuttle

# SHORT=1: as CI runs it, the program that is there already.
SECONDS ?= 60
torture:
	@scripts/need libpcap-dev
	$(if $(SHORT),$(CARGO) build --workspace --bins,$(CARGO) build --profile model -p tests --bin torture)
	target/$(if $(SHORT),debug,model)/torture --seconds $(SECONDS)

# SHORT=1: of compat alone, as CI runs it.
sanitize:
	@scripts/need libpcap-dev
	SHORT=$(SHORT) scripts/sanitize

# SHORT=1: as CI runs it.
fuzz: SECONDS := $(if $(SHORT),5,$(SECONDS))
fuzz:
	@scripts/need libpcap-dev g++
	SEED=$(if $(SHORT),1) scripts/fuzz $(SECONDS)

# SHORT=1: as CI runs it, without what shuttle looks for.
broken:
	@scripts/need libpcap-dev python3
	scripts/broken $(if $(SHORT),--short)

seeded:
	@scripts/need libpcap-dev python3
	scripts/seeded

misuse:
	@scripts/need libpcap-dev
	$(CARGO) test -p compat -p netisrd --test misuse

verify: misuse prove

# What of it `make test` does not do as well.
prove: SECONDS = 20
prove: loom shuttle torture broken

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) clippy --manifest-path fuzz/Cargo.toml --target-dir target --no-default-features -- -D warnings

doc:
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps

build:
	$(CARGO) build --release --workspace --bins

PREFIX ?= /usr/local
DESTDIR ?=

# Builds if it must; root need not, after `make build`.
install: build
	PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' scripts/install target/release

uninstall:
	PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' scripts/install -u

deb:
	@scripts/need libpcap-dev dpkg-dev
	@scripts/need-cargo cargo-deb
	$(CARGO) build --release -p netisrd -p ifconfig-carp --bins
	scripts/deb

# ONLY='NAME...': of tests/vm these parts alone.
vm: deb
	@scripts/need qemu-system-x86 mmdebstrap genext2fs e2fsprogs
	scripts/vm target/debian/netisrd_*.deb

clean:
	$(CARGO) clean
