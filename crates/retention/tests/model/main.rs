//! A model checker for the protocol of retention: checks every reachable state.
//!
//! `names` has the writers: what a session counts as durable is in the history, whatever is deleted while it sleeps.
//! `horizons` has the pruners: what a horizon or a mark promises keeps a plan. Both meet at two facts, which each takes
//! from the other: segments go once they are in packs, and what lies below a horizon goes once it is old.
//!
//! Each rule of the protocol has a configuration without it, in which the search must find what goes wrong; the shortest
//! way there is printed (`--nocapture`).

mod horizons;
mod names;
