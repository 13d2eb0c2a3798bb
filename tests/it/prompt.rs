//! The prompt of `ebbtide sql` at a terminal of its own, as somebody types at it.

use crate::support::{Setup, Terminal};

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const UP: &str = "\x1b[A";
const ENTER: &str = "\r";
const PROMPT: &str = "ebbtide> ";

/// A terminal with the prompt.
fn open(setup: &Setup) -> Terminal {
    let mut terminal = Terminal::start(setup, &["sql", "--at", "txid:2", &setup.replica]);
    terminal.shows(PROMPT);
    terminal
}

/// Ctrl-D ends it, with exit code 0.
#[track_caller]
fn end(mut terminal: Terminal) {
    terminal.types(CTRL_D);
    let (code, shown) = terminal.ended();
    assert_eq!(code, Some(0), "{shown}");
}

fn setup() -> Setup {
    let setup = Setup::new();
    let app = setup.app();
    app.execute_batch(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT);
         INSERT INTO orders VALUES (1, 'paid'), (2, 'open')",
    )
    .unwrap();
    setup.once().exits(0);
    setup
}

#[test]
fn statements_are_completed_remembered_and_go_on_in_the_next_line() {
    let setup = setup();
    let mut terminal = open(&setup);
    // What is shown is another word than what was typed.
    terminal.types("SELECT upper(sta\t) FROM orders WHERE id = 1;\r");
    terminal.shows("PAID");
    terminal.shows(PROMPT);
    terminal.types(UP);
    terminal.types(ENTER);
    terminal.shows("PAID");
    terminal.shows(PROMPT);
    terminal.types("SELECT 40\r");
    terminal.types("+ 2 AS n;\r");
    terminal.shows("42");
    terminal.shows(PROMPT);
    terminal.types(".mode json\r");
    terminal.shows(PROMPT);
    terminal.types("SELECT lower('OPEN') AS word;\r");
    terminal.shows("{\"word\":\"open\"}");
    terminal.shows(PROMPT);
    terminal.types("SELEC;\r");
    terminal.shows("syntax error");
    terminal.shows(PROMPT);
    terminal.types(".tables\r");
    terminal.shows("\"name\":\"orders\"");
    terminal.shows(PROMPT);
    end(terminal);
    // Another session knows what was typed in this one: the last line but one.
    let mut terminal = open(&setup);
    terminal.types(UP);
    terminal.types(UP);
    terminal.types(UP);
    terminal.types(ENTER);
    terminal.shows("word\r\n");
    terminal.shows("open");
    terminal.shows(PROMPT);
    end(terminal);
}

#[test]
fn t05_ctrl_c_ends_a_line_or_a_statement_and_never_the_prompt() {
    let setup = setup();
    let mut terminal = open(&setup);
    terminal.types("SELECT nonsense");
    terminal.types(CTRL_C);
    terminal.shows(PROMPT);
    terminal.types("SELECT 40 + 2 AS n;\r");
    terminal.shows("42");
    terminal.shows(PROMPT);
    let endless =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT max(i) FROM n;\r";
    terminal.types(endless);
    terminal.shows("FROM n;");
    // It would never end by itself. What is typed before it has begun interrupts nothing.
    terminal.types_until(CTRL_C, "interrupted");
    terminal.shows(PROMPT);
    terminal.types("SELECT 40 + 3 AS n;\r");
    terminal.shows("43");
    terminal.shows(PROMPT);
    end(terminal);
}
