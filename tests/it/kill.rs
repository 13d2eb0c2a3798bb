//! Kills: at every named place of the product's own steps, and at any moment.
//!
//! The places are calls of `ebbtide_fault::point`; their names are taken from the source, so that none is left out. A
//! real `ebbtide replicate` runs beside a real application and dies at the place. The application writes on, and ends
//! its log with a checkpoint of its own; then `ebbtide` is started again and brings the replica to its end. Nothing
//! that was durable may have changed, every state of the history must be one that the application had, and the last
//! one must be the database's.

pub(crate) mod armed;
pub(crate) mod place;
mod random;
mod restore;
