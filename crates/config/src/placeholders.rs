//! What stands for the name of a database in an address that several databases share: `s3://bucket/{name}`.

use std::path::Path;

/// What would end the path of an address, or is decoded there.
const SPECIAL: [char; 4] = ['?', '#', '%', '&'];

/// The address with `{name}` as the name of the database's file, `{stem}` as that without its extension, and `{relative}` as
/// the path `below` the directory of a pattern, or the name where there is none.
pub(crate) fn fill(address: &str, database: &Path, below: Option<&Path>) -> Result<String, String> {
    let mut filled = String::with_capacity(address.len());
    let mut rest = address;
    while let Some((before, word, after)) = next(rest) {
        let value = match word {
            "name" => database.file_name(),
            "stem" => database.file_stem(),
            "relative" => below.map(Path::as_os_str).or(database.file_name()),
            _ => {
                return Err(format!(
                    "{address}: there is no {{{word}}}: {{name}} is the name of the database's file, {{stem}} that \
                     without its extension, and {{relative}} the path below the directory of a pattern"
                ));
            }
        };
        let Some(value) = value.and_then(|value| value.to_str()) else {
            return Err(format!(
                "{address}: the database's path has no name in UTF-8 for {{{word}}}"
            ));
        };
        if address.contains("://") && value.contains(SPECIAL) {
            return Err(format!(
                "{address}: {value} has a character that means something else in an address: write this one without \
                 {{{word}}}"
            ));
        }
        filled.push_str(before);
        filled.push_str(value);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// The address of the place below which all lies that the address can become.
pub(crate) fn above(address: &str) -> String {
    let (path, keys) = path_and_keys(address);
    match cut(path) {
        Some(0) => "/".to_owned(),
        Some(slash) => format!("{}{keys}", &path[..slash]),
        None => ".".to_owned(),
    }
}

/// The one word that the address has, and what stands for it where the names after [`above`] are these. Nothing if it does
/// not become that, or has several words.
pub(crate) fn read_back<'a>(address: &'a str, names: &'a str) -> Option<(&'a str, &'a str)> {
    let (path, _) = path_and_keys(address);
    let names_of_it = cut(path).map_or(path, |slash| &path[slash + 1..]);
    let (before, word, after) = next(names_of_it.trim_end_matches('/'))?;
    let value = names.strip_prefix(before)?.strip_suffix(after)?;
    next(after).is_none().then_some((word, value))
}

/// The slash before the name with the first word.
fn cut(path: &str) -> Option<usize> {
    let begin = next(path).map_or(path.len(), |(before, ..)| before.len());
    path[..begin].rfind('/')
}

fn path_and_keys(address: &str) -> (&str, &str) {
    match address.find('?').filter(|_| address.contains("://")) {
        Some(keys) => address.split_at(keys),
        None => (address, ""),
    }
}

/// What comes before the next word in braces, the word, and what comes after it.
fn next(text: &str) -> Option<(&str, &str, &str)> {
    let (mut begin, is_word) =
        (0, |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()));
    while let Some(open) = text[begin..].find('{') {
        let word_begin = begin + open + 1;
        let word = text[word_begin..].split('}').next().unwrap_or_default();
        let end = word_begin + word.len();
        if is_word(word) && end < text.len() {
            return Some((&text[..word_begin - 1], word, &text[end + 1..]));
        }
        begin = word_begin;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_database_is_filled_in_and_nothing_else() {
        for (address, filled) in [
            ("s3://b/{name}?endpoint=http://x", "s3://b/app.db?endpoint=http://x"),
            ("/mnt/{stem}/{name}", "/mnt/app/app.db"),
            ("/mnt/{}/{A b}/{name", "/mnt/{}/{A b}/{name"),
            ("{{name}}", "{app.db}"),
            ("", ""),
        ] {
            assert_eq!(fill(address, Path::new("/data/app.db"), None).as_deref(), Ok(filled));
        }
        // What is filled in is not read again.
        let odd = Path::new("/data/{stem}.db");
        assert_eq!(fill("/mnt/{name}", odd, None).as_deref(), Ok("/mnt/{stem}.db"));
    }

    #[test]
    fn what_cannot_be_filled_in_is_said() {
        let error = |address, path| fill(address, Path::new(path), None).unwrap_err();
        assert!(error("/mnt/{relativ}", "/a.db").contains("there is no {relativ}"));
        assert!(error("s3://b/{name}", "/data/a?b.db").contains("a?b.db has a character"));
        assert!(error("/mnt/{name}", "/data/..").contains("no name in UTF-8 for {name}"));
        assert_eq!(fill("/mnt/{name}", Path::new("/a?b.db"), None).as_deref(), Ok("/mnt/a?b.db"));
    }

    #[test]
    fn what_was_filled_in_is_read_back() {
        for (address, place, names, found) in [
            ("s3://b/{relative}", "s3://b", "eu/a.db", Some(("relative", "eu/a.db"))),
            ("s3://b/t/{stem}/?region=x", "s3://b/t?region=x", "a", Some(("stem", "a"))),
            ("/mnt/x-{name}/db", "/mnt", "x-a.db/db", Some(("name", "a.db"))),
            ("/mnt/x-{name}/db", "/mnt", "y-a.db/db", None),
            ("/{name}", "/", "a.db", Some(("name", "a.db"))),
            ("{name}", ".", "a.db", Some(("name", "a.db"))),
            ("/mnt/{stem}/{name}", "/mnt", "a/a.db", None),
        ] {
            assert_eq!(above(address), place);
            assert_eq!(read_back(address, names), found, "{address}");
        }
    }

    #[test]
    fn the_path_below_the_directory_of_a_pattern_is_filled_in() {
        let path = Path::new("/data/tenants/a/b.db");
        let below = Some(Path::new("a/b.db"));
        assert_eq!(fill("s3://x/{relative}", path, below).as_deref(), Ok("s3://x/a/b.db"));
        assert_eq!(fill("s3://x/{relative}", path, None).as_deref(), Ok("s3://x/b.db"));
        assert_eq!(fill("s3://x/{stem}", path, below).as_deref(), Ok("s3://x/b"));
    }
}
