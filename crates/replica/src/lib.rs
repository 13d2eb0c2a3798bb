//! What a replica is: transactions, objects, keys, and the stores they lie in.
