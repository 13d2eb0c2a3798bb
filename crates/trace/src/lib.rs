//! What changed in a history: at which entries the answer to a question did (`ebbtide when` and `ebbtide blame`), and which
//! rows did between two moments (`ebbtide diff` and `ebbtide undo`).
//!
//! A question is any query whose answer the database alone decides. It is asked at the newest state, and the pages that
//! SQLite reads for it are noted: its *read set*. No entry that carries none of them can have changed the answer, so the
//! entries are looked at from the newest to the oldest until one does carry one; the question is asked again at the state
//! before that. Whether the answer is another one there is the finding, and either way the search goes on with the read set
//! of that state. Nothing of a b-tree is known here: which rows the pages that changed between two moments can have changed,
//! [`ebbtide_rows::narrow`] says.
//!
//! What must hold:
//!
//! 1. **Exact.** What is found is what asking at every state would find, for a question whose answer the database alone
//!    decides; others are refused by name.
//! 2. **Page 1** is in every read set and changes with every allocation. It counts only if it changed in bytes that are not
//!    about that, and those are looked at once for each time the question is asked: see the module `page_one`.
//! 3. **A gap** in the history counts as a change of everything, and what changed within one is said to be between two
//!    states and no transaction of its own.
//! 4. What is in memory is bounded: the entries of some objects, one read set, and the beginning of an answer.
//!
//! The words that are ours are in `docs/glossary.md`.

mod answer;
mod ask;
mod back;
mod changed;
mod compare;
mod error;
mod page_one;
mod question;
mod search;

pub use answer::{Answer, Difference};
pub use changed::Between;
pub use compare::{Comparison, Reading, Scope, WhyFull};
pub use error::{Result, TraceError};
pub use question::{Question, Unsuitable};
pub use search::{Found, Searched, Trace};
