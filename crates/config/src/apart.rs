//! That no two databases share what each needs for itself.

use std::collections::BTreeMap;

use ebbtide_store::{Location, real_path};

use crate::Database;

/// Checks that each database has a file, a local state and places for its replica and mirrors of its own.
///
/// # Errors
/// With the two that have not.
pub fn check_apart<'a>(
    databases: impl Iterator<Item = &'a Database> + Clone,
) -> Result<(), String> {
    check_places(databases.clone())?;
    check_states(databases)
}

/// Each database has a file of its own, and each replica and mirror a place of its own, however they are written.
fn check_places<'a>(databases: impl Iterator<Item = &'a Database>) -> Result<(), String> {
    let (mut files, mut uses) = (BTreeMap::new(), BTreeMap::new());
    for database in databases {
        let path = database.path.display();
        if let Some(other) = files.insert(real_path(&database.path), &database.path) {
            return Err(match *other == database.path {
                true => format!("{path} is there twice"),
                false => format!("{} and {path} are the same database", other.display()),
            });
        }
        let mirrors = database.mirrors.iter().map(|mirror| (Kind::Mirror, mirror));
        for (kind, location) in std::iter::once((Kind::Replica, &database.location)).chain(mirrors)
        {
            let use_ = Use { database, kind, location };
            if let Some(other) = uses.insert(location.place(), use_) {
                return Err(shared(&other, &use_));
            }
        }
    }
    Ok(())
}

/// What a database uses a place for.
#[derive(Debug, Clone, Copy)]
struct Use<'a> {
    database: &'a Database,
    kind: Kind,
    location: &'a Location,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Replica,
    Mirror,
}

/// That two uses are of one place.
fn shared(one: &Use<'_>, two: &Use<'_>) -> String {
    let place = match one.location == two.location {
        true => one.location.to_string(),
        false => format!("{} and {} are one place", one.location, two.location),
    };
    let (first, second) = (one.database.path.display(), two.database.path.display());
    if std::ptr::eq(one.database, two.database) {
        return format!(
            "{first} has the same place twice as its replica or mirror ({place}); each needs one of its own"
        );
    }
    let (what, way) = match (one.kind, two.kind) {
        (Kind::Replica, Kind::Replica) => ("replica", ""),
        (Kind::Mirror, Kind::Mirror) => {
            ("mirror", ": {name} in its address is the name of the database's file")
        }
        _ => ("place as replica and mirror", ""),
    };
    format!("{first} and {second} have the same {what} ({place}); each needs one of its own{way}")
}

/// Each database has a local state of its own.
fn check_states<'a>(databases: impl Iterator<Item = &'a Database>) -> Result<(), String> {
    let mut states = BTreeMap::new();
    for database in databases {
        let state = real_path(&database.state_directory());
        if let Some(other) = states.insert(state.clone(), &database.path) {
            return Err(format!(
                "{} and {} have the same local state, {}; each needs one of its own (`state`)",
                other.display(),
                database.path.display(),
                state.display()
            ));
        }
    }
    Ok(())
}
