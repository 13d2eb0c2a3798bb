//! What an undo does about tables, indexes, views and triggers.

use super::super::diff::SchemaChange;
use super::super::ident::Ident;
use super::super::object::{Object, ObjectKind};
use super::super::schema::Schema;
use super::check::{fatal, has_object};
use super::policy::Refusal;
use super::steps::Phase;

/// What the changes of the schema lead to. They are those on the way back: what is created was dropped.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) steps: Vec<(Phase, String)>,
    pub(super) refused: Vec<Refusal>,
    /// Tables, in lower case, whose rows are not looked at.
    pub(super) left_alone: Vec<String>,
    /// Tables, in lower case, that are made again.
    pub(super) made_again: Vec<String>,
    /// Tables and triggers, in lower case, that are dropped.
    pub(super) dropped: Vec<String>,
}

pub(super) fn plan(changes: &[SchemaChange], drops_created: bool) -> Plan {
    let mut plan = Plan::default();
    for change in changes {
        let object = change.object();
        let what = format!("{} {}", object.kind.name(), object.name);
        match change {
            SchemaChange::Created(object) => plan.give_back(object),
            SchemaChange::Dropped(object) if drops_created => plan.drop(object),
            SchemaChange::Dropped(object) => {
                if object.kind == ObjectKind::Table {
                    plan.left_alone.push(object.name.to_ascii_lowercase());
                }
                // What belongs to a table that stays is not told of by itself.
                let is_part = object.kind != ObjectKind::Table
                    && plan.left_alone.contains(&object.table.to_ascii_lowercase());
                if !is_part {
                    let why = "it was created, and is only dropped on demand".to_owned();
                    plan.refused.push(Refusal { what, why });
                }
            }
            SchemaChange::Changed { .. } => {
                if object.kind == ObjectKind::Table {
                    plan.left_alone.push(object.name.to_ascii_lowercase());
                }
                let why = "its definition was changed, which is not undone".to_owned();
                plan.refused.push(Refusal { what, why });
            }
        }
    }
    plan
}

impl Plan {
    fn give_back(&mut self, object: &Object) {
        let kind = object.kind.name();
        let is_table = object.kind == ObjectKind::Table;
        let there = match object.kind {
            // They share their names.
            ObjectKind::Table | ObjectKind::View => {
                let names = ["table", "view"].map(|kind| has_object(kind, &object.name, None));
                names.join(" OR ")
            }
            ObjectKind::Index | ObjectKind::Trigger => has_object(kind, &object.name, None),
        };
        let what = format!("there is another {kind} of this name since");
        self.steps.push((Phase::Check, fatal(&object.name, &what, &there)));
        if is_table {
            self.made_again.push(object.name.to_ascii_lowercase());
        }
        let phase = if is_table { Phase::Create } else { Phase::Finish };
        self.steps.push((phase, object.sql.clone()));
        let missing = format!("NOT {}", has_object(kind, &object.name, None));
        let what = format!("the {kind} could not be created");
        self.steps.push((Phase::Finish, fatal(&object.name, &what, &missing)));
    }

    fn drop(&mut self, object: &Object) {
        let kind = object.kind.name();
        let other = format!("NOT {}", has_object(kind, &object.name, Some(&object.sql)));
        let what = format!("the {kind} is another one since, or gone");
        self.steps.push((Phase::Check, fatal(&object.name, &what, &other)));
        let drop = format!("DROP {kind} IF EXISTS main.{}", Ident(&object.name));
        self.steps.push((Phase::Finish, drop));
        if matches!(object.kind, ObjectKind::Table | ObjectKind::Trigger) {
            self.dropped.push(object.name.to_ascii_lowercase());
        }
    }
}

/// The steps before a table's first row: it must be as it was left, and so must its triggers, which are set aside. Those of
/// `dropped` do not come back, nor do any of a table that is dropped.
pub(super) fn begin_table(
    table: &str,
    schema: &Schema,
    dropped: &[String],
) -> Vec<(Phase, String)> {
    let mut steps = Vec::new();
    let Some(there) = schema.table(table) else { return steps };
    let other = format!("NOT {}", has_object("table", table, Some(&there.sql)));
    steps.push((Phase::Check, fatal(table, "its definition was changed since", &other)));
    let triggers: Vec<&Object> =
        schema.objects_of(table).filter(|object| object.kind == ObjectKind::Trigger).collect();
    let names: Vec<String> =
        triggers.iter().map(|trigger| format!("'{}'", trigger.name.replace('\'', "''"))).collect();
    let more = format!(
        "EXISTS (SELECT 1 FROM main.sqlite_schema WHERE type = 'trigger' AND tbl_name = '{}' COLLATE NOCASE AND name NOT IN ({}))",
        table.replace('\'', "''"),
        names.join(", ")
    );
    // Whoever can switch triggers off need not know them.
    steps.push((Phase::SetAside, fatal(table, "it has another trigger since", &more)));
    for trigger in triggers {
        let other = format!("NOT {}", has_object("trigger", &trigger.name, Some(&trigger.sql)));
        let what = format!("its trigger {} is another one since, or gone", trigger.name);
        steps.push((Phase::SetAside, fatal(table, &what, &other)));
        steps.push((Phase::SetAside, format!("DROP TRIGGER main.{}", Ident(&trigger.name))));
        let is_dropped = |name: &str| dropped.contains(&name.to_ascii_lowercase());
        if is_dropped(table) || is_dropped(&trigger.name) {
            continue;
        }
        steps.push((Phase::SetBack, trigger.sql.clone()));
        let missing = format!("NOT {}", has_object("trigger", &trigger.name, None));
        steps.push((Phase::SetBack, fatal(table, "its trigger could not be created", &missing)));
    }
    steps
}
