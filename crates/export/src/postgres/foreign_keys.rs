//! Foreign keys as PostgreSQL's statements, once all rows hold to them.

use ebbtide_rows::{Collation, Ident};
use rusqlite::Connection;

use super::columns::Looked;
use super::keys::{BrokenKeys, Keys, list};
use super::links::{Link, Unlinked};
use super::names::{PgName, Taken};
use crate::error::{ExportError, Result};
use crate::report::Finding;
use crate::words::count;

/// What is known when foreign keys are planned.
pub(crate) struct Planned<'a, 'b> {
    pub(crate) connection: &'a Connection,
    pub(crate) schema: &'a str,
    pub(crate) tables: &'a [Looked<'b>],
    pub(crate) keys: &'a [Keys],
    pub(crate) policy: BrokenKeys,
}

/// The statements for one foreign key, or why there are none.
pub(crate) fn foreign_key(
    planned: &Planned<'_, '_>,
    child: usize,
    key: usize,
    link: std::result::Result<Link, Unlinked>,
    taken: &mut Taken,
) -> Result<std::result::Result<Vec<String>, Finding>> {
    let looked = &planned.tables[child];
    let foreign_key = &looked.table.foreign_keys[key];
    let called = format!("foreign key ({}) to {}", foreign_key.from.join(", "), foreign_key.table);
    let broken = |why: &str| Ok(Err(planned.policy.finding(format!("{called}: {why}"))));
    let link = match link {
        Ok(link) => link,
        Err(Unlinked::NotExported) => {
            return Ok(Err(Finding::left_out(format!("{called}, which is not exported"))));
        }
        Err(Unlinked::NoTable) => return broken("there is no such table"),
        Err(Unlinked::NoColumns) => return broken("it has no such columns"),
    };
    let parent = &planned.tables[link.parent];
    let is_unique = planned.keys[link.parent].unique.iter().any(|unique| {
        unique.len() == link.to.len() && link.to.iter().all(|column| unique.contains(column))
    });
    if !is_unique {
        return broken("no key there is of those columns");
    }
    for (from, to) in link.from.iter().zip(&link.to) {
        let (Some(from), Some(to)) = (looked.choice(*from), parent.choice(*to)) else {
            return broken("a column of it is not exported");
        };
        let (from, to) = (from.target.pg_type, to.target.pg_type);
        if !from.can_refer_to(to) {
            return broken(&format!("{from} cannot refer to {to}"));
        }
    }
    let orphans = orphans(planned, &link)?;
    if orphans > 0 {
        let what = format!("{called}: rows that refer to none");
        return Ok(Err(planned.policy.finding(what).of(orphans)));
    }
    Ok(Ok(statements(looked, parent, &link, taken)))
}

fn statements(
    looked: &Looked<'_>,
    parent: &Looked<'_>,
    link: &Link,
    taken: &mut Taken,
) -> Vec<String> {
    let foreign_key = &looked.table.foreign_keys[link.key];
    let mut parts = vec![looked.table.name.as_str()];
    parts.extend(foreign_key.from.iter().map(String::as_str));
    let name = taken.free(&parts, "fkey");
    let mut actions = String::new();
    for (event, action) in [("UPDATE", &foreign_key.on_update), ("DELETE", &foreign_key.on_delete)]
    {
        let known = ["CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT"]
            .iter()
            .find(|known| **known == action.as_str());
        if let Some(action) = known {
            actions.push_str(&format!(" ON {event} {action}"));
        }
    }
    let sql = &looked.table.sql;
    if count(sql, &["INITIALLY", "DEFERRED"]) == looked.table.foreign_keys.len() {
        actions.push_str(" DEFERRABLE INITIALLY DEFERRED");
    }
    let (table, name) = (PgName(&looked.table.name), PgName(&name));
    vec![
        format!(
            "ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({}) REFERENCES {} ({}){actions} NOT VALID;",
            list(looked, &link.from),
            PgName(&parent.table.name),
            list(parent, &link.to)
        ),
        format!("ALTER TABLE {table} VALIDATE CONSTRAINT {name};"),
    ]
}

/// How many rows refer to one that is not there, as PostgreSQL would see it: by bytes.
fn orphans(planned: &Planned<'_, '_>, link: &Link) -> Result<u64> {
    let (child, parent) = (planned.tables[link.child].table, planned.tables[link.parent].table);
    let from = |column: &usize| format!("c.{}", Ident(&child.columns[*column].name));
    let to = |column: &usize| format!("p.{}", Ident(&parent.columns[*column].name));
    let present: Vec<String> =
        link.from.iter().map(|column| format!("{} IS NOT NULL", from(column))).collect();
    let is_bytewise =
        link.to.iter().all(|column| parent.columns[*column].collation == Collation::Binary);
    let missing = if is_bytewise {
        let pairs = link.from.iter().zip(&link.to);
        let same: Vec<String> = pairs.map(|(a, b)| format!("{} = {}", to(b), from(a))).collect();
        format!(
            "NOT EXISTS (SELECT 1 FROM {} AS p WHERE {})",
            parent.qualified(planned.schema),
            same.join(" AND ")
        )
    } else {
        // The index there is in another order, so the keys are put in this one once.
        let ours: Vec<String> =
            link.from.iter().map(|column| format!("{} COLLATE BINARY", from(column))).collect();
        let theirs: Vec<String> = link.to.iter().map(to).collect();
        let known: Vec<String> =
            theirs.iter().map(|column| format!("{column} IS NOT NULL")).collect();
        format!(
            "({}) NOT IN (SELECT {} FROM {} AS p WHERE {})",
            ours.join(", "),
            theirs.join(", "),
            parent.qualified(planned.schema),
            known.join(" AND ")
        )
    };
    let sql = format!(
        "SELECT count(*) FROM {} AS c WHERE {} AND {missing}",
        child.qualified(planned.schema),
        present.join(" AND ")
    );
    let counted = planned.connection.query_row(&sql, [], |row| row.get::<_, i64>(0));
    let counted = counted
        .map_err(ExportError::doing(format!("look at the foreign keys of {}", child.name)))?;
    Ok(u64::try_from(counted).unwrap_or(0))
}
