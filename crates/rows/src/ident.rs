//! Names as SQL.

use std::fmt;

/// A name of a table, a column or a schema, in double quotes, whatever it is.
#[derive(Debug, Clone, Copy)]
pub struct Ident<'a>(pub &'a str);

impl fmt::Display for Ident<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// A name in a schema: `"main"."orders"`.
#[derive(Debug, Clone, Copy)]
pub struct Qualified<'a>(pub &'a str, pub &'a str);

impl fmt::Display for Qualified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", Ident(self.0), Ident(self.1))
    }
}

#[test]
fn quotes_within_a_name_are_doubled() {
    assert_eq!(Qualified("main", "a \"b\"").to_string(), "\"main\".\"a \"\"b\"\"\"");
}
