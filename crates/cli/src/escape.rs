//! Text from outside, spelled out where a terminal would act on it instead of showing it.
//!
//! Names of files, processes, hosts and tables, a store's answers and whatever an object claims may hold control
//! sequences, which move the cursor, set the title or type into the shell, and bidirectional marks, which show a name
//! backwards. None of them reaches standard output, standard error or a log: [`Escaped`] writes the streams, in which
//! a line break is ours, and [`OneLine`] a value, in which it is not.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{self, Write};

/// The longest sequence of bytes that may be the beginning of one character.
const PARTIAL_MAX: usize = 3;

/// How a character is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As Rust writes it: `\u{202e}`, and `\n` where there is a short form. Line breaks stay.
    Text,
    /// The same, and what sets the colours of a log line stays.
    Coloured,
    /// As JSON writes it, inside of a string: `\u202e`. Line breaks stay, which are between the documents.
    Json,
}

/// Whether a terminal acts on it, or a reader takes it for the end of a line.
fn is_active(c: char) -> bool {
    let marks = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{feff}');
    let embeddings = matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}');
    // Tags are invisible, and spell whole sentences.
    c.is_control() || marks || embeddings || matches!(c, '\u{e0000}'..='\u{e007f}')
}

/// A value within a line: line breaks are spelled out, too.
pub(crate) struct OneLine<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Display for OneLine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Inner<'a, 'b>(&'a mut fmt::Formatter<'b>);
        impl fmt::Write for Inner<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                text.chars().try_for_each(|c| match is_active(c) {
                    true => write!(self.0, "{}", spelled(c)),
                    false => self.0.write_char(c),
                })
            }
        }
        write!(Inner(f), "{}", self.0)
    }
}

fn spelled(c: char) -> impl fmt::Display {
    // `escape_default` has short forms for tab, carriage return and line feed.
    c.escape_default()
}

/// A message of several lines; the later ones are indented, so that none of them looks like a message of its own.
pub(crate) fn message(text: &str) -> String {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    lines
        .fold(OneLine(first).to_string(), |message, line| format!("{message}\n  {}", OneLine(line)))
}

/// A JSON document in which nothing is active, whatever prints it.
pub(crate) fn json(document: &str) -> Cow<'_, str> {
    if !document.contains(is_active) {
        return Cow::Borrowed(document);
    }
    let mut escaped = String::with_capacity(document.len());
    document.chars().for_each(|c| push(&mut escaped, c, Form::Json));
    Cow::Owned(escaped)
}

fn push(text: &mut String, c: char, form: Form) {
    let fits = match form {
        _ if c == '\n' || !is_active(c) => {
            text.push(c);
            Ok(())
        }
        Form::Text | Form::Coloured => write!(text, "{}", spelled(c)),
        Form::Json => {
            c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(text, "\\u{unit:04x}"))
        }
    };
    debug_assert!(fits.is_ok(), "memory takes any text");
}

/// A stream on which nothing active gets through but line breaks. Bytes that are no text are spelled out as well.
#[derive(Debug)]
pub(crate) struct Escaped<W> {
    inner: W,
    form: Form,
    /// The beginning of a character whose rest has not come yet.
    partial: Vec<u8>,
    text: String,
}

impl<W: Write> Escaped<W> {
    pub(crate) fn new(inner: W, form: Form) -> Escaped<W> {
        Escaped { inner, form, partial: Vec::new(), text: String::new() }
    }

    fn add(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            match std::str::from_utf8(rest) {
                Ok(text) => return self.add_text(text),
                Err(error) => {
                    let (good, bad) = rest.split_at(error.valid_up_to());
                    self.add_text(std::str::from_utf8(good).unwrap_or_default());
                    let Some(length) = error.error_len() else {
                        // The end of the input is the beginning of a character.
                        self.partial.extend_from_slice(&bad[..bad.len().min(PARTIAL_MAX)]);
                        return;
                    };
                    let (bad, after) = bad.split_at(length);
                    self.text.push_str(&bad.escape_ascii().to_string());
                    rest = after;
                }
            }
        }
    }

    fn add_text(&mut self, text: &str) {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let colour = match self.form {
                Form::Coloured => colour(rest),
                Form::Text | Form::Json => 0,
            };
            if colour > 0 {
                self.text.push_str(&rest[..colour]);
            } else {
                push(&mut self.text, c, self.form);
            }
            rest = &rest[colour.max(c.len_utf8())..];
        }
    }
}

/// The length of the sequence that `text` begins with, if it is one of those by which log lines are coloured: bold,
/// dim, italic, one of the eight colours, and back. Hidden and overwritten text is not among them.
fn colour(text: &str) -> usize {
    let Some(rest) = text.strip_prefix("\u{1b}[") else { return 0 };
    let Some((number, _)) = rest.split_once('m') else { return 0 };
    let known =
        matches!(number, "0" | "1" | "2" | "3") || matches!(number.as_bytes(), [b'3', b'0'..=b'7']);
    if known { 2 + number.len() + 1 } else { 0 }
}

impl<W: Write> Write for Escaped<W> {
    /// Takes all of it or fails: a part that was written twice would be worse than an error.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.clear();
        if self.partial.is_empty() {
            self.add(bytes);
        } else {
            let mut joined = std::mem::take(&mut self.partial);
            joined.extend_from_slice(bytes);
            self.add(&joined);
        }
        self.inner.write_all(self.text.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// One line of a log, which comes in one piece: only its end is a line break.
#[derive(Debug)]
pub(crate) struct LogLine<W> {
    inner: Escaped<W>,
}

impl<W: Write> LogLine<W> {
    pub(crate) fn new(inner: W, form: Form) -> LogLine<W> {
        LogLine { inner: Escaped::new(inner, form) }
    }
}

impl<W: Write> Write for LogLine<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        if !body.contains(&b'\n') {
            return self.inner.write(bytes);
        }
        let mut line = Vec::with_capacity(bytes.len() + 8);
        for (at, part) in body.split(|&byte| byte == b'\n').enumerate() {
            if at > 0 {
                line.extend_from_slice(b"\\n");
            }
            line.extend_from_slice(part);
        }
        line.extend_from_slice(&bytes[body.len()..]);
        self.inner.write_all(&line)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}]0;t\u{7}\r\u{9b}2J\u{202e}b\u{7f}\u{2066}\u{e0041}é漢";

    fn through(form: Form, pieces: &[&[u8]]) -> String {
        let mut stream = Escaped::new(Vec::new(), form);
        pieces.iter().for_each(|piece| stream.write_all(piece).unwrap());
        String::from_utf8(stream.inner).unwrap()
    }

    #[test]
    fn z08_nothing_active_gets_through_however_it_is_cut() {
        let whole = through(Form::Text, &[HOSTILE.as_bytes()]);
        assert!(!whole.contains(is_active) && whole.ends_with("\\u{e0041}é漢"), "{whole}");
        for at in 0..HOSTILE.len() {
            let (head, tail) = HOSTILE.as_bytes().split_at(at);
            assert_eq!(through(Form::Text, &[head, tail]), whole, "cut at {at}");
        }
        assert_eq!(through(Form::Text, &[b"\xff\x9b1m\n"]), "\\xff\\x9b1m\n");
        assert_eq!(OneLine("x\n\u{1b}[8m").to_string(), "x\\n\\u{1b}[8m");
        assert_eq!(message("a: b\nebbtide: all is well"), "a: b\n  ebbtide: all is well");
    }

    #[test]
    fn z08_a_document_reads_back_as_it_was() {
        let document = serde_json::to_string(HOSTILE).unwrap();
        let escaped = json(&document);
        assert!(!escaped.contains(is_active), "{escaped}");
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), HOSTILE);
        assert_eq!(through(Form::Json, &[document.as_bytes()]), escaped);
    }

    #[test]
    fn z08_a_line_of_a_log_keeps_its_colours_and_nothing_else() {
        let mut log = LogLine::new(Vec::new(), Form::Coloured);
        log.write_all("\u{1b}[31mERROR\u{1b}[0m \u{1b}[8mx\nINFO forged\n".as_bytes()).unwrap();
        let line = String::from_utf8(log.inner.inner).unwrap();
        assert_eq!(line, "\u{1b}[31mERROR\u{1b}[0m \\u{1b}[8mx\\nINFO forged\n");
    }
}
