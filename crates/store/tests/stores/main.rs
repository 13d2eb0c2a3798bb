//! The stores: one contract for all, and what each does when things go wrong.

#[cfg(test)]
mod directory;
#[cfg(test)]
mod environment;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod faulty;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod planted;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod uploads;
