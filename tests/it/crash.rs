//! What a failure of the power leaves on a disk: files that are torn, old or missing, because nothing had synced them.
//!
//! The machine is not switched off for it. Everybody is killed, and each file is then made into something that the disk
//! could have kept: of what was written since it was last synced any part, in any order.

mod database;
mod replica;
mod state;
