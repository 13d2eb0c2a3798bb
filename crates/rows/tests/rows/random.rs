//! Random histories of SQL: whatever they do, the script of the difference makes the old rows the new ones.

use ebbtide_rows::Options;
use rusqlite::Connection;

use crate::support::{assert_same, copy, script, summary};

pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        let at = self.below(from.len() as u64);
        from[usize::try_from(at).unwrap()]
    }
}

const TABLES: &[&str] = &["a", "b", "c", "d", "e"];

const CREATE: &[&str] = &[
    "(id INTEGER PRIMARY KEY, x, y TEXT COLLATE NOCASE)",
    "(x, y)",
    "(x TEXT PRIMARY KEY, y)",
    "(x COLLATE NOCASE, y, PRIMARY KEY (y, x)) WITHOUT ROWID",
    "(x UNIQUE, y DEFAULT 'none')",
    "(id INTEGER PRIMARY KEY AUTOINCREMENT, x INT, y REAL, UNIQUE (x, y))",
    "(x, y, g AS (x || y))",
];

fn value(random: &mut Random) -> String {
    match random.below(8) {
        0 => "NULL".to_owned(),
        1 => format!("{}.0", random.below(9)),
        2 => format!("x'0{}'", random.below(9)),
        3 => random.pick(&["'abc'", "'ABC'", "'abc '", "''", "CAST(x'6100' AS TEXT)"]).to_owned(),
        4 => format!("'{}'", random.below(30)),
        5 => format!("0.1 * {}", random.below(100)),
        _ => random.below(30).to_string(),
    }
}

fn statement(random: &mut Random) -> String {
    let table = random.pick(TABLES);
    let (a, b) = (value(random), value(random));
    match random.below(24) {
        0 => format!("DROP TABLE IF EXISTS {table}"),
        1 | 2 => format!("CREATE TABLE IF NOT EXISTS {table} {}", random.pick(CREATE)),
        3 => format!(
            "ALTER TABLE {table} ADD COLUMN z{} DEFAULT {}",
            random.below(3),
            random.below(5)
        ),
        4 => format!("ALTER TABLE {table} DROP COLUMN z{}", random.below(3)),
        5 => format!(
            "ALTER TABLE {table} RENAME COLUMN z{} TO z{}",
            random.below(3),
            random.below(3)
        ),
        6 => format!("CREATE INDEX IF NOT EXISTS i{table} ON {table} (y, x)"),
        7 => format!("DROP INDEX IF EXISTS i{table}"),
        8 => "VACUUM".to_owned(),
        9 => format!("DELETE FROM {table}"),
        10 => format!(
            "CREATE TRIGGER IF NOT EXISTS t{table} AFTER UPDATE ON {table} BEGIN INSERT OR IGNORE INTO a (x, y) VALUES (old.x, 't'); END"
        ),
        11 => format!("DELETE FROM {table} WHERE x = {a}"),
        12 => format!("DELETE FROM {table} WHERE x > {a} AND y < {b}"),
        13 => format!("UPDATE OR REPLACE {table} SET x = {a} WHERE y > {b}"),
        14 => format!("UPDATE OR IGNORE {table} SET y = {a}, x = x + 1 WHERE x < {b}"),
        15 => format!("UPDATE OR IGNORE {table} SET z{} = {a} WHERE x < {b}", random.below(3)),
        _ => format!("INSERT OR REPLACE INTO {table} (x, y) VALUES ({a}, {b})"),
    }
}

/// Runs statements, some of which fail because what they are about is not there.
pub(crate) fn act(connection: &Connection, random: &mut Random, count: u64) -> Vec<String> {
    let mut done = Vec::new();
    for _ in 0..count {
        let sql = statement(random);
        if connection.execute_batch(&sql).is_ok() {
            done.push(sql);
        }
    }
    done
}

/// A database with tables of random kinds.
pub(crate) fn create(random: &mut Random) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    for table in TABLES {
        let create = random.pick(CREATE);
        connection.execute_batch(&format!("CREATE TABLE {table} {create}")).unwrap();
    }
    connection
}

pub(crate) fn seeds(usual: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match (number("EBBTIDE_SEED"), number("EBBTIDE_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, seeds) => 1..1 + seeds.unwrap_or(usual),
    }
}

#[test]
fn patches_of_random_histories_give_the_new_rows() {
    let mut differing = 0;
    for seed in seeds(300) {
        let mut random = Random::new(seed);
        let mut old = create(&mut random);
        act(&old, &mut random, 60);
        let new = copy(&mut old);
        let count = 1 + random.below(40);
        let done = act(&new, &mut random, count);
        let options = Options { by_declared_key: random.below(3) == 0, ..Options::default() };
        let found = summary(&old, &new, &options);
        let script = script(&old, &new, &options).unwrap();
        let said = format!("EBBTIDE_SEED={seed}\n{}\n--- script\n{script}", done.join("\n"));
        old.execute_batch(&script).unwrap_or_else(|error| panic!("{error}: {said}"));
        assert_same(&old, &new, &said);
        differing += usize::from(!found.is_equal());
    }
    assert!(differing > 0 || seeds(300).count() < 100, "{differing} differ");
}
