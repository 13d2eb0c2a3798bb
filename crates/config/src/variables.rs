//! Variables in the strings of a configuration: `${HOME}/backup`.
//!
//! What looks like something that a shell would have expanded is expanded or refused: a directory of the name `~` or
//! `$HOME` is nothing that anybody wants.

use crate::secret::secret_key_in;

/// What stands for a variable, if it is set.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The text with each `${NAME}` replaced, and `$$` as a dollar sign.
pub(crate) fn expand(text: &str, variable: Lookup<'_>) -> Result<String, String> {
    if text.starts_with('~') {
        return Err(format!("{text}: ~ is not expanded: write ${{HOME}}, or ./~ for that name"));
    }
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        rest = if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            after
        } else if let Some(after) = after.strip_prefix('{') {
            let (name, after) = after
                .split_once('}')
                .filter(|(name, _)| is_name(name))
                .ok_or_else(|| format!("{text}: ${{ begins no ${{NAME}}: write $$ for a dollar"))?;
            let value = variable(name);
            let value = value.ok_or_else(|| format!("{text}: the variable {name} is not set"))?;
            expanded.push_str(&value);
            after
        } else if after.starts_with(begins_name) {
            let name: String = after.chars().take_while(|c| continues_name(*c)).collect();
            return Err(format!("{text}: write ${{{name}}} for the variable, or $$ for a dollar"));
        } else {
            expanded.push('$');
            after
        };
    }
    expanded.push_str(rest);
    match secret_key_in(&expanded) {
        Some(_) => Err(format!("{text}: the variable is a secret key, and no variable may be one")),
        None => Ok(expanded),
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(begins_name) && text.chars().all(continues_name)
}

fn begins_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn continues_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        let variable = |name: &str| match name {
            "HOME" => Some("/data/a".to_owned()),
            "EMPTY" => Some(String::new()),
            "DOLLAR" => Some("${HOME}".to_owned()),
            _ => None,
        };
        expand(text, &variable)
    }

    #[test]
    fn o26_variables_are_replaced_once() {
        for (text, result) in [
            ("", ""),
            ("/data/app.db", "/data/app.db"),
            ("${HOME}/b", "/data/a/b"),
            ("s3://b/${HOME}?x=${EMPTY}&y", "s3://b//data/a?x=&y"),
            ("${HOME}${HOME}", "/data/a/data/a"),
            ("${DOLLAR}", "${HOME}"),
            ("$${HOME}", "${HOME}"),
            ("a$$b$", "a$b$"),
            ("price-5$.db", "price-5$.db"),
            ("a/~/b", "a/~/b"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(result), "{text}");
        }
    }

    #[test]
    fn o26_what_cannot_be_meant_is_refused_with_what_to_write() {
        for (text, said) in [
            ("~/b", "~/b: ~ is not expanded: write ${HOME}, or ./~ for that name"),
            ("~", "~: ~ is not expanded"),
            ("/x/${NOWHERE}", "/x/${NOWHERE}: the variable NOWHERE is not set"),
            ("$HOME/b", "$HOME/b: write ${HOME} for the variable, or $$ for a dollar"),
            ("${HOME", "begins no ${NAME}"),
            ("${}", "begins no ${NAME}"),
            ("${HOME:-x}", "begins no ${NAME}"),
            ("${1}", "begins no ${NAME}"),
        ] {
            let error = expanded(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
