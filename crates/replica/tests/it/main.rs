//! What the crate promises to those who use it: objects, their proofs, and the document that describes them.

#[cfg(test)]
mod by_page;
#[cfg(test)]
mod container;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod format;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod pack;
#[cfg(test)]
mod sealed;
