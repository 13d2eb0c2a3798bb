//! How many puts are allowed.

/// How many puts are allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Puts {
    /// In the long run, each second. Above 0.
    pub per_second: f64,
    /// At once, after a rest. At least 1.
    pub burst: f64,
}
