//! The lines of a file, by which its reader is told where something stands.

/// Where each line ends.
#[derive(Debug)]
pub(crate) struct Lines(Vec<usize>);

impl Lines {
    pub(crate) fn new(text: &str) -> Lines {
        Lines(text.match_indices('\n').map(|(at, _)| at).collect())
    }

    /// The number of the line that this byte is in; the first is 1.
    pub(crate) fn of(&self, byte: usize) -> usize {
        1 + self.0.partition_point(|&end| end < byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_end_in_it() {
        let lines = Lines::new("a\nbc\n\nd");
        let numbers: Vec<usize> = (0..7).map(|byte| lines.of(byte)).collect();
        assert_eq!(numbers, [1, 1, 2, 2, 2, 3, 4]);
    }
}
