//! The works of the study, each with what the study expects of it, both made smaller by the same factors.

use ebbtide_testkit::Random;

use super::database::{Database, Work, Worked};
use super::replica::{BEGIN, DAY};

/// A work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// How many databases are simulated.
    pub(crate) databases: u64,
    pub(crate) commits_a_day: i64,
    /// What the study's requests and its bytes are divided by.
    pub(crate) requests_by: f64,
    pub(crate) bytes_by: f64,
    pub(crate) study: Study,
}

/// What the study has in its table 2.5, in full size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Study {
    pub(crate) puts_a_month: f64,
    pub(crate) gets_a_month: f64,
    pub(crate) stored_bytes: f64,
    /// Bytes that are put for each byte of a segment.
    pub(crate) put_ratio: f64,
}

pub(crate) const SCENARIOS: [Scenario; 4] = [
    Scenario {
        name: "A",
        about: "100 GB, 1 % of its pages a day in 20,000 commits; 1/200 of the bytes, 1/40 of the commits",
        databases: 1,
        commits_a_day: 500,
        requests_by: 40.0,
        bytes_by: 200.0,
        study: Study {
            puts_a_month: 0.62e6,
            gets_a_month: 0.0,
            stored_bytes: 0.54e12,
            put_ratio: 3.8,
        },
    },
    Scenario {
        name: "B",
        about: "1 KB rows at one a second, 36 GB after a year; 1/100 of the rows",
        databases: 1,
        commits_a_day: 864,
        requests_by: 100.0,
        bytes_by: 100.0,
        study: Study {
            puts_a_month: 2.60e6,
            gets_a_month: 0.0,
            stored_bytes: 0.11e12,
            put_ratio: 4.0,
        },
    },
    Scenario {
        name: "C",
        about: "1,000 databases of 20 MB, 200 commits a day each, which append short rows; 3 of them",
        databases: 3,
        commits_a_day: 200,
        requests_by: 1000.0 / 3.0,
        bytes_by: 1000.0 / 3.0,
        study: Study {
            puts_a_month: 6.0e6,
            gets_a_month: 5.8e6,
            stored_bytes: 0.12e12,
            put_ratio: 1.5,
        },
    },
    Scenario {
        name: "random",
        about: "as C, with an index by a random key, which the study does not look at; 3 of 1,000",
        databases: 3,
        commits_a_day: 200,
        requests_by: 1000.0 / 3.0,
        bytes_by: 1000.0 / 3.0,
        study: Study {
            puts_a_month: 6.0e6,
            gets_a_month: 5.8e6,
            stored_bytes: 0.12e12,
            put_ratio: 1.5,
        },
    },
];

impl Scenario {
    /// The database as it is at first, and what is done to it.
    pub(crate) fn database(&self, number: u64) -> Worked {
        let mut random = Random::new(number);
        let (database, work) = match self.name {
            "A" => {
                let pages = 122_070;
                (Database::filled(pages, &mut random), Work::update(8, pages as usize / 100))
            }
            "B" => {
                let mut database = Database::filled(4, &mut random);
                let work = Work::insert(1000, true, &mut database);
                (database, work)
            }
            _ => {
                let mut database = Database::filled(4800, &mut random);
                let work = Work::insert(100, self.name == "random", &mut database);
                (database, work)
            }
        };
        Worked { database, work }
    }

    /// When commit `number` of a database is made: evenly, and not all databases at once.
    pub(crate) fn time(&self, number: i64, database: u64) -> i64 {
        let pause = DAY / self.commits_a_day;
        let late = i64::try_from(database).unwrap_or(0) * pause / 7;
        BEGIN + number * pause + late
    }
}
