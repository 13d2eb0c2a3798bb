//! The statements of an undo, in the order in which they run.

use std::io::{self, Read, Seek as _, Write as _};

use tempfile::SpooledTempFile;

/// Statements wait in memory up to this, then in a temporary file.
const SPOOL_BYTES: usize = 4 << 20;

/// The phases, in order: everything is looked at before anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Whether tables and rows are as they were left.
    Check,
    /// Triggers are set aside; only in a script, whose client cannot be told to leave them out.
    SetAside,
    /// Tables that were dropped are made again.
    Create,
    /// Rows that were inserted are deleted, and with them those whose unique values change.
    Delete,
    /// Whether unique values are free by now.
    CheckUnique,
    /// Rows are updated and given back.
    Write,
    /// Indexes, views and triggers, and what was created is dropped.
    Finish,
    /// Triggers are made again; only in a script.
    SetBack,
}

impl Phase {
    pub(super) const ALL: [Phase; 8] = [
        Phase::Check,
        Phase::SetAside,
        Phase::Create,
        Phase::Delete,
        Phase::CheckUnique,
        Phase::Write,
        Phase::Finish,
        Phase::SetBack,
    ];

    /// Whether it is for clients alone that cannot switch triggers off.
    pub(super) fn is_for_scripts(self) -> bool {
        matches!(self, Phase::SetAside | Phase::SetBack)
    }
}

/// Statements by phase.
pub(super) struct Steps {
    spools: Vec<SpooledTempFile>,
    counts: [u64; Phase::ALL.len()],
}

impl Steps {
    pub(super) fn new() -> Steps {
        let spools = Phase::ALL.iter().map(|_| SpooledTempFile::new(SPOOL_BYTES)).collect();
        Steps { spools, counts: [0; Phase::ALL.len()] }
    }

    /// Adds a statement, without its semicolon.
    pub(super) fn push(&mut self, phase: Phase, sql: &str) -> io::Result<()> {
        let length = u64::try_from(sql.len()).unwrap_or(u64::MAX);
        self.counts[phase as usize] += 1;
        let spool = &mut self.spools[phase as usize];
        spool.write_all(&length.to_le_bytes())?;
        spool.write_all(sql.as_bytes())
    }

    /// Hands each statement of a phase to `each`.
    pub(super) fn each<E: From<io::Error>>(
        &mut self,
        phase: Phase,
        mut each: impl FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        let spool = &mut self.spools[phase as usize];
        spool.rewind()?;
        let mut sql = String::new();
        for _ in 0..self.counts[phase as usize] {
            let mut length = [0; 8];
            spool.read_exact(&mut length)?;
            sql.clear();
            spool.take(u64::from_le_bytes(length)).read_to_string(&mut sql)?;
            each(&sql)?;
        }
        Ok(())
    }
}
