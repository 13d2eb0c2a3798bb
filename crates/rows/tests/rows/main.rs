//! Tests of the rows of two databases: what is found, what is written, and what other SQLites make of it.

#[cfg(test)]
mod changesets;
#[cfg(test)]
mod differences;
#[cfg(test)]
mod narrow;
#[cfg(test)]
mod random;
#[cfg(test)]
mod scripts;
#[cfg(test)]
mod support;
#[cfg(test)]
mod undo;
