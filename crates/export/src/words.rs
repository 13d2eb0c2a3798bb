//! SQL as words, strings, numbers and signs, as far as a schema's statements have to be read for what SQLite does not
//! tell of them: CHECK constraints, expressions, whether a foreign key is deferred.

/// One of them, as it is written, with where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: TokenKind,
    pub(crate) text: &'a str,
    pub(crate) at: usize,
}

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A name or a keyword.
    Word,
    /// A name in quotes of any kind.
    Name,
    /// `'…'`
    Text,
    /// `x'…'`
    Bytes,
    /// Digits and what belongs to them.
    Number,
    /// Anything else, one character.
    Sign,
}

/// All tokens of a statement, without blanks and comments. What is not closed ends with the text.
pub(crate) fn tokens(sql: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = sql.get(at..).filter(|rest| !rest.is_empty()) {
        let (kind, length) = first(rest);
        let length = length.clamp(1, rest.len());
        if let Some(kind) = kind {
            found.push(Token { kind, text: &rest[..length], at });
        }
        at += length;
    }
    found
}

/// What the text begins with, and how long that is; nothing if it is blank.
fn first(rest: &str) -> (Option<TokenKind>, usize) {
    let bytes = rest.as_bytes();
    let until = |end: &str| rest.find(end).map_or(rest.len(), |at| at + end.len());
    match bytes {
        [b'-', b'-', ..] => (None, until("\n")),
        [b'/', b'*', ..] => (None, rest[2..].find("*/").map_or(rest.len(), |at| at + 4)),
        [b'\'', ..] => (Some(TokenKind::Text), quoted(bytes, b'\'')),
        [b'x' | b'X', b'\'', ..] => (Some(TokenKind::Bytes), 1 + quoted(&bytes[1..], b'\'')),
        [quote @ (b'"' | b'`'), ..] => (Some(TokenKind::Name), quoted(bytes, *quote)),
        [b'[', ..] => (Some(TokenKind::Name), until("]")),
        [b'0'..=b'9', ..] | [b'.', b'0'..=b'9', ..] => (Some(TokenKind::Number), number(bytes)),
        [byte, ..] if byte.is_ascii_whitespace() => (None, 1),
        _ => {
            let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            match rest.chars().next() {
                Some(sign) if end == 0 => (Some(TokenKind::Sign), sign.len_utf8()),
                _ => (Some(TokenKind::Word), end),
            }
        }
    }
}

/// The length of what begins with a quote; two quotes within it are one.
fn quoted(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < bytes.len() {
        match (bytes[at] == quote, bytes.get(at + 1) == Some(&quote)) {
            (true, true) => at += 2,
            (true, false) => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn number(bytes: &[u8]) -> usize {
    let is_part = |at: usize| {
        let byte = bytes[at];
        let is_sign_of_exponent = matches!(byte, b'+' | b'-')
            && matches!(bytes[at - 1], b'e' | b'E')
            && !bytes.starts_with(b"0x");
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || is_sign_of_exponent
    };
    (1..bytes.len()).find(|at| !is_part(*at)).unwrap_or(bytes.len())
}

impl Token<'_> {
    /// Whether it is this keyword.
    pub(crate) fn is(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether it is this sign.
    pub(crate) fn is_sign(&self, sign: &str) -> bool {
        self.kind == TokenKind::Sign && self.text == sign
    }
}

/// The text within the parentheses that follow each place where `words` stand directly within those of the statement.
pub(crate) fn parenthesised<'a>(sql: &'a str, words: &[&str]) -> Vec<&'a str> {
    let tokens = tokens(sql);
    let mut found = Vec::new();
    let mut depth = 0_u32;
    for (index, token) in tokens.iter().enumerate() {
        match token.text {
            "(" if token.kind == TokenKind::Sign => {
                let before = tokens.get(index.saturating_sub(words.len())..index).unwrap_or(&[]);
                let is_after = before.len() == words.len()
                    && before.iter().zip(words).all(|(token, word)| token.is(word));
                if depth == 1
                    && is_after
                    && let Some(end) = closing(&tokens[index..])
                {
                    found.push(sql[token.at + 1..end].trim());
                }
                depth += 1;
            }
            ")" if token.kind == TokenKind::Sign => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    found
}

/// Where the parenthesis is closed with which the tokens begin.
fn closing(tokens: &[Token<'_>]) -> Option<usize> {
    let mut depth = 0_u32;
    for token in tokens {
        if token.is_sign("(") {
            depth += 1;
        } else if token.is_sign(")") {
            depth = depth.checked_sub(1)?;
            if depth == 0 {
                return Some(token.at);
            }
        }
    }
    None
}

/// How often the words stand behind each other.
pub(crate) fn count(sql: &str, words: &[&str]) -> usize {
    let tokens = tokens(sql);
    let stand =
        |window: &&[Token<'_>]| window.iter().zip(words).all(|(token, word)| token.is(word));
    tokens.windows(words.len()).filter(stand).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_is_taken_apart() {
        let sql = "CREATE TABLE \"a \"\"b\" -- no\n ([x y] /* CHECK(1) */ TEXT DEFAULT 'it''s', z x'00', n 1e-5+2)";
        let texts: Vec<&str> = tokens(sql).iter().map(|token| token.text).collect();
        let expected = [
            "CREATE",
            "TABLE",
            "\"a \"\"b\"",
            "(",
            "[x y]",
            "TEXT",
            "DEFAULT",
            "'it''s'",
            ",",
            "z",
            "x'00'",
            ",",
            "n",
            "1e-5",
            "+",
            "2",
            ")",
        ];
        assert_eq!(texts, expected);
        assert_eq!(tokens("'open"), [Token { kind: TokenKind::Text, text: "'open", at: 0 }]);
        assert_eq!(tokens("é ü").len(), 2);
    }

    #[test]
    fn constraints_are_found_where_they_stand_and_nowhere_else() {
        let sql = "CREATE TABLE t (a CHECK (a > (0)), b DEFAULT ('CHECK (1)'), c AS (a || ')') , d GENERATED ALWAYS AS (b),
                   check_me INT, CHECK(a<b), FOREIGN KEY (a) REFERENCES p DEFERRABLE INITIALLY DEFERRED)";
        assert_eq!(parenthesised(sql, &["CHECK"]), ["a > (0)", "a<b"]);
        assert_eq!(parenthesised(sql, &["AS"]), ["a || ')'", "b"]);
        assert_eq!(count(sql, &["INITIALLY", "DEFERRED"]), 1);
    }
}
