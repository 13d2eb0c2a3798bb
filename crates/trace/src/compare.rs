//! Two moments of which the rows are compared: narrow by the pages that changed between them where that is certain, else in
//! full.

use std::cell::RefCell;
use std::fmt;
use std::io;

use ebbtide_moment::{Error as MomentError, Moment};
use ebbtide_replica::Entry;
use ebbtide_rows::{Doubt, Extents, Paged, RowsError, Side, leftover, narrow};
use ebbtide_sql::Past;
use ebbtide_wal::PageNumber;
use futures::{StreamExt as _, TryStreamExt as _};

use crate::changed::Between;
use crate::error::{Result, TraceError};

/// So many pages are on their way at once.
const PAGES_AT_ONCE: usize = 64;

/// How much of two states is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// What the pages that changed can have changed, where that is certain.
    #[default]
    Changed,
    /// Everything.
    Full,
}

/// What was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// What so many pages that differ can have changed.
    Narrow(usize),
    /// Everything.
    Full(WhyFull),
}

/// Why everything was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhyFull {
    /// That was asked for.
    Asked,
    /// Not every entry between the two says which pages it changed.
    Entries,
    /// It is not certain what the pages that changed are.
    Doubt(Doubt),
}

impl Reading {
    /// In one word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Reading::Narrow(_) => "narrow",
            Reading::Full(_) => "full",
        }
    }

    /// Why it was not narrow, if it was not.
    #[must_use]
    pub fn why_full(self) -> Option<WhyFull> {
        match self {
            Reading::Narrow(_) => None,
            Reading::Full(why) => Some(why),
        }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reading::Narrow(1) => f.write_str("compared by the 1 page that differs"),
            Reading::Narrow(pages) => write!(f, "compared by the {pages} pages that differ"),
            Reading::Full(why) => write!(f, "compared in full: {why}"),
        }
    }
}

impl fmt::Display for WhyFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WhyFull::Asked => f.write_str("as it was asked for"),
            WhyFull::Entries => {
                f.write_str("it is not known which pages each entry between the two changed")
            }
            WhyFull::Doubt(doubt) => doubt.fmt(f),
        }
    }
}

/// Two moments, and which rows can differ between them.
#[derive(Debug)]
pub struct Comparison {
    old: Moment,
    new: Moment,
    between: Between,
    extents: Extents,
    reading: Reading,
}

impl Comparison {
    /// Looks at what is between two moments, and at the pages that changed. On a thread that may wait.
    ///
    /// # Errors
    /// When a moment or an entry between the two cannot be read.
    pub fn look(old: &Moment, new: &Moment, scope: Scope) -> Result<Comparison> {
        let between = match old.txid() <= new.txid() {
            true => Between::look(old, new)?,
            false => Between::look(new, old)?,
        };
        Comparison::of(old, new, between, scope)
    }

    /// The same for the states right before and after an entry, which is at hand.
    ///
    /// # Errors
    /// When a moment cannot be read.
    pub fn of_entry(old: &Moment, new: &Moment, entry: &Entry) -> Result<Comparison> {
        Comparison::of(old, new, Between::of_entry(old, new, entry), Scope::Changed)
    }

    fn of(old: &Moment, new: &Moment, between: Between, scope: Scope) -> Result<Comparison> {
        let (extents, reading) = match (scope, &between.pages) {
            (Scope::Full, _) => (Extents::default(), Reading::Full(WhyFull::Asked)),
            (Scope::Changed, None) => (Extents::default(), Reading::Full(WhyFull::Entries)),
            (Scope::Changed, Some(pages)) => Pair::open(old, new)?.extents(pages)?,
        };
        Ok(Comparison { old: old.clone(), new: new.clone(), between, extents, reading })
    }

    /// What is between the two.
    #[must_use]
    pub fn between(&self) -> &Between {
        &self.between
    }

    /// How much is compared.
    #[must_use]
    pub fn reading(&self) -> Reading {
        self.reading
    }

    /// Calls `diff` with both, the earlier one first, and with the rows that can differ. On a thread that may wait.
    ///
    /// # Errors
    /// When a moment cannot be read, which is the error then whatever SQLite says, or `diff` fails.
    pub fn run<T>(
        &self,
        diff: impl FnOnce(Side<'_>, Side<'_>, &Extents) -> Result<T, RowsError>,
    ) -> Result<T> {
        let pair = Pair::open(&self.old, &self.new)?;
        let [old, new] = &pair.0;
        let found = diff(Side::new(old, "main"), Side::new(new, "main"), &self.extents);
        found.map_err(|error| pair.explain(error))
    }
}

/// Both moments, each on a connection of its own.
struct Pair([Past; 2]);

impl Pair {
    fn open(old: &Moment, new: &Moment) -> Result<Pair> {
        let open = |moment| Past::connect(moment).map_err(TraceError::Sql);
        Ok(Pair([open(old)?, open(new)?]))
    }

    /// SQLite says only that reading failed.
    fn explain(&self, error: RowsError) -> TraceError {
        let cause = self.0.iter().find_map(|past| past.main().take_failure());
        cause.map_or_else(|| TraceError::Rows(error), TraceError::Moment)
    }

    /// What can differ if nothing but these pages do.
    fn extents(&self, pages: &[u32]) -> Result<(Extents, Reading)> {
        let failure = RefCell::new(None);
        let [old, new] = &self.0;
        let read_old = |numbers: &[u32]| read(old.main().moment(), numbers, &failure);
        let read_new = |numbers: &[u32]| read(new.main().moment(), numbers, &failure);
        let found = narrow(&paged(old, &read_old), &paged(new, &read_new), pages);
        let found = match found {
            Ok(Ok(found)) => found,
            Ok(Err(doubt)) => return Ok(full(doubt)),
            Err(error) => {
                let cause = failure.into_inner();
                return Err(cause.map_or_else(|| self.explain(error), TraceError::Moment));
            }
        };
        let mut left = found.overflow;
        for past in &self.0 {
            if left.is_empty() {
                break;
            }
            self.strike_out(past, &found.extents, &mut left)?;
        }
        match left.first() {
            None => Ok((found.extents, Reading::Narrow(found.pages))),
            Some(page) => Ok(full(Doubt::Overflow(*page))),
        }
    }

    /// Takes those pages away that belong to rows which are compared anyway: SQLite reads them with these rows.
    fn strike_out(&self, past: &Past, extents: &Extents, left: &mut Vec<u32>) -> Result<()> {
        past.main().take_reads();
        let mut is_enough = || {
            let reads = past.main().take_reads();
            left.retain(|page| PageNumber::new(*page).is_none_or(|page| !reads.contains(page)));
            left.is_empty()
        };
        let read = leftover(Side::new(past, "main"), extents, &mut is_enough);
        read.map_err(|error| self.explain(error))
    }
}

fn full(doubt: Doubt) -> (Extents, Reading) {
    (Extents::default(), Reading::Full(WhyFull::Doubt(doubt)))
}

fn paged<'a>(past: &'a Past, read: ebbtide_rows::ReadPages<'a>) -> Paged<'a> {
    let moment = past.main().moment();
    Paged {
        side: Side::new(past, "main"),
        page_bytes: moment.page_size().bytes(),
        pages: moment.pages(),
        read,
    }
}

/// Several pages at once, in the order of their numbers in the list. Why it fails is kept, because an error of input says
/// less.
fn read(
    moment: &Moment,
    numbers: &[u32],
    failure: &RefCell<Option<MomentError>>,
) -> io::Result<Vec<Vec<u8>>> {
    let page = |number: u32| async move {
        let absent =
            MomentError::NoPage { page: number, txid: moment.txid(), pages: moment.pages() };
        let page = moment.page(PageNumber::new(number).ok_or(absent)?).await?;
        Ok::<_, MomentError>(page.to_vec())
    };
    let pages = futures::stream::iter(numbers.to_vec()).map(page).buffered(PAGES_AT_ONCE);
    let pages = moment.replica().runtime().block_on(pages.try_collect());
    pages.map_err(|error| {
        let said = io::Error::other(error.to_string());
        *failure.borrow_mut() = Some(error);
        said
    })
}
