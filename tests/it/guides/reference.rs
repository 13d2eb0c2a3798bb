//! docs/reference, made of the code: the commands of the command line, and the keys of the configuration. Catches an option
//! or a key that is documented otherwise than it works, or nowhere.
//!
//! `EBBTIDE_DRAW=1 cargo test --workspace --test it reference` writes it again.

mod commands;
mod configuration;

use crate::tidy::tree::root;

/// Compares a page with what it should be.
fn compare(path: &str, made: &str) {
    let place = root().join(path);
    if std::env::var_os("EBBTIDE_DRAW").is_some() {
        std::fs::write(&place, made).unwrap();
    }
    let there = std::fs::read_to_string(&place).unwrap_or_default();
    let differs = there.lines().zip(made.lines()).position(|(there, made)| there != made);
    let line = differs.unwrap_or_else(|| there.lines().count().min(made.lines().count()));
    assert!(
        there == made,
        "{path}:{}: should be {:?}: EBBTIDE_DRAW=1 writes it again",
        line + 1,
        made.lines().nth(line)
    );
}

/// A text within a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[test]
fn the_reference_of_commands_is_the_help() {
    compare("docs/reference/commands.md", &commands::page());
}

#[test]
fn the_reference_of_the_configuration_has_each_key() {
    compare("docs/reference/configuration.md", &configuration::page());
}
