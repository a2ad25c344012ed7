# Everything a newcomer needs. `make` alone lists it.

.DEFAULT_GOAL := help
.PHONY: help demo test matrix soak outages acceptance many volume bench fuzz console fmt lint clean install

help: ## List the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: ## Install what is missing: system packages, Kafka's jars
	@scripts/install

demo: install ## Run the shop on a real PostgreSQL and Kafka; DEMO_SECONDS=60 stops by itself
	@scripts/demo

test: ## Pass every test, against a real PostgreSQL, Kafka and Debezium
	@scripts/install tests
	cargo build --locked --tests
	scripts/matrix --short 14 18
	scripts/with-servers cargo test --locked -- --test-threads=4

matrix: install ## Pass the PostgreSQL-facing tests on every version; MAJORS="14 18" for some of them
	@scripts/matrix $(MAJORS)

soak: install ## Kill a snapshot of ROWS=20000000 rows ten times, and compare
	TIDEWATER_TEST_SNAPSHOT_ROWS=$(or $(ROWS),20000000) scripts/with-servers \
		cargo test --locked --release --test it -- --ignored --nocapture starts::soak

outages: install ## Kill the broker twice under load; kafka itself may leave a transaction hanging (KAFKA-20734)
	scripts/with-servers cargo test --locked --test it -- --ignored --nocapture faults::outages

acceptance: install ## Load the whole shop for SECONDS=300 while it is verified, then kill each role ten times under load
	TIDEWATER_TEST_ACCEPTANCE_SECONDS=$(or $(SECONDS),300) scripts/with-servers \
		cargo test --locked --release --test it -- --nocapture --test-threads=1 acceptance::

many: install ## Read and stream TABLES=10000 tables through one topic, within the bound of memory
	TIDEWATER_TEST_TABLES=$(or $(TABLES),10000) scripts/with-servers \
		cargo test --locked --test it -- --ignored --nocapture bounds::many

volume: install ## Publish one transaction of ROWS=10000000 rows within the bound of memory, and compare
	TIDEWATER_TEST_TRANSACTION_ROWS=$(or $(ROWS),10000000) scripts/with-servers \
		cargo test --locked --release --test it -- --ignored --nocapture faults::volume

bench: install ## Measure; BENCH=drain|snapshot|latency|gateway|aggregate|encode|decode|types for one of them
	@scripts/bench $(BENCH)

fuzz: ## Look for bytes that a parser does not survive; FUZZ_SECONDS=600 for each target
	@scripts/fuzz

console: ## Check and build the console's page, which is committed; needs node 20 and npm
	cd console && npm ci --no-audit --no-fund && npm run check && npm run build

fmt: ## Format the code
	cargo fmt

lint: ## Deny what the house rules forbid
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

clean: ## Remove everything that was built or fetched
	rm -rf target .cache
