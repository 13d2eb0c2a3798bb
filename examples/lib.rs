//! Programs to try ebbtide with: `cargo run --release --example quickstart`. What is shared between them would be here.
