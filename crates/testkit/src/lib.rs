//! For tests only: SQLite workloads, an S3 server in this process, faulty stores.
