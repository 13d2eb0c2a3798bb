//! Plans, fetches, applies, proves and publishes a database file.
