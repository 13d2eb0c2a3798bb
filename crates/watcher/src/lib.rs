//! Reads committed transactions out of a live write-ahead log, and holds it until they are read.
