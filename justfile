# Shorter names for what can be typed as well: each recipe is one command, and just is not needed.

# What has to pass before anything else is looked at.
check:
    cargo clippy --workspace --all-targets -- -D warnings

# Everything but MinIO and fuzzing.
test *filter:
    cargo test --workspace {{filter}}

# The layout that rustfmt.toml asks for.
format:
    cargo fmt --all

# The documentation of all crates.
doc:
    cargo doc --workspace --no-deps --open

# A database is lost and brought back.
quickstart:
    cargo run --release --example quickstart

# The tests that need MinIO, with a MinIO of their own.
minio:
    .ci/run minio

# An SQLite with the WAL-reset bug, alone and beside ebbtide.
wal-reset:
    .ci/run wal_reset

# Each fuzz target for a minute.
fuzz:
    .ci/run fuzz

# A Debian package and a tarball, in target/package.
package:
    packaging/build

# All that has to pass.
ci:
    .ci/run
