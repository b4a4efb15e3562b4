# Recipes for people at work; CI runs tests/all.sh.

# All that is quick: formatting, lints, every test that needs no lab.
test:
    cargo fmt --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo test --workspace

# Everything, as CI does, lab included.
all:
    tests/all.sh

# The multi-master example on real machines in the lab.
demo:
    tests/demo.sh

# The figures: criterion benchmarks.
bench:
    cargo bench --workspace

# Checks dependencies' licences and advisories.
deny:
    cargo deny check

# Writes the schemas anew.
schema:
    cargo run -q -p kubitect-cli -- export schema > docs/schema.json
    cargo run -q -p kubitect-cli -- export schema --draft-07 > docs/schema-draft-07.json
    cargo run -q -p kubitect-cli -- export schema --site > docs/site-schema.json
