//! The page of a fleet. Would catch a fleet that is shown as if it were nothing, a silent replica among a thousand others, a link
//! to another replica than it names, and a page that does not come to an end.

use std::fs;
use std::process::Command;

use ebbtide_testkit::process::{Output, Process};

use super::{NAMES, age, drill, tenants};
use crate::support::{PATIENCE, Setup, wait_until};
use crate::watching::Client;

/// `ebbtide page` until it is dropped.
struct Page {
    _process: Process,
    client: Client,
}

impl Page {
    fn open(setup: &Setup, arguments: &[&str]) -> Page {
        let mut command = setup.command(&[&["page"], arguments].concat());
        Page::start(command.env("XDG_CACHE_HOME", setup.path("cache")), setup)
    }

    fn start(command: &mut Command, setup: &Setup) -> Page {
        command.env("XDG_STATE_HOME", setup.path("memory"));
        let process = Process::start(command, Output::Stdout).unwrap();
        let client = Client::new(&process.line(PATIENCE).unwrap());
        Page { _process: process, client }
    }

    /// The timeline of a replica, from the link that the fleet has.
    fn timeline(&self, index: &str, name: &str) -> String {
        let name = format!("name={}\"", name.replace('/', "%2F"));
        let (before, _) = index.split_once(&name).unwrap_or_else(|| panic!("{name}: {index}"));
        let (_, link) = before.rsplit_once("href=\"").unwrap();
        let address = format!("{link}{}", name.trim_end_matches('"'));
        let mut page = String::new();
        wait_until("the timeline", || {
            page = self.client.get(&address).ok();
            page.contains("Any of ") || page.contains("cannot be read")
        });
        page
    }
}

/// The cells of the row of a replica, as text.
fn row(index: &str, name: &str) -> Vec<String> {
    let rows = index.split("<tr>").skip(1).filter_map(|row| row.split("</tr>").next());
    let cells = rows.map(|row| row.split("<td").map(text).collect::<Vec<String>>());
    let mut found = cells.filter(|cells| cells[0] == name);
    found.next().unwrap_or_else(|| panic!("no row of {name}: {index}"))
}

/// What stands below that row, as text.
fn complaints(index: &str, name: &str) -> String {
    let link = format!("name={}\"", name.replace('/', "%2F"));
    let (_, after) = index.split_once(&link).unwrap();
    let (row, _) = after.split_once("<tr>").unwrap_or((after, ""));
    row.split_once("<tr class=\"complaints\"").map_or_else(String::new, |(_, row)| text(row))
}

fn text(html: &str) -> String {
    let (_, html) = html.split_once('>').unwrap_or_default();
    let pieces = html.split('<').map(|piece| piece.split_once('>').map_or(piece, |(_, text)| text));
    pieces.collect::<String>().trim().to_owned()
}

#[test]
fn a_fleet_has_a_page_and_each_replica_its_timeline() {
    let setup = Setup::new();
    let root = setup.replica.clone();
    tenants(&setup, &root);
    // Written while nobody follows, and the log is gone: a gap.
    let app = setup.other_app("apps-shop.db");
    app.insert(3, 700);
    app.checkpoint("TRUNCATE");
    let shop = setup.path("backup/apps/shop");
    setup
        .run(&["replicate", "--once", &setup.text("apps-shop.db"), shop.to_str().unwrap()])
        .exits(0);
    drill(&setup, &["--budget", "1"], &root).exits(0);
    let silent = setup.path("backup/tenants/eu/c.db");
    for _ in 0..9 {
        setup.other_app("tenants-eu-c.db.db").insert(1, 50);
        let database = setup.text("tenants-eu-c.db.db");
        setup.run(&["replicate", "--once", &database, silent.to_str().unwrap()]).exits(0);
    }
    age(&silent, std::time::Duration::from_secs(3 * 3600));
    let page = Page::open(&setup, &["--history", &root]);
    let index = page.client.get("/").ok();
    assert!(index.contains("<h1>1 of 4 replicas needs attention</h1>"), "{index}");
    let places = NAMES.map(|name| index.find(&format!("name={}\"", name.replace('/', "%2F"))));
    assert!(places.iter().all(Option::is_some), "{index}");
    assert!(places[3] < places[0] && places[0] < places[1] && places[1] < places[2], "{places:?}");
    let [shop, quiet] = [NAMES[0], NAMES[1]].map(|name| row(&index, name));
    let [silent, none] = [NAMES[3], NAMES[0]].map(|name| complaints(&index, name));
    assert!(
        silent.starts_with("! silent for 3 h: until now nothing took longer than "),
        "{silent}"
    );
    assert_eq!(none, "", "of one that needs none");
    assert!(shop[2].contains("apps-shop.db") && shop[2].contains("on "), "{shop:?}");
    assert!(shop[1].contains("txid ") && shop[3].len() == 10 && shop[5].ends_with('B'), "{shop:?}");
    assert!(shop[6].parse::<u64>().unwrap() >= 1, "a gap: {shop:?}");
    assert_eq!((&*quiet[6], &*quiet[7], &*quiet[8]), ("0", "0", "no"));
    let proved = NAMES.iter().filter(|name| row(&index, name)[4] != "never here").count();
    assert_eq!(proved, 1, "the first was drilled: {index}");
    for name in NAMES {
        let timeline = page.timeline(&index, name);
        assert!(timeline.contains("ebbtide restore -o restored.db "), "{timeline}");
        assert!(timeline.contains(&format!("{root}/{name}")), "{timeline}");
        assert!(timeline.contains("All replicas"), "{timeline}");
    }
    for answer in [page.client.get("/"), page.client.get("/?from=x"), page.client.get("/?from=77")]
    {
        assert!(
            answer.head.contains("content-security-policy: default-src 'none'"),
            "{}",
            answer.head
        );
        let body = answer.ok();
        assert!(body.matches("<script").count() == 1 && !body.contains("style="), "{body}");
        assert_eq!(body.matches("scope=\"row\"").count(), 4, "{body}");
    }
    assert_eq!(page.client.get("/database?name=tenants%2Feu").status, 404);
    assert_eq!(page.client.get("/database?name=..%2F..%2Fetc").status, 404);
}

#[test]
fn an_encrypted_fleet_is_shown_by_names_and_by_more_with_an_identity() {
    let mut setup = Setup::new().sealed();
    let root = setup.replica.clone();
    setup.replica = format!("{root}/eu/app");
    setup.app().insert(3, 700);
    fs::create_dir_all(setup.path("backup/eu")).unwrap();
    setup.once().exits(0);
    let mut blind = setup.command(&["page", &root]);
    blind.env("XDG_CACHE_HOME", setup.path("cache"));
    let page = Page::start(blind.env_remove("EBBTIDE_IDENTITY_FILE"), &setup);
    let index = page.client.get("/").ok();
    let cells = row(&index, "eu/app");
    assert!(cells[1].contains("txid ≥ ") && cells[8] == "yes", "{cells:?}");
    assert!(page.timeline(&index, "eu/app").contains("--identity FILE"));
    drop(page);
    let page = Page::open(&setup, &[&root]);
    let index = page.client.get("/").ok();
    let cells = row(&index, "eu/app");
    assert!(cells[2].contains("app.db") && !cells[1].contains('≥'), "{cells:?}");
    assert!(page.timeline(&index, "eu/app").contains("<h3 id=\"picked\">"));
}

#[test]
fn a_thousand_replicas_are_one_page_and_more_have_another() {
    let setup = Setup::new();
    setup.app().insert(3, 700);
    let first = format!("{}/0", setup.replica);
    fs::create_dir(&setup.replica).unwrap();
    setup.run(&["replicate", "--once", setup.database.to_str().unwrap(), &first]).exits(0);
    for number in 1..1003 {
        let copy = setup.path(&format!("backup/{number}"));
        let copied = Command::new("cp").arg("-r").arg(&first).arg(copy).status().unwrap();
        assert!(copied.success());
    }
    let page = Page::open(&setup, &[&setup.replica]);
    let index = page.client.get("/").ok();
    assert!(index.contains("003 replicas, none silent for longer than usual"), "{index}");
    assert_eq!(index.matches("scope=\"row\"").count(), 1000);
    assert!(index.len() < 1 << 20, "{} bytes", index.len());
    assert!(index.contains("href=\"/?from=1000\"") && !index.contains("← before"));
    let rest = page.client.get("/?from=1000").ok();
    assert_eq!(rest.matches("scope=\"row\"").count(), 3);
    assert!(rest.contains("href=\"/?from=0\"") && !rest.contains("after →"));
    // More timelines than are kept open.
    for number in 0..40 {
        let timeline = page.timeline(&index, &number.to_string());
        assert!(timeline.contains("<h3 id=\"picked\">"), "{number}: {timeline}");
    }
}
