//! What is installed beside the binary: manual pages, completions, units of systemd, an example of a configuration. Catches
//! what a service manager, a shell or a reader of manual pages would stumble over.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::CommandFactory as _;

use super::tidy::tree::{read, root};
use crate::support::{Ended, ebbtide};

const UNITS: [&str; 2] = ["ebbtide.service", "ebbtide@.service"];

/// The most that `systemd-analyze security` may find exposed, in tenths.
const EXPOSURE_MAX: &str = "--threshold=25";

/// A command that only some machines have; nothing, and a word about it, where it is not there.
fn tool(name: &str, args: &[&str]) -> Option<Ended> {
    let mut asked = Command::new(name);
    asked.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if asked.status().is_err() {
        eprintln!("NOT RUN: {name}, which is not there");
        return None;
    }
    Some(Ended::of(Command::new(name).args(args)))
}

/// The full names of a command and all below it that are shown, as files have them.
fn names(command: &clap::Command, above: &str) -> Vec<String> {
    let name = format!("{above}{}", command.get_name());
    let below = command.get_subcommands().filter(|below| !below.is_hide_set());
    let below: Vec<String> = below.flat_map(|below| names(below, &format!("{name}-"))).collect();
    [vec![name], below].concat()
}

fn all_names() -> Vec<String> {
    let names = names(&ebbtide_cli::args::Args::command(), "");
    assert!(names.len() > 30, "{names:?}");
    names
}

#[test]
fn every_command_has_a_manual_page_that_can_be_formatted() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man");
    ebbtide(&["man", pages.to_str().unwrap()]).exits(0);
    let mut found: Vec<String> = fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut expected: Vec<String> =
        all_names().into_iter().map(|name| format!("{name}.1")).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let paths: Vec<String> =
        found.iter().map(|name| pages.join(name).to_str().unwrap().to_owned()).collect();
    for path in &paths {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{path}: {text}");
    }
    let all = |args: &[&'static str]| {
        [args, &paths.iter().map(String::as_str).collect::<Vec<_>>()].concat()
    };
    if let Some(shown) = tool("man", &all(&["--warnings", "-E", "UTF-8", "-Tutf8", "-l"])) {
        let shown = shown.exits(0);
        assert_eq!(shown.said, "");
        shown.prints("Follow databases and ship").prints("Exit codes");
    }
    if let Some(linted) = tool("mandoc", &all(&["-T", "lint", "-W", "error"])) {
        linted.exits(0);
    }
    ebbtide(&["man", pages.to_str().unwrap()]).exits(2).says("is empty");
}

#[test]
fn each_shell_can_read_its_completions() {
    let directory = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = ebbtide(&["completions", shell]).exits(0).out;
        for name in all_names() {
            let word = name.rsplit('-').next().unwrap();
            assert!(script.contains(word), "{shell}: {word}");
        }
        let file = directory.path().join(shell);
        fs::write(&file, script).unwrap();
        let file = file.to_str().unwrap();
        let read = match shell {
            "bash" => tool("bash", &["-n", file]),
            "zsh" => tool("zsh", &["-n", file]),
            "fish" => tool("fish", &["--no-execute", file]),
            _ => None,
        };
        if let Some(read) = read {
            assert_eq!(read.exits(0).said, "");
        }
    }
    ebbtide(&["completions", "tcsh"]).exits(2).says("possible values");
}

/// Would catch a completion that is there and completes nothing.
#[test]
fn bash_completes_commands_and_options() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ebbtide.bash");
    fs::write(&file, ebbtide(&["completions", "bash"]).exits(0).out).unwrap();
    let completed = |words: &str, last: u32| {
        let script = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD={last}; _ebbtide ebbtide \"${{COMP_WORDS[{last}]}}\" \
             \"${{COMP_WORDS[{last} - 1]}}\"; echo \"${{COMPREPLY[*]}}\"",
            file.display()
        );
        tool("bash", &["--norc", "-c", &script]).map(|ended| ended.exits(0).out)
    };
    let Some(commands) = completed("ebbtide rest", 1) else { return };
    assert_eq!(commands.trim(), "restore");
    assert_eq!(completed("ebbtide restore --mar", 2).unwrap().trim(), "--mark");
    assert_eq!(completed("ebbtide unma", 1).unwrap().trim(), "unmark");
}

/// Somebody's; its identity was thrown away.
const RECIPIENT: &str = "age1an3mfnvwk23p7g4cvkh6pvg8qf08v7pjcvg4q8uxatpewccg5u3qnj353c";

#[test]
fn the_example_of_a_configuration_is_in_order() {
    let text = read("packaging/ebbtide.toml");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ebbtide.toml");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        ebbtide(&["config", "check", file.to_str().unwrap()])
    };
    check(&text).exits(0).prints("in order");
    // With every key that it shows and leaves out.
    let is_key =
        |line: &str| line.starts_with('#') && line.contains(" = ") && !line.starts_with("# ");
    let lines = text.lines().map(|line| if is_key(line) { &line[1..] } else { line });
    let all: Vec<&str> = lines.collect();
    assert!(all.iter().zip(text.lines()).any(|(one, other)| *one != other));
    check(&all.join("\n").replace("age1…", RECIPIENT)).exits(0);
}

/// The unit with another path of the binary, so that it is found.
fn unit(name: &str, directory: &Path) -> String {
    let text = read(&format!("packaging/systemd/{name}"));
    let text = text.replace("/usr/bin/ebbtide", env!("CARGO_BIN_EXE_ebbtide"));
    let file = directory.join(name);
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn the_units_are_read_by_systemd_and_expose_little() {
    let directory = tempfile::tempdir().unwrap();
    for name in UNITS {
        let file = unit(name, directory.path());
        let verify = ["verify", "--man=no", "--recursive-errors=no", &file];
        let Some(verified) = tool("systemd-analyze", &verify) else { return };
        assert_eq!(verified.exits(0).said, "", "{name}");
        let security = ["security", "--offline=true", "--no-pager", EXPOSURE_MAX, &file];
        let said = tool("systemd-analyze", &security).unwrap().exits(0);
        eprintln!("{}", said.out.lines().last().unwrap_or_default());
    }
}

/// What one of them may do less than the other would be found by whoever is attacked.
#[test]
fn both_units_are_confined_alike() {
    let confined = |name: &str| {
        let text = read(&format!("packaging/systemd/{name}"));
        let from = text.find("ReadWritePaths=-").unwrap();
        text[from..].to_owned()
    };
    assert_eq!(confined(UNITS[0]), confined(UNITS[1]));
}

#[test]
fn everything_that_is_packaged_is_there() {
    let manifest = read("crates/cli/Cargo.toml");
    let mut found = 0;
    for line in manifest.lines().filter(|line| line.trim_start().starts_with("[\"../../")) {
        let path = line.trim_start().trim_start_matches("[\"../../").split('"').next().unwrap();
        if !path.starts_with("target/") {
            assert!(root().join(path).is_file(), "{path}");
            found += 1;
        }
    }
    assert!(found > 3, "{found}");
}
