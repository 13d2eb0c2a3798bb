//! The stores: one contract for all, and what each does when things go wrong.

mod environment;
mod faults;
mod folder;
mod kinds;
mod requests;
mod uploads;
