//! What a pass keeps, deletes and says, against replicas in memory whose every state is remembered.

#![cfg(test)]

mod history;
mod keeps;
mod refuses;
mod settled;
mod steps;
