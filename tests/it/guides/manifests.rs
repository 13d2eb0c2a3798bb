//! The command lines and configurations in files for container engines and for systemd, read as `ebbtide` would read them:
//! neither is there to run them.

use clap::Parser as _;
use ebbtide_cli::args::Args;
use ebbtide_config::Config;

use crate::tidy::tree::{read, tracked};

/// The command lines of `ebbtide` in a file: lists as JSON has them, which YAML and Containerfiles take, too, and what a unit
/// starts.
fn command_lines(text: &str) -> Vec<Vec<String>> {
    let lists = text.lines().filter_map(|line| {
        let line = line.trim();
        if let Some(started) = line.strip_prefix("ExecStart=") {
            let words = started.split_whitespace();
            return Some(words.map(|word| word.replace("/usr/local/bin/", "")).collect());
        }
        let list = ["args: ", "command: ", "ENTRYPOINT ", "CMD "]
            .iter()
            .find_map(|key| line.strip_prefix(key))?;
        serde_json::from_str::<Vec<String>>(list).ok()
    });
    let is_ours = |list: &Vec<String>| {
        list.len() > 1 && ["ebbtide", "replicate", "restore"].contains(&list[0].as_str())
    };
    lists.filter(is_ours).collect()
}

/// Of examples/containers, examples/kubernetes and the pages about them and about the service.
fn files() -> Vec<(String, String)> {
    let pages = ["docs/guides/containers.md", "docs/guides/systemd.md"];
    let examples = tracked("").filter(|(path, _)| {
        path.starts_with("examples/containers/") || path.starts_with("examples/kubernetes/")
    });
    examples.chain(pages.map(|page| (page.to_owned(), read(page)))).collect()
}

#[test]
fn o25_command_lines_of_containers_and_services_are_accepted() {
    let mut seen = 0;
    for (path, text) in files() {
        for list in command_lines(&text) {
            let args = list.iter().map(String::as_str).skip_while(|word| *word == "ebbtide");
            let parsed = Args::try_parse_from(std::iter::once("ebbtide").chain(args));
            assert!(parsed.is_ok(), "{path}: {list:?}: {}", parsed.unwrap_err());
            seen += 1;
        }
    }
    assert!(seen >= 6, "{seen} command lines are there");
}

#[test]
fn o25_configurations_of_containers_are_in_order() {
    let compose = read("examples/containers/ebbtide.toml");
    let manifest = read("examples/kubernetes/app.yml");
    let begin = "  ebbtide.toml: |\n";
    let inner = manifest.split_once(begin).expect("the configuration").1;
    let inner: String = inner
        .lines()
        .map_while(|line| line.strip_prefix("    "))
        .map(|line| format!("{line}\n"))
        .collect();
    for text in [compose, inner] {
        let config = Config::parse(&text).unwrap();
        assert_eq!(config.databases[0].path.to_str(), Some("/data/app.db"));
    }
}
