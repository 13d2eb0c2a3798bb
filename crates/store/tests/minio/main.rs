//! MinIO keeps the contract of all stores. Runs when there is one to try:
//!
//! ```text
//! EBBTIDE_TEST_MINIO=http://127.0.0.1:9000 EBBTIDE_TEST_MINIO_USER=… EBBTIDE_TEST_MINIO_PASSWORD=… \
//!     cargo test --workspace --test minio
//! ```

#[cfg(test)]
mod contract;
