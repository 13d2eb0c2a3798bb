//! How the schemas of two databases differ.

use super::super::object::{Object, ObjectKind};
use super::super::schema::Schema;
use super::super::table::{Table, TableKind};

/// A table, index, trigger or view that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaChange {
    /// Only the new side has it.
    Created(Object),
    /// Only the old side has it.
    Dropped(Object),
    /// Both have it, by other statements.
    Changed {
        /// What the old side has.
        old: Object,
        /// What the new side has.
        new: Object,
        /// The columns that only the new side has.
        columns_added: Vec<String>,
        /// The columns that only the old side has.
        columns_dropped: Vec<String>,
    },
}

impl SchemaChange {
    /// What it is about, as the new side has it if it does.
    #[must_use]
    pub fn object(&self) -> &Object {
        match self {
            SchemaChange::Created(object)
            | SchemaChange::Dropped(object)
            | SchemaChange::Changed { new: object, .. } => object,
        }
    }

    /// In one word.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            SchemaChange::Created(_) => "created",
            SchemaChange::Dropped(_) => "dropped",
            SchemaChange::Changed { .. } => "changed",
        }
    }
}

/// What differs: tables first, then what belongs to them. What SQLite makes by itself is left out.
#[must_use]
pub fn schema_changes(old: &Schema, new: &Schema) -> Vec<SchemaChange> {
    let (old_objects, new_objects) = (objects(old), objects(new));
    let same = |a: &Object, b: &Object| a.kind == b.kind && a.name.eq_ignore_ascii_case(&b.name);
    let mut changes = Vec::new();
    for object in &old_objects {
        match new_objects.iter().find(|other| same(object, other)) {
            None => changes.push(SchemaChange::Dropped(object.clone())),
            Some(other) if other.sql != object.sql => {
                changes.push(changed(old, new, object, other));
            }
            Some(_) => {}
        }
    }
    let is_created = |object: &&Object| !old_objects.iter().any(|other| same(object, other));
    changes.extend(new_objects.iter().filter(is_created).cloned().map(SchemaChange::Created));
    changes.sort_by_key(|change| change.object().kind);
    changes
}

fn objects(schema: &Schema) -> Vec<Object> {
    let is_shown = |table: &&Table| table.kind != TableKind::Shadow && !table.is_internal();
    let tables = schema.tables.iter().filter(is_shown).map(|table| Object {
        kind: ObjectKind::Table,
        name: table.name.clone(),
        table: table.name.clone(),
        sql: table.sql.clone(),
    });
    tables.chain(schema.objects.iter().cloned()).collect()
}

fn changed(old: &Schema, new: &Schema, before: &Object, after: &Object) -> SchemaChange {
    let columns = |schema: &Schema, object: &Object| -> Vec<String> {
        let table = schema.table(&object.name).filter(|_| object.kind == ObjectKind::Table);
        let columns = table.into_iter().flat_map(|table| &table.columns);
        columns.map(|column| column.name.clone()).collect()
    };
    let (there, here) = (columns(old, before), columns(new, after));
    let without = |names: &[String], others: &[String]| {
        let is_alone =
            |name: &&String| !others.iter().any(|other| other.eq_ignore_ascii_case(name));
        names.iter().filter(is_alone).cloned().collect()
    };
    SchemaChange::Changed {
        old: before.clone(),
        new: after.clone(),
        columns_added: without(&here, &there),
        columns_dropped: without(&there, &here),
    }
}
