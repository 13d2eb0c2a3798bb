//! A secret key where none may be: in a configuration, an argument, a variable.

/// What each begins with, in capitals.
const BEGINS: &str = "AGE-SECRET-KEY-";

/// So much of what follows is no example, and no sentence about keys. A key has more, in each of age's kinds.
const SECRET_CHARS: usize = 40;

/// Where a secret key begins in a text, in bytes. Whoever is told so is not told the key: all that shows it once more has
/// more readers than its file.
#[must_use]
pub fn secret_key_in(text: &str) -> Option<usize> {
    let capitals = text.to_ascii_uppercase();
    capitals.match_indices(BEGINS).map(|(at, _)| at).find(|at| {
        let follows = capitals[at + BEGINS.len()..].chars();
        follows.take_while(|c| c.is_ascii_alphanumeric() || *c == '-').count() >= SECRET_CHARS
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_wherever_it_stands_and_what_is_said_of_keys_is_none() {
        let key = format!("AGE-SECRET-KEY-1{}", "QPZRY9X8".repeat(7));
        let classic = format!("to = \"{key}\"");
        assert_eq!(secret_key_in(&classic), Some(6));
        assert_eq!(secret_key_in(&format!("é {}", key.to_lowercase())), Some(3));
        let post_quantum = key.replace("KEY-1", "KEY-PQ-1");
        assert_eq!(secret_key_in(&format!("# AGE-SECRET-KEY-1…\n{post_quantum}")), Some(22));
        assert_eq!(secret_key_in("# it begins with AGE-SECRET-KEY-1, and lies in a safe"), None);
    }
}
