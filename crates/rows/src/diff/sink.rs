//! Who hears of the differences.

use super::super::error::RowsError;
use super::super::schema::Schema;
use super::change::{Change, Counts};
use super::number::NumberChange;
use super::pair::TablePair;
use super::schema_change::SchemaChange;

/// What a sink wants to hear of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Each difference.
    Changes,
    /// Each row of the new side, as inserted: the table is made again.
    Rows,
}

/// Hears of the differences as they are found: the schema first, then table by table.
pub trait Sink {
    /// Before anything else.
    ///
    /// # Errors
    /// What the sink cannot do ends the comparison, here and below.
    fn begin(
        &mut self,
        old: &Schema,
        new: &Schema,
        changes: &[SchemaChange],
    ) -> Result<(), RowsError>;

    /// A number of the database, after the schema. Whoever has no place for it says so.
    ///
    /// # Errors
    /// As above.
    fn number(&mut self, change: NumberChange) -> Result<(), RowsError>;

    /// Before the rows of a table.
    ///
    /// # Errors
    /// As above.
    fn table(&mut self, pair: &TablePair<'_>) -> Result<Want, RowsError>;

    /// A difference, in the order of the pair's key.
    ///
    /// # Errors
    /// As above.
    fn row(&mut self, pair: &TablePair<'_>, change: Change<'_>) -> Result<(), RowsError>;

    /// After the rows of a table.
    ///
    /// # Errors
    /// As above.
    fn table_end(&mut self, pair: &TablePair<'_>, counts: Counts) -> Result<(), RowsError>;

    /// A table is not compared.
    ///
    /// # Errors
    /// As above.
    fn not_compared(&mut self, table: &str, why: &str) -> Result<(), RowsError>;

    /// After everything else.
    ///
    /// # Errors
    /// As above.
    fn end(&mut self) -> Result<(), RowsError>;
}
