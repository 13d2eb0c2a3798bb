//! What can be wrong with a request.

use std::time::Duration;

/// What can be wrong with a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It is served after a while.
    Late(Duration),
    /// It is not served; the answer is an error with this status and code.
    Refused(u16, &'static str),
    /// It is not served, because it has no checksum and the bucket has an object lock.
    Unchecked,
    /// It is not served; the answer begins with 200 and has an error of this code in its body.
    RefusedInBody(&'static str),
    /// It is not served; the connection is closed without an answer.
    Dropped,
    /// It is served, and the connection is closed without an answer.
    AnswerLost,
    /// It is never answered.
    Silence,
    /// It is served; of the answer's body only so many bytes come before the connection is closed.
    CutOff(usize),
    /// It is served as if it had no `If-None-Match`.
    Unconditional,
    /// It is not served; the answer is this document.
    Answered(&'static str),
    /// It is served, and the answer dates the object so (`Last-Modified`).
    Dated(&'static str),
    /// It is not served; the answer leads to another address.
    Redirected(String),
}
