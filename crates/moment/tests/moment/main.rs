//! Moments of replicas that are written by hand, against the states they were written from.

#[cfg(test)]
mod faults;
#[cfg(test)]
mod kept;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod times;
