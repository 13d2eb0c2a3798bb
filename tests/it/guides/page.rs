//! A page for users, as what it asks its reader to do: files to write, commands to run, and what is seen then.
//!
//! Commands stand in fences of `sh`, one a line; a remark `# exit code 4` says with what they end. What they print together may stand in a fence of `text` right after, and
//! is compared with what they do print. A fence of `toml` whose first line is `# NAME` is the file of that name.

use std::ops::Range;

use crate::tidy::tree::{read, root};

/// A page, and what came of its commands.
pub(super) struct Page {
    /// Where it lies: `docs/guides/recover.md`.
    pub(super) path: String,
    text: String,
    /// The lines that are looked at.
    part: Range<usize>,
    /// What was printed otherwise than it is shown: the lines of a fence, and what they should be.
    other: Vec<(Range<usize>, String)>,
}

/// What a reader does.
pub(super) enum Step {
    /// Writes this file.
    File { name: String, text: String },
    /// Runs these commands, and sees the lines of this range of the page.
    Run { commands: Vec<Typed>, shown: Option<Range<usize>> },
}

/// A command.
pub(super) struct Typed {
    pub(super) line: String,
    /// With what it ends.
    pub(super) code: i32,
}

/// The lines of a fence, and what it says it has.
struct Fence {
    language: String,
    lines: Range<usize>,
}

impl Page {
    pub(super) fn open(path: &str) -> Page {
        Page::of(path, read(path))
    }

    fn of(path: &str, text: String) -> Page {
        let part = 0..text.lines().count();
        Page { path: path.to_owned(), text, part, other: Vec::new() }
    }

    fn lines(&self) -> Vec<&str> {
        self.text.lines().collect()
    }

    /// The part of a page under this heading, up to the next of its level.
    pub(super) fn section(path: &str, heading: &str) -> Page {
        let mut page = Page::open(path);
        let lines = page.lines();
        let is_it = |line: &&str| *line == heading;
        let begin = lines.iter().position(is_it).unwrap_or_else(|| panic!("{path}: {heading}"));
        let level = heading.split(' ').next().unwrap_or_default().len();
        let ends = |line: &&str| {
            let marks = line.chars().take_while(|c| *c == '#').count();
            (1..=level).contains(&marks) && line[marks..].starts_with(' ')
        };
        let mut fenced = false;
        let end = lines[begin + 1..].iter().position(|line| {
            fenced ^= line.starts_with("```");
            !fenced && ends(line)
        });
        page.part = begin..end.map_or(lines.len(), |end| begin + 1 + end);
        page
    }

    /// The lines of a range, as they stand there.
    pub(super) fn shown(&self, lines: &Range<usize>) -> String {
        self.lines()[lines.clone()].join("\n")
    }

    /// Everything that is done, in order.
    pub(super) fn steps(&self) -> Vec<Step> {
        let (lines, mut steps) = (self.lines(), Vec::new());
        let mut before = None;
        let is_in_part = |fence: &Fence| self.part.contains(&fence.lines.start);
        for fence in fences(&lines).into_iter().filter(is_in_part) {
            let inside = &lines[fence.lines.clone()];
            // Nothing but an empty line stands between commands and what they print.
            let follows = before.is_some_and(|end| fence.lines.start <= end + 3);
            before = None;
            match (fence.language.as_str(), steps.last_mut()) {
                ("sh", _) => {
                    let commands = inside.iter().filter_map(|line| command(line)).collect();
                    steps.push(Step::Run { commands, shown: None });
                    before = Some(fence.lines.end);
                }
                ("text", Some(Step::Run { shown, .. })) if follows => *shown = Some(fence.lines),
                ("toml", _) => {
                    let name = inside.first().and_then(|line| line.strip_prefix("# "));
                    if let Some(name) = name.filter(|name| !name.contains([' ', '/'])) {
                        let text = inside.join("\n") + "\n";
                        steps.push(Step::File { name: name.to_owned(), text });
                    }
                }
                _ => {}
            }
        }
        steps
    }

    /// All its commands.
    pub(super) fn commands(&self) -> Vec<String> {
        let run = |step| match step {
            Step::Run { commands, .. } => commands,
            Step::File { .. } => Vec::new(),
        };
        self.steps().into_iter().flat_map(run).map(|typed| typed.line).collect()
    }

    /// Notes that something else was printed than these lines show.
    pub(super) fn prints(&mut self, lines: Range<usize>, printed: String) {
        self.other.push((lines, printed));
    }

    /// Has the page show what was printed if it is to be drawn again, and fails otherwise.
    pub(super) fn compare(self) {
        if self.other.is_empty() {
            return;
        }
        let mut lines: Vec<String> = self.text.lines().map(str::to_owned).collect();
        let mut findings = String::new();
        for (range, printed) in self.other.iter().rev() {
            findings = format!(
                "{}:{}: shows\n{}\nand not\n{printed}\n{findings}",
                self.path,
                range.start + 1,
                self.shown(range)
            );
            lines.splice(range.clone(), printed.lines().map(str::to_owned));
        }
        assert!(
            std::env::var_os("EBBTIDE_DRAW").is_some(),
            "{findings}EBBTIDE_DRAW=1 has the page show what is printed"
        );
        std::fs::write(root().join(&self.path), lines.join("\n") + "\n").unwrap();
    }
}

/// The fences of a page. One within a list is indented.
fn fences(lines: &[&str]) -> Vec<Fence> {
    let (mut fences, mut open) = (Vec::new(), None);
    for (index, line) in lines.iter().enumerate() {
        let Some(language) = line.trim().strip_prefix("```") else { continue };
        match open.take() {
            None => open = Some((language.to_owned(), index + 1)),
            Some((language, start)) => fences.push(Fence { language, lines: start..index }),
        }
    }
    fences
}

/// The command in a line of a shell, and with what it ends.
fn command(line: &str) -> Option<Typed> {
    let (command, remark) = line.trim().split_once(" # ").unwrap_or((line.trim(), ""));
    let command = command.trim_end();
    let code = remark.split_once("exit code ").and_then(|(_, code)| code.trim().parse().ok());
    let is_one = !command.is_empty() && !command.starts_with('#');
    is_one.then(|| Typed { line: command.to_owned(), code: code.unwrap_or(0) })
}

#[test]
fn a_page_is_commands_with_what_they_print() {
    let text = "# T\n\n```toml\n# a.toml\nk = 1\n```\n\n```sh\none   # 1\n# two\nthree # exit code 4\n```\n\n```text\n3\n```\n\nThen\n\n```text\nno\n```\n";
    let page = Page::of("", text.to_owned());
    let [Step::File { name, .. }, Step::Run { commands, shown }] = &page.steps()[..] else {
        panic!("a file and commands")
    };
    let commands: Vec<(&str, i32)> =
        commands.iter().map(|typed| (typed.line.as_str(), typed.code)).collect();
    assert_eq!((name.as_str(), commands), ("a.toml", vec![("one", 0), ("three", 4)]));
    assert_eq!(page.shown(shown.as_ref().unwrap()), "3");
}
