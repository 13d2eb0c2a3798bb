//! Marks beside horizons that are written by hand.

#[cfg(test)]
mod judged;

#[cfg(test)]
mod swept;
