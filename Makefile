# The two commands are `make demo` and `make test`. Everything that they need
# and that is missing is installed by scripts/need, which says what it does.

CARGO ?= cargo

.PHONY: help demo test bench lint doc build clean

help:
	@echo 'make demo    two machines, one dies, the other answers: watch it'
	@echo 'make test    all tests'
	@echo 'make bench   the figures of docs/benchmarks.md, with the peers in the same run'
	@echo 'make lint    format and clippy, warnings denied'
	@echo 'make doc     the documentation of the crates'

demo:
	@scripts/need libpcap-dev iproute2
	$(CARGO) build --release --workspace --bins
	target/release/demo

test:
	@scripts/need libpcap-dev iproute2
	@scripts/need --optional ucarp tcpdump tshark iputils-ping arping python3
	$(CARGO) build --workspace --bins
	$(CARGO) test --workspace

bench:
	@scripts/need libpcap-dev iproute2 ucarp iputils-ping
	$(CARGO) build --release --workspace --bins
	target/release/bench

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps

build:
	$(CARGO) build --release --workspace --bins

clean:
	$(CARGO) clean
