//! Commands of the pages that cannot run in a test, or not at once.

/// Commands that cannot run here, and why.
pub(super) const SKIPPED: &[(&str, &str)] = &[
    ("cargo run --release --example quickstart", "it is built and run by .ci/run"),
    ("cargo run --release --example tenants", "it is built and run by .ci/run"),
    (
        "cargo run --release --example restore -- ./backup newest.db",
        "it is built and run by .ci/run",
    ),
    (
        "cargo run --release --example yesterday -- ./backup 'SELECT count(*) FROM sqlite_schema' 1",
        "it is built and run by .ci/run",
    ),
    ("ebbtide page ./backup", "it shows until it is ended; the tests of the page run it"),
    ("cargo test --workspace", "it is what runs this test"),
    ("cargo install --path crates/cli", "it installs what this test was built with"),
    ("export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…", "the values are left out"),
    ("ebbtide replicate app.db 's3://bucket/app?region=eu-central-1'", "it needs Amazon's S3"),
];

/// Where the documents have it listen.
pub(super) const ADDRESS: &str = "127.0.0.1:9094";

/// Commands that succeed once the history is long enough, the mirror has it, or the database was let go.
pub(super) const IN_A_MOMENT: &[&str] = &[
    "ebbtide log ./backup",
    "ebbtide restore -o earlier.db --timestamp '1s ago' --nearest before ./backup",
    "ebbtide verify ./mirrors/app.db",
    "ebbtide sync --wait tenants/acme/shop.db",
    "ebbtide sync --wait tenants/acme-inc/shop.db",
    "ebbtide restore -o from-both.db ./backup ./mirrors/app.db",
    "ebbtide unmark removed ./backups/acme-inc/shop.db",
];

pub(super) fn is_skipped(command: &str) -> bool {
    SKIPPED.iter().any(|(skipped, _)| *skipped == command)
}
