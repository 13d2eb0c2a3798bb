//! The page. Would catch a page that says something else than `status` and `log`, a name that becomes a script, a command
//! that restores something else, and a page that nobody can use with a keyboard or on a telephone.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use ebbtide_testkit::builder::{Builder, SECOND};
use ebbtide_testkit::process::{Output, Process};
use ebbtide_testkit::s3_server::{Asked, Fault, S3Server};
use serde_json::Value;

use crate::support::{Ended, PATIENCE, Setup, wait_until};

use super::browser::{self, Browser};
use super::{Client, Shown};

/// What stands in an element of a page, as text.
fn inner<'a>(html: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = html.split_once(begin).unwrap_or_else(|| panic!("no {begin} in {html}"));
    rest.split_once(end).unwrap().0
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

pub(super) fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// What `log --json` says, a document a line.
fn log(setup: &Setup) -> Vec<Value> {
    setup.run(&["log", "--json", &setup.text("backup")]).exits(0).json_lines()
}

/// The page of the database, once its history is read as far as this.
fn database(setup: &Setup, client: &Client, commits: u64) -> String {
    let address = format!("/database?name={}", encoded(&setup.text("app.db")));
    let mut page = String::new();
    wait_until("the page to have the history", || {
        page = client.get(&address).ok();
        page.contains(&format!("Any of {commits} commit"))
    });
    page
}

#[test]
fn the_page_says_what_the_status_and_the_log_say() {
    let setup = Setup::new();
    let app = setup.app();
    let shown = Shown::follow(&setup);
    for _ in 0..5 {
        app.insert(1, 100);
    }
    setup.sync();
    setup.run(&["mark", "before the flood", &setup.text("app.db")]).exits(0);
    let lines = log(&setup);
    let states: Vec<&Value> =
        lines.iter().filter(|it| it["what"] == "commit" || it["what"] == "resync").collect();
    let image =
        lines.iter().filter(|it| it["pages"].is_u64() && it["what"] != "claim").count() as u64;
    let index = shown.client.get("/").ok();
    assert!(index.contains("1 database, everything durable"), "{index}");
    let page = database(&setup, &shown.client, image);
    let report = setup.report();
    let durable = report["durable_txid"].as_str().unwrap();
    assert!(page.contains(&format!("txid {}", durable.trim_start_matches('0'))), "{page}");
    assert!(page.contains("before the flood"), "{page}");
    assert!(page.contains("0 gaps"), "{page}");
    // Each commit in its turn, from the newest to the oldest, with its pages.
    let mut page = page;
    for state in states.iter().rev() {
        let txid = state["txid"].as_str().unwrap().trim_start_matches('0');
        assert!(page.contains(&format!("<h3 id=\"picked\">txid {txid}</h3>")), "{txid}: {page}");
        let pages = state["pages"].as_u64().unwrap();
        let said = format!("{pages} page{}", if pages == 1 { "" } else { "s" });
        assert!(page.contains(&said), "{said}: {page}");
        if let Some((_, rest)) = page.split_once("id=\"previous\" rel=\"prev\" href=\"") {
            let next = unescaped(rest.split_once('"').unwrap().0);
            page = shown.client.get(&next).ok();
        }
    }
    assert_eq!(shown.sidecar.stop(), 0);
}

#[test]
fn the_command_of_a_commit_restores_it() {
    let setup = Setup::new().called("app.db", "it's a backup");
    let app = setup.app();
    let shown = Shown::follow(&setup);
    app.insert(1, 100);
    setup.sync();
    let before = setup.report()["durable_txid"].as_str().unwrap().to_owned();
    app.insert(3, 100);
    setup.sync();
    let address = format!(
        "/database?name={}&pick={}",
        encoded(&setup.text("app.db")),
        before.trim_start_matches('0')
    );
    let mut page = String::new();
    wait_until("the commit", || {
        page = shown.client.get(&address).ok();
        page.contains(&format!("<h3 id=\"picked\">txid {}<", before.trim_start_matches('0')))
    });
    let command = inner(&page, "<code id=\"command\">", "</code>");
    let command = unescaped(&command.replace("<span class=\"whole\">", "").replace("</span>", ""));
    let rest = command.strip_prefix("ebbtide ").unwrap();
    let ebbtide = setup.command(&[]);
    let program = ebbtide.get_program().to_str().unwrap().to_owned();
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("'{program}' {rest}")]).current_dir(setup.path("."));
    Ended::of(&mut setup.equip(shell)).exits(0);
    let restored = rusqlite::Connection::open(setup.path("restored.db")).unwrap();
    let rows: u32 = restored.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 1);
    assert_eq!(shown.sidecar.stop(), 0);
}

/// Names of databases and of marks, and words of an address, are text wherever they stand.
#[test]
fn z21_no_name_is_ever_a_script() {
    let hostile = "<script>alert(1)<\\script>'\" onload=x&.db";
    let setup = Setup::new().called(hostile, "backup");
    let app = setup.app();
    let shown = Shown::follow(&setup);
    app.insert(1, 100);
    setup.sync();
    let mark = "</title><img src=x onerror=alert(1)>\"'";
    setup.run(&["mark", mark, &setup.text(hostile)]).exits(0);
    let database = format!("/database?name={}", encoded(&setup.text(hostile)));
    let mut page = String::new();
    wait_until("the mark", || {
        page = shown.client.get(&database).ok();
        page.contains("onerror=alert")
    });
    let words = format!("{database}&span={mark}&pick={mark}&end={mark}", mark = encoded(mark));
    let nowhere = format!("/database?name={}", encoded("<script>alert(2)</script>"));
    let pages = [shown.client.get("/"), shown.client.get(&database), shown.client.get(&words)];
    for answer in pages.into_iter().chain([shown.client.get(&nowhere)]) {
        let policy =
            "content-security-policy: default-src 'none'; style-src 'self'; script-src 'self'";
        assert!(answer.head.contains(policy), "{}", answer.head);
        assert!(
            !answer.body.contains("<script>") && !answer.body.contains("<img src=x"),
            "{}",
            answer.body
        );
        assert_eq!(answer.body.matches("<script").count(), 1, "{}", answer.body);
        assert!(!answer.body.contains("style="), "the policy would refuse it: {}", answer.body);
        for part in answer.body.split("=\"").skip(1) {
            let value = part.split('"').next().unwrap();
            assert!(!value.contains('<') && !value.starts_with("javascript:"), "{value}");
            assert!(
                !value.starts_with("http") && !value.starts_with("//"),
                "from elsewhere: {value}"
            );
        }
    }
    assert_eq!(shown.sidecar.stop(), 0);
}

#[test]
fn a_replica_that_nobody_follows_has_its_page() {
    let (setup, _app) = Setup::with_rows(3);
    setup.once().exits(0);
    let (process, client) = show(&mut setup.command(&["page", &setup.text("backup")]));
    let moved = client.get("/");
    assert_eq!(moved.status, 303);
    assert!(moved.head.contains("location: /database?name="), "{}", moved.head);
    let place = format!("/database?name={}", encoded(&setup.text("backup")));
    let page = client.get(&place).ok();
    assert!(page.contains("<h3 id=\"picked\">"), "{page}");
    process.kill().unwrap();
    assert_sealed_page();
    setup.run(&["page", &setup.text("nothing")]).exits(3).says("there is no replica");
    setup
        .run(&["page", "--listen", "0.0.0.0:0", &setup.text("backup")])
        .exits(2)
        .says("other machines");
}

/// Starts an `ebbtide page`.
fn show(command: &mut Command) -> (Process, Client) {
    let process = Process::start(command, Output::Stdout).unwrap();
    let client = Client::new(&process.line(PATIENCE).unwrap());
    (process, client)
}

/// An encrypted one is shown to whoever has an identity, and to nobody else.
fn assert_sealed_page() {
    let setup = Setup::new().sealed();
    setup.app().insert(3, 700);
    setup.once().exits(0);
    let shown = |command: &mut Command| {
        let (process, client) = show(command);
        let place = format!("/database?name={}", encoded(&setup.replica));
        let page = client.get(&place).body;
        process.kill().unwrap();
        page
    };
    let page = shown(&mut setup.command(&["page", &setup.replica]));
    assert!(page.contains("<h3 id=\"picked\">"), "{page}");
    let stranger =
        shown(setup.command(&["page", &setup.replica]).env_remove("EBBTIDE_IDENTITY_FILE"));
    assert!(stranger.contains("--identity FILE") && !stranger.contains("picked"), "{stranger}");
}

/// Entries 3 to 8, six hours apart.
async fn hours_apart() -> Builder {
    let mut builder = Builder::started(512, 2).await;
    for number in 3..=8 {
        builder.wait(6 * 3600 * SECOND);
        builder.commit(&[(0, number)], 2);
        builder.cut().await;
    }
    builder
}

/// Who steps to an earlier hour gets there although nothing was committed in it, and comes back.
#[test]
fn earlier_and_later_go_through_the_history() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (setup, builder) = (Setup::new(), runtime.block_on(hours_apart()));
    setup.write(&builder);
    let (_process, client) = show(&mut setup.command(&["page", &setup.text("backup")]));
    let mut place = format!("/database?name={}&span=1h", encoded(&setup.text("backup")));
    for (step, number) in [("Earlier", 7), ("Later", 8)] {
        let picked = format!("<h3 id=\"picked\">txid {number}</h3>");
        wait_until(step, || {
            let page = client.get(&place).ok();
            let is_there = page.contains(&picked);
            if !is_there && page.contains("<h3 id=\"picked\">") {
                let link = format!("\" rel=\"nofollow\" aria-label=\"{step}\"");
                let (before, _) = page.split_once(&link).unwrap();
                place = unescaped(before.rsplit_once("href=\"").unwrap().1);
            }
            is_there
        });
    }
}

/// The newest state that the page has picked, as the browser shows it.
fn picked(browser: &Browser) -> Option<String> {
    browser.text("#picked").map(|text| text.trim_start_matches("txid ").to_owned())
}

#[test]
fn a_browser_shows_it_live_through_an_outage_a_restart_and_a_gap() {
    let test = "a_browser_shows_it_live_through_an_outage_a_restart_and_a_gap";
    if !browser::is_there(test) {
        return;
    }
    let server = S3Server::start();
    let setup = Setup::new().in_bucket(&server);
    let app = setup.app();
    let shown = Shown::follow(&setup);
    app.insert(2, 100);
    setup.sync();
    let browser = Browser::start(1200);
    let root = format!("http://{}/", shown.client.address());
    browser.open(&root);
    assert_eq!(browser.text("h1").as_deref(), Some("1 database, everything durable"));
    // Nothing is loaded again from here on: a word that only this page has stays.
    browser.run("window.kept = 1");
    server.script(|_: &Asked| Some(Fault::Refused(403, "AccessDenied")));
    app.insert(1, 100);
    wait_until("the outage on the page", || {
        browser.text("h1").as_deref() == Some("1 of 1 database needs attention")
            && browser.text(".attention").is_some_and(|text| text.contains("The store is away"))
    });
    assert!(browser.text(".remedy").unwrap().contains("credentials"));
    server.script(|_| None);
    setup.sync();
    wait_until("the end of the outage on the page", || {
        browser.text("h1").as_deref() == Some("1 database, everything durable")
    });
    assert_eq!(browser.run("return window.kept"), 1);
    browser.click(".databases h2 a");
    let newest = |setup: &Setup| {
        let text = setup.report()["durable_txid"].as_str().unwrap_or_default().to_owned();
        text.trim_start_matches('0').to_owned()
    };
    wait_until("the newest commit", || picked(&browser) == Some(newest(&setup)));
    browser.run("window.kept = 2");
    for _ in 0..3 {
        app.insert(1, 100);
    }
    setup.sync();
    wait_until("the newest commit, live", || picked(&browser) == Some(newest(&setup)));
    // Arrow keys, one commit at a time.
    let before = newest(&setup);
    browser.press("\u{E012}");
    wait_until("the commit before", || picked(&browser).is_some_and(|txid| txid != before));
    let one_back = picked(&browser).unwrap();
    browser.press("\u{E014}");
    wait_until("the commit after", || picked(&browser).as_deref() == Some(&before));
    browser.press("\u{E012}");
    wait_until("the commit before", || picked(&browser).as_deref() == Some(&one_back));
    let command = browser.text("#command").unwrap();
    assert!(command.contains(&format!("--txid {one_back} ")), "{command}");
    browser.click(".spans a:nth-of-type(8)");
    wait_until("everything", || {
        browser.text(".spans a[aria-current]").as_deref() == Some("everything")
    });
    assert_eq!(browser.run("return window.kept"), 2);
    // No answer is said as well.
    assert_eq!(shown.sidecar.stop(), 0);
    wait_until("the end of the process to be told", || {
        browser.text("#live").is_some_and(|text| text.contains("no answer"))
    });
    drop(app);
    let app = setup.app();
    app.insert(1, 100);
    app.checkpoint("TRUNCATE");
    let shown = Shown::follow(&setup);
    setup.sync();
    browser.open(&format!(
        "http://{}/database?name={}&span=all",
        shown.client.address(),
        encoded(&setup.text("app.db"))
    ));
    let lines = setup.run(&["log", "--json", &setup.replica]).exits(0).json_lines();
    let summary = lines.last().unwrap();
    let said = format!("{} gap", summary["gaps"]);
    wait_until("the gap", || browser.text(".summary").is_some_and(|text| text.contains(&said)));
    assert!(browser.run("return document.querySelectorAll('.gap').length").as_u64() >= Some(1));
    let restarts = browser.run("return document.querySelectorAll('svg .restart').length").as_u64();
    let processes: BTreeSet<&str> =
        lines.iter().filter_map(|line| line["claim"]["session"].as_str()).collect();
    // The first has begun it.
    assert_eq!(restarts, Some(processes.len() as u64 - 1), "{processes:?}");
    assert_eq!(shown.sidecar.stop(), 0);
}

/// With pictures of both widths in both themes, which lie in the build's directory afterwards.
#[test]
fn everybody_can_use_the_page() {
    let test = "everybody_can_use_the_page";
    if !browser::is_there(test) {
        return;
    }
    let setup = Setup::new();
    let app = setup.app();
    let shown = Shown::follow(&setup);
    for rows in 1..30 {
        app.insert(rows % 4 + 1, 100);
    }
    setup.sync();
    setup.run(&["mark", "before the migration", &setup.text("app.db")]).exits(0);
    let browser = Browser::start(1200);
    let root = format!("http://{}", shown.client.address());
    let database = format!("{root}/database?name={}", encoded(&setup.text("app.db")));
    let pictures = browser::pictures();
    // What lies below the directory is a fleet of one.
    let (_fleet, fleet) = show(&mut setup.command(&["page", &setup.text(".")]));
    let fleet = format!("http://{}/", fleet.address());
    for (name, address) in
        [("fleet", fleet), ("overview", format!("{root}/")), ("database", database)]
    {
        for (width, height) in [(1200, 1100), (390, 1400)] {
            for scheme in ["light", "dark"] {
                browser.resize(width, height);
                browser.prefer(scheme);
                browser.open(&address);
                wait_until("the page", || {
                    name != "database"
                        || browser.text(".mark").is_some() && picked(&browser).is_some()
                });
                let overflow =
                    browser.run("return document.documentElement.scrollWidth - innerWidth");
                assert!(
                    overflow.as_i64() <= Some(0),
                    "{name} at {width}: {overflow} pixels too wide"
                );
                browser.picture(&pictures.join(format!("{name}-{width}-{scheme}.png")));
                is_accessible(&browser, test, &format!("{name} at {width}, {scheme}"));
            }
        }
    }
    // By keys alone: from the top of the page to the commit before.
    browser.resize(1200, 1100);
    browser.run("document.body.focus()");
    let mut reached = Vec::new();
    for _ in 0..60 {
        browser.press("\u{E004}");
        let id =
            browser.run("return document.activeElement.id || document.activeElement.textContent");
        reached.push(id.as_str().unwrap_or_default().to_owned());
    }
    for wanted in ["previous", "copy", "now"] {
        assert!(reached.iter().any(|id| id == wanted), "{wanted} is not among {reached:?}");
    }
    assert_eq!(shown.sidecar.stop(), 0);
}

/// What axe-core has to say: nothing. It is the file that `EBBTIDE_TEST_AXE` names.
fn is_accessible(browser: &Browser, test: &str, what: &str) {
    let Some(axe) = std::env::var_os("EBBTIDE_TEST_AXE") else {
        return eprintln!("NOT RUN: {test}: axe-core, because EBBTIDE_TEST_AXE names none");
    };
    let axe = fs::read_to_string(axe).unwrap();
    browser.run(&format!("{axe};window.axe = window.axe || axe;"));
    let found = browser.run_until_done(
        "const done = arguments[arguments.length - 1]; \
         axe.run(document).then((found) => done(found.violations.map((it) => [it.id, it.help, it.nodes.map((node) => \
         node.html.slice(0, 200))])), (error) => done([String(error)]));",
    );
    assert_eq!(found, Value::Array(Vec::new()), "{what}");
}
