# One line for each thing to do; the work is in scripts/. Every target installs what it needs (scripts/setup).

.DEFAULT_GOAL := help
.PHONY: help demo test bench soak guests fmt lint doc deny fuzz check-arm64

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

demo: ## run simulator, hive and gateway on this machine, and print a link for each film
	@scripts/setup build
	@scripts/demo

test: ## all checks and tests, as CI runs them
	@scripts/setup test
	@scripts/test

bench: ## side by side with nginx and with Python clients
	@scripts/setup bench
	@scripts/bench

soak: ## long runs under faults: the ignored tests whose names start with soak
	@scripts/setup test
	@scripts/guests
	@scripts/with-cargo build --locked --workspace --bins --tests
	@scripts/with-cargo nextest run --locked --workspace --profile soak --run-ignored only soak

guests: ## build the plugins that ship into target/plugins
	@scripts/setup guests
	@scripts/guests

fmt: ## format all code
	@scripts/setup build
	@scripts/with-cargo fmt --all

lint: ## clippy, with every warning an error
	@scripts/setup build
	@scripts/with-cargo clippy --locked --workspace --all-targets -- -D warnings

doc: ## API documentation in target/doc
	@scripts/setup build
	@RUSTDOCFLAGS='-D warnings' scripts/with-cargo doc --locked --workspace --no-deps

deny: ## licences, bans, sources and advisories of dependencies
	@scripts/setup test
	@scripts/deny --advisories

fuzz: ## fuzz the parsers for a bounded time
	@scripts/setup build
	@scripts/fuzz

check-arm64: ## compile for 64-bit ARM, as CI does
	@scripts/setup arm64
	@scripts/with-cargo check --locked --workspace --all-targets --target aarch64-unknown-linux-gnu
