//! The page of commands, made of what the command line itself has for its help.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command, CommandFactory as _};
use ebbtide_cli::args::Args;

use super::cell;

const INTRODUCTION: &str = "\
# Commands

What `ebbtide COMMAND --help` prints.
This page is made of the same code; a test compares the two.
Configuration files have [a page of their own](configuration.md); what the commands do, and why, is in [operations.md](../operations.md).

Results go to standard output, everything else to standard error.
[Exit codes](../operations.md#exit-codes) and [points in time](../operations.md#points-in-time) are the same for all.
";

/// The options that several commands share, by their heading.
type Shared = BTreeMap<String, String>;

pub(super) fn page() -> String {
    let mut root = Args::command();
    root.build();
    let mut page = INTRODUCTION.to_owned();
    let global = root.get_arguments().filter(|arg| arg.is_global_set() && !is_built_in(arg));
    page += "\n## Options of all commands\n\n";
    page += &table(global);
    let (mut shared, mut commands) = (Shared::new(), String::new());
    for command in subcommands(&root) {
        describe(command, &mut commands, &mut shared);
    }
    for (heading, options) in &shared {
        write!(page, "\n## {heading}\n\n{options}").unwrap();
    }
    page += &commands;
    page
}

fn subcommands(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|it| !it.is_hide_set() && it.get_name() != "help")
}

/// What every command of clap has.
fn is_built_in(arg: &Arg) -> bool {
    matches!(arg.get_id().as_str(), "help" | "version")
}

/// A section for a command, and one for each below it.
fn describe(command: &Command, page: &mut String, shared: &mut Shared) {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let about = command.get_long_about().or(command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    write!(page, "\n## {name}\n\n{}\n", sentence(&about)).unwrap();
    if subcommands(command).next().is_some() {
        return subcommands(command).for_each(|below| describe(below, page, shared));
    }
    let usage = command.clone().render_usage().to_string();
    write!(page, "\n```text\n{}\n```\n", usage.trim_start_matches("Usage: ")).unwrap();
    let own = |arg: &&Arg| !arg.is_global_set() && !is_built_in(arg) && !arg.is_hide_set();
    let plain = |arg: &&Arg| own(arg) && arg.get_help_heading().is_none();
    let rows = table(command.get_arguments().filter(plain));
    if !rows.is_empty() {
        write!(page, "\n{rows}").unwrap();
    }
    let headings = command.get_arguments().filter(own).filter_map(Arg::get_help_heading);
    let mut headings: Vec<&str> = headings.collect();
    headings.dedup();
    for heading in headings {
        let under = |arg: &&Arg| arg.get_help_heading() == Some(heading);
        let options = table(command.get_arguments().filter(under));
        let known = shared.entry(heading.to_owned()).or_insert_with(|| options.clone());
        assert_eq!(*known, options, "{name} has other options under {heading:?} than the others");
        let anchor = heading.to_lowercase().replace(' ', "-");
        writeln!(page, "\nAnd the options of [{heading}](#{anchor}).").unwrap();
    }
    if let Some(more) = command.get_after_help() {
        page.push_str(&paragraphs(&more.to_string()));
    }
}

/// What comes after the options: examples as they are typed, and prose.
fn paragraphs(text: &str) -> String {
    let mut page = String::new();
    for paragraph in text.split("\n\n") {
        match paragraph.strip_prefix("Examples:\n") {
            Some(examples) => {
                let lines: Vec<&str> = examples.lines().map(str::trim_start).collect();
                write!(page, "\n```text\n{}\n```\n", lines.join("\n")).unwrap();
            }
            None => write!(page, "\n{}\n", paragraph.replace('\n', " ")).unwrap(),
        }
    }
    page
}

fn table<'a>(args: impl Iterator<Item = &'a Arg>) -> String {
    let rows: String = args.map(row).collect();
    if rows.is_empty() { rows } else { format!("| argument | |\n|---|---|\n{rows}") }
}

fn row(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    let values: Vec<String> = names.iter().map(ToString::to_string).collect();
    let values = values.join(" ");
    let takes = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let short = arg.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    let name = match arg.get_long() {
        Some(long) if takes => format!("{short}--{long} {values}"),
        Some(long) => format!("{short}--{long}"),
        None => values,
    };
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut said = sentence(&help);
    let possible = arg.get_possible_values();
    if takes && !possible.is_empty() {
        let words: Vec<String> =
            possible.iter().map(|value| format!("`{}`", value.get_name())).collect();
        write!(said, " One of {}.", words.join(", ")).unwrap();
    }
    if let Some(default) = arg.get_default_values().first().filter(|_| takes) {
        write!(said, " Without it, `{}`.", default.to_string_lossy()).unwrap();
    }
    if let Some(variable) = arg.get_env() {
        write!(said, " Also by the variable `{}`.", variable.to_string_lossy()).unwrap();
    }
    format!("| `{}` | {} |\n", cell(&name), cell(&said))
}

/// With the full stop that clap takes away.
fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() || text.ends_with(['.', ':', '?']) {
        text.to_owned()
    } else {
        format!("{text}.")
    }
}
