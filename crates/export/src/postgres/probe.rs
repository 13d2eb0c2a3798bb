//! How many texts of a column are of one kind.

/// A question that is put to each text, until it need not be put any more.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    /// Whether a text that is none ends the asking.
    gives_up: bool,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    /// The first text that is none.
    pub(crate) first_miss: Option<Vec<u8>>,
}

/// As much of a text as a message shows.
const MISS_BYTES_MAX: usize = 160;

impl Probe {
    /// Asked of every text, so that all that are none are counted.
    pub(crate) fn of_all() -> Probe {
        Probe { gives_up: false, hits: 0, misses: 0, first_miss: None }
    }

    /// Asked until a text is none.
    pub(crate) fn until_a_miss() -> Probe {
        Probe { gives_up: true, ..Probe::of_all() }
    }

    /// Asks of one text.
    pub(crate) fn ask(&mut self, text: &[u8], is_it: impl FnOnce(&[u8]) -> bool) {
        if self.gives_up && self.misses > 0 {
            return;
        }
        if is_it(text) {
            self.hits += 1;
            return;
        }
        if self.misses == 0 {
            self.first_miss = Some(text[..text.len().min(MISS_BYTES_MAX)].to_vec());
        }
        self.misses += 1;
    }

    /// Whether there were texts, and each was one.
    pub(crate) fn is_all(&self) -> bool {
        self.misses == 0 && self.hits > 0
    }
}
