//! The steps as SQL.

use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, Result, params};

use super::application::{Committed, Workload};
use super::step::{CheckpointMode, Rows, Step, Table};
use crate::random::Random;

impl Workload {
    pub(super) fn perform(&mut self, step: &Step, committed: Committed<'_>) -> Result<()> {
        match step {
            Step::InsertEach(rows) => {
                for _ in 0..rows.count {
                    let one = Rows { count: 1, ..*rows };
                    self.transaction(committed, |sql, random| insert(sql, random, one))?;
                }
                Ok(())
            }
            Step::Rollback(rows) => {
                let index = self.any_connection();
                let sql = &self.connections[index];
                sql.execute_batch("BEGIN IMMEDIATE")?;
                insert(sql, &mut self.random, *rows)?;
                sql.execute_batch("ROLLBACK")
            }
            Step::Vacuum => self.outside_a_transaction(committed, "VACUUM"),
            Step::IncrementalVacuum(pages) => self
                .outside_a_transaction(committed, &format!("PRAGMA incremental_vacuum({pages})")),
            Step::Overwrite => self.overwrite(committed),
            Step::OpenReader => self.open_reader(),
            Step::CloseReader => {
                drop(self.readers.remove(0));
                Ok(())
            }
            Step::Checkpoint(mode) => self.checkpoint(*mode),
            Step::Reopen => {
                let index = self.any_connection();
                drop(self.connections.remove(index));
                self.connect()
            }
            Step::Restart => {
                self.readers.clear();
                self.connections.clear();
                self.connect()
            }
            change => self.transaction(committed, |sql, random| perform_in(sql, random, change)),
        }
    }

    /// One transaction on any connection, with a number that no other commit has.
    fn transaction(
        &mut self,
        committed: Committed<'_>,
        work: impl FnOnce(&Connection, &mut Random) -> Result<()>,
    ) -> Result<()> {
        let index = self.any_connection();
        let sql = &self.connections[index];
        sql.execute_batch("BEGIN IMMEDIATE")?;
        work(sql, &mut self.random)?;
        sql.execute_batch("UPDATE commits SET n = n + 1; COMMIT")?;
        committed(sql);
        Ok(())
    }

    fn outside_a_transaction(&mut self, committed: Committed<'_>, text: &str) -> Result<()> {
        let index = self.any_connection();
        let sql = &self.connections[index];
        to_the_end(sql, text)?;
        committed(sql);
        Ok(())
    }

    fn overwrite(&mut self, committed: Committed<'_>) -> Result<()> {
        let index = self.any_connection();
        let mut copy = Connection::open_in_memory()?;
        copy_all(&self.connections[index], &mut copy)?;
        copy.execute_batch("UPDATE commits SET n = n + 1")?;
        copy_all(&copy, &mut self.connections[index])?;
        committed(&self.connections[index]);
        Ok(())
    }

    fn open_reader(&mut self) -> Result<()> {
        let reader = Connection::open(&self.path)?;
        reader.execute_batch("BEGIN")?;
        reader.query_row("SELECT n FROM commits", [], |_| Ok(()))?;
        self.readers.push(reader);
        Ok(())
    }

    /// Its own readers are in its way and will not go while it waits for them, so it does not wait for long.
    fn checkpoint(&mut self, mode: CheckpointMode) -> Result<()> {
        let index = self.any_connection();
        let sql = &self.connections[index];
        sql.busy_timeout(Duration::from_millis(5))?;
        let text = format!("PRAGMA wal_checkpoint({})", mode.name());
        sql.query_row(&text, [], |_busy| Ok(()))?;
        sql.busy_timeout(Duration::from_secs(30))
    }

    fn any_connection(&mut self) -> usize {
        let count = u32::try_from(self.connections.len()).expect("a few connections");
        self.random.below(count) as usize
    }
}

fn copy_all(from: &Connection, to: &mut Connection) -> Result<()> {
    let done = Backup::new(from, to)?.step(-1)?;
    assert_eq!(done, StepResult::Done, "all pages are copied at once");
    Ok(())
}

/// `PRAGMA incremental_vacuum` frees one page for each row that is asked of it.
fn to_the_end(sql: &Connection, text: &str) -> Result<()> {
    let mut statement = sql.prepare(text)?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

/// A step that is one transaction.
fn perform_in(sql: &Connection, random: &mut Random, step: &Step) -> Result<()> {
    match step {
        Step::Insert(rows) => insert(sql, random, *rows),
        Step::Update(rows) => update(sql, random, *rows),
        Step::Delete(table, one_in) => delete(sql, random, *table, *one_in),
        Step::Rewrite(table, times) => rewrite(sql, random, *table, *times),
        Step::Savepoint(rows) => savepoint(sql, random, *rows),
        Step::Transient(rows) => transient(sql, random, *rows),
        Step::Regrow(rows) => regrow(sql, random, *rows),
        Step::CreateTable(table) => create_table(sql, *table),
        Step::DropTable(table) => {
            sql.execute_batch(&format!("DROP TABLE {table}; DROP TABLE IF EXISTS keys{table}"))
        }
        Step::CreateIndex(table) => sql.execute_batch(&format!(
            "CREATE INDEX IF NOT EXISTS {table}_note ON {table} (note, length(body))"
        )),
        Step::DropIndex(table) => sql.execute_batch(&format!("DROP INDEX IF EXISTS {table}_note")),
        Step::AddColumn(table) => add_column(sql, *table),
        other => unreachable!("{other:?} is not one transaction"),
    }
}

fn insert(sql: &Connection, random: &mut Random, rows: Rows) -> Result<()> {
    let text = format!("INSERT INTO {} (body, note) VALUES (?1, ?2)", rows.table);
    let mut insert = sql.prepare(&text)?;
    for _ in 0..rows.count {
        let length = random.between(0, rows.bytes);
        insert.execute(params![random.bytes(length), random.below(1000)])?;
    }
    Ok(())
}

fn update(sql: &Connection, random: &mut Random, rows: Rows) -> Result<()> {
    let table = rows.table;
    let last = format!("SELECT coalesce(max(id), 0) FROM {table}");
    let last: u32 = sql.query_row(&last, [], |row| row.get(0))?;
    let first = random.between(0, last);
    let text = format!("UPDATE {table} SET body = ?1, note = ?2 WHERE id = ?3");
    let mut update = sql.prepare(&text)?;
    for id in first..first.saturating_add(rows.count) {
        let length = random.between(0, rows.bytes);
        update.execute(params![random.bytes(length), random.below(1000), id])?;
    }
    Ok(())
}

fn delete(sql: &Connection, random: &mut Random, table: Table, one_in: u32) -> Result<()> {
    let text = format!("DELETE FROM {table} WHERE id % ?1 = ?2");
    sql.execute(&text, [one_in, random.below(one_in)]).map(|_rows| ())
}

fn rewrite(sql: &Connection, random: &mut Random, table: Table, times: u32) -> Result<()> {
    let text = format!(
        "UPDATE {table} SET note = ?1, body = CAST(substr(body, 1, max(1, length(body)) - 1) || ?2
         AS BLOB) WHERE id % 4 = ?3"
    );
    for _ in 0..times {
        let letter = char::from(b'a' + u8::try_from(random.below(26)).expect("below 26"));
        sql.execute(&text, params![random.below(1000), letter.to_string(), random.below(4)])?;
    }
    Ok(())
}

fn savepoint(sql: &Connection, random: &mut Random, rows: Rows) -> Result<()> {
    insert(sql, random, Rows { count: 1, ..rows })?;
    sql.execute_batch("SAVEPOINT s")?;
    insert(sql, random, rows)?;
    delete(sql, random, rows.table, 3)?;
    sql.execute_batch("ROLLBACK TO s")?;
    insert(sql, random, Rows { count: rows.count.div_ceil(2), ..rows })?;
    sql.execute_batch("RELEASE s")
}

fn transient(sql: &Connection, random: &mut Random, rows: Rows) -> Result<()> {
    let last = format!("SELECT coalesce(max(id), 0) FROM {}", rows.table);
    let last: i64 = sql.query_row(&last, [], |row| row.get(0))?;
    insert(sql, random, rows)?;
    sql.execute(&format!("DELETE FROM {} WHERE id > ?1", rows.table), [last]).map(|_rows| ())
}

fn regrow(sql: &Connection, random: &mut Random, rows: Rows) -> Result<()> {
    sql.execute_batch(&format!("DELETE FROM {}", rows.table))?;
    // It does nothing where auto_vacuum is not incremental.
    to_the_end(sql, "PRAGMA incremental_vacuum")?;
    insert(sql, random, rows)
}

/// Every other table has a companion that is a b-tree of keys, whose rows lie in interior pages, too.
fn create_table(sql: &Connection, table: Table) -> Result<()> {
    let body = "body BLOB, note INTEGER";
    if table.0.is_multiple_of(2) {
        return sql.execute_batch(&format!(
            "CREATE TABLE {table} (id INTEGER PRIMARY KEY, {body});
             CREATE TABLE keys{table} (key BLOB PRIMARY KEY, n) WITHOUT ROWID;
             CREATE TRIGGER {table}_insert AFTER INSERT ON {table} BEGIN
                 INSERT OR REPLACE INTO keys{table} VALUES (coalesce(substr(new.body, 1, 300), ''), new.id);
             END;
             CREATE TRIGGER {table}_delete AFTER DELETE ON {table} BEGIN
                 DELETE FROM keys{table} WHERE key = coalesce(substr(old.body, 1, 300), '');
             END;"
        ));
    }
    sql.execute_batch(&format!("CREATE TABLE {table} (id INTEGER PRIMARY KEY, {body})"))
}

fn add_column(sql: &Connection, table: Table) -> Result<()> {
    let columns = format!("SELECT count(*) FROM pragma_table_info('{table}')");
    let columns: u32 = sql.query_row(&columns, [], |row| row.get(0))?;
    sql.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN c{columns} TEXT DEFAULT 'none'"))
}
