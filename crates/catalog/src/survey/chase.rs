//! How far the end of a history is followed that grows while it is looked for.
//!
//! A listing may lag behind, so a plan for the newest state looks for the segment after its last one by name, and if that is
//! there, for the next. Beside a writer that puts segments as fast as they are read this would never end, and it need not: a
//! listing that shows what was only just found does not lag, and it shows all that was durable when the plan was asked for.

/// So many segments are found one by one before the log is listed again.
const LOOKS: u32 = 4;

/// How often it is listed before a listing that still does not show them is waited for no longer.
const LISTINGS_MAX: u32 = 256;

/// How far it was followed for one plan.
#[derive(Debug, Default)]
pub(super) struct Chase {
    /// How many segments were found by name since the last listing.
    looks: u32,
    listings: u32,
    is_over: bool,
}

impl Chase {
    /// Whether what comes now is not looked for any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// A segment was found by name. Whether the log is to be listed from there on.
    pub(super) fn found(&mut self) -> bool {
        self.looks += 1;
        self.looks >= LOOKS
    }

    /// The log was listed; `shows_it` says whether the listing has the segment that was found.
    pub(super) fn listed(&mut self, shows_it: bool) {
        self.looks = 0;
        self.listings += 1;
        self.is_over = shows_it || self.listings >= LISTINGS_MAX;
    }
}
