//! Rust as text: enough of its lexical grammar to tell code from comments and strings, and tests from what ships.

/// One file, with comments and the contents of strings blanked out.
pub(crate) struct Source {
    pub(super) path: String,
    code: String,
    /// For each line, whether it is part of a test.
    tests: Vec<bool>,
}

/// A function and how long it is.
pub(crate) struct Function {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) lines: usize,
}

impl Source {
    pub(crate) fn new(path: String, text: &str) -> Source {
        let code = blanked(text);
        let tests = test_lines(&code);
        Source { path, code, tests }
    }

    /// Files that no user ever runs.
    pub(crate) fn only_for_tests(&self) -> bool {
        let path = &self.path;
        let directories = ["tests/", "crates/testkit/", "fuzz/"];
        directories.iter().any(|directory| path.starts_with(directory))
            || path.contains("/tests/")
            || path.ends_with("/tests.rs")
    }

    /// All lines with their numbers.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.code.lines())
    }

    /// The lines that are not part of a test.
    pub(crate) fn shipped_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().filter(|(number, _)| !self.tests.get(number - 1).copied().unwrap_or(false))
    }

    /// Every function with a body that is not part of a test.
    pub(crate) fn functions(&self) -> impl Iterator<Item = Function> {
        let code = self.code.as_str();
        code.match_indices("fn ").filter_map(move |(start, _)| {
            let before = code[..start].chars().next_back();
            let name: String = code[start + 3..].chars().take_while(|c| is_word(*c)).collect();
            let line = 1 + code[..start].matches('\n').count();
            if before.is_some_and(is_word) || name.is_empty() || self.tests[line - 1] {
                return None;
            }
            let body = item(&code[start..])?;
            Some(Function { name, line, lines: 1 + body.matches('\n').count() })
        })
    }
}

/// The words of a line.
pub(crate) fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c| !is_word(c)).filter(|word| !word.is_empty())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// From where an item begins to the end of its body. `None` if it has none, and ends with a semicolon instead.
fn item(code: &str) -> Option<&str> {
    let mut depth = 0_u32;
    for (index, c) in code.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 && c == '}' {
                    return Some(&code[..=index]);
                }
            }
            ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

fn test_lines(code: &str) -> Vec<bool> {
    let mut tests = vec![false; code.lines().count()];
    for attribute in ["#[cfg(test)]", "#[test]", "#[tokio::test"] {
        for (start, _) in code.match_indices(attribute) {
            let first = code[..start].matches('\n').count();
            // The attribute's own brackets are no body; what follows it is the item.
            let lines = item(&code[start..]).map_or(1, |item| 1 + item.matches('\n').count());
            let end = (first + lines).min(tests.len());
            tests[first..end].fill(true);
        }
    }
    tests
}

/// The same text with spaces for comments and for what is inside quotes. Line ends stay.
fn blanked(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, blank) = token(rest, code.chars().next_back());
        let (taken, left) = rest.split_at(length.max(first.len_utf8()));
        if blank {
            code.extend(taken.chars().map(|c| if c == '\n' { c } else { ' ' }));
        } else {
            code.push_str(taken);
        }
        rest = left;
    }
    code
}

/// The length of what the text begins with, and whether it is a comment or a literal.
fn token(text: &str, before: Option<char>) -> (usize, bool) {
    let until = |end: &str, from: usize| {
        text[from..].find(end).map_or(text.len(), |index| from + index + end.len())
    };
    if text.starts_with("//") {
        return (text.find('\n').unwrap_or(text.len()), true);
    }
    if text.starts_with("/*") {
        return (until("*/", 2), true);
    }
    if text.starts_with('"') {
        return (quoted(text, '"'), true);
    }
    if text.starts_with('r') && !before.is_some_and(|c| is_word(c) && c != 'b' && c != 'c') {
        let hashes = text[1..].chars().take_while(|c| *c == '#').count();
        if text[1 + hashes..].starts_with('"') {
            return (until(&format!("\"{}", "#".repeat(hashes)), hashes + 2), true);
        }
    }
    if let Some(inner) = text.strip_prefix('\'') {
        let mut chars = inner.chars();
        let first = chars.next();
        if first == Some('\\') || chars.next() == Some('\'') {
            return (quoted(text, '\''), true);
        }
    }
    (1, false)
}

/// The length of a literal between quotes, in which a backslash takes the next character with it.
fn quoted(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1);
    while let Some((index, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == quote {
            return index + c.len_utf8();
        }
    }
    text.len()
}

#[test]
fn code_is_told_from_comments_and_strings() {
    let text =
        "let a = 'x'; // fn b() {\nlet b: &'a str = \"unsafe \\\" {\"; let r = r#\"\"{\"#;\n";
    let code = blanked(text);
    assert_eq!(code.len(), text.len());
    assert!(!code.contains('{') && !code.contains("unsafe") && code.contains("&'a str"));
}

#[test]
fn tests_are_told_from_what_ships() {
    let text =
        "//! A file.\nfn a() {\n    b();\n}\n\n#[cfg(test)]\nmod tests {\n    fn c() {}\n}\n";
    let source = Source::new("a.rs".to_owned(), text);
    let shipped: Vec<usize> = source.shipped_lines().map(|(number, _)| number).collect();
    assert_eq!(shipped, [1, 2, 3, 4, 5]);
    let functions: Vec<(String, usize)> =
        source.functions().map(|function| (function.name, function.lines)).collect();
    assert_eq!(functions, [("a".to_owned(), 3)]);
}
