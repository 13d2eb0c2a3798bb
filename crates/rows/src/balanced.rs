//! A long row of operands as an expression that is not deep: SQLite takes no expression of more than a thousand levels, and a
//! table has up to two thousand columns.

/// So many operands stand side by side, which is one level for each.
const SIDE_BY_SIDE_MAX: usize = 16;

/// The operands with an operator between them, whose order of evaluation does not matter.
pub(crate) fn balanced(operands: &[String], operator: &str) -> String {
    if operands.len() <= SIDE_BY_SIDE_MAX {
        return operands.join(operator);
    }
    let (left, right) = operands.split_at(operands.len() / 2);
    format!("({}){operator}({})", balanced(left, operator), balanced(right, operator))
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn an_expression_over_as_many_operands_as_a_table_has_columns_is_not_too_deep() {
        let connection = Connection::open_in_memory().unwrap();
        let value = |sql: &str| {
            connection.query_row(&format!("SELECT {sql}"), [], |row| row.get::<_, String>(0))
        };
        for count in [1, 16, 17, 100, 2000] {
            let letters: Vec<String> = ('a'..='z').cycle().take(count).map(String::from).collect();
            let quoted: Vec<String> = letters.iter().map(|letter| format!("'{letter}'")).collect();
            assert_eq!(value(&balanced(&quoted, " || ")).unwrap(), letters.concat());
        }
        let tests: Vec<String> =
            (0..2000).map(|at| format!("(typeof({at}) = 'integer' AND {at} = {at})")).collect();
        assert_eq!(value(&format!("CAST({} AS TEXT)", balanced(&tests, " AND "))).unwrap(), "1");
        assert!(value(&tests.join(" AND ")).is_err(), "SQLite has no limit any more");
    }
}
