//! Moments of replicas as SQLite reads them, against the bytes that SQLite had.

#[cfg(test)]
mod exact;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod scene;
