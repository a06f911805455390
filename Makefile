# Targets for people and for CI. Everything a target needs it installs itself.
.PHONY: run test test-foreign lint bench docs tools

run:
	cargo run -- run examples/quickstart/pipeline.toml

test:
	sh tools/postgresql.sh
	sh tools/mariadb.sh
	sh tools/object-stores.sh
	cargo test --workspace --quiet
	sh examples/prepared-data/test.sh
	sh examples/company/third-party/test.sh
	sh core/receiver/tracker/test.sh

# Other people's connectors from PyPI; wants its package index.
test-foreign:
	sh connectors/tests/foreign/test.sh

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	sh tools/one-tower.sh

bench:
	sh tools/bench.sh
	sh tools/bench-plugins.sh
	sh tools/bench-singer.sh
	sh tools/bench-postgresql.sh

# Rewrites generated pages and snapshots.
docs:
	UPDATE_EXPECT=1 cargo test --workspace --quiet
