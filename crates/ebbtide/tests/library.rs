//! The public library, as a program uses it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../examples/encrypted.rs"]
#[expect(dead_code, reason = "its main is not called here")]
mod encrypted;
#[path = "../../../examples/undo.rs"]
#[expect(dead_code, reason = "its main is not called here")]
mod undo;

use ebbtide::rows::{
    Change, Counts, NumberChange, Options, RowsError, SchemaChange, Sink, TablePair, Want,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ebbtide::{EntryKind, Error, Identity, Replica, Txid, When};
use ebbtide_store::MemoryStore;
use ebbtide_testkit::builder::{Builder, Form};
use ebbtide_testkit::chronicle::{Chronicle, bodies_of_scripts};
use ebbtide_testkit::wrapped::Identities;

const SCRIPTS: &[&str] = &[
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT);
     INSERT INTO orders VALUES (1, 'paid'), (2, 'open'), (3, 'paid')",
    "UPDATE orders SET status = 'gone' WHERE id = 2",
    "DELETE FROM orders WHERE id < 3",
];

/// A replica of what the scripts make: the first state is txid 2, and the others are txid 4 and 5.
async fn replica() -> (Replica, Vec<Vec<u8>>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let bodies = bodies_of_scripts(&path, "", SCRIPTS.iter().copied()).unwrap();
    let mut chronicle = Chronicle::begin(&bodies[0]).await;
    for body in &bodies[1..] {
        chronicle.commit(body);
        chronicle.builder.cut().await;
    }
    (Replica::of(chronicle.store().await).await.unwrap(), bodies)
}

fn txid(number: u64) -> Txid {
    Txid::new(number).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_is_asked_and_its_pages_are_those_of_the_database() {
    let (replica, bodies) = replica().await;
    for (number, body, rows) in [(2, &bodies[0], 3_i64), (4, &bodies[1], 3), (5, &bodies[2], 1)] {
        for moment in [
            replica.at(When::Txid(txid(number))).await.unwrap(),
            replica.at_proved(When::Txid(txid(number))).await.unwrap(),
        ] {
            let count = moment.query(|past| {
                past.query_row("SELECT count(*) FROM orders", [], |row| row.get::<_, i64>(0))
            });
            assert_eq!(count.await.unwrap(), rows);
            let mut pages = Vec::new();
            for page in 1..=moment.pages() {
                pages.extend(moment.page(page).await.unwrap());
            }
            assert_eq!(&pages, body);
            assert_eq!((moment.txid(), moment.page_bytes()), (txid(number), 4096));
        }
    }
    let before = replica.at(When::Before(txid(5))).await.unwrap();
    assert_eq!(before.txid(), txid(4));
    assert!(!before.is_proved());
    let no_page = before.page(1 + before.pages()).await.unwrap_err();
    assert!(matches!(no_page, Error::Moment(_)), "{no_page}");
    let none = replica.at(When::Before(Txid::FIRST)).await.unwrap_err();
    assert!(matches!(none, Error::BeforeAll), "{none}");
    let no_table =
        before.query(|past| past.query_row("SELECT 1 FROM no_orders", [], |_| Ok(()))).await;
    let no_table = no_table.unwrap_err().to_string();
    assert!(no_table.contains("no such table"), "{no_table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_points_of_a_history_are_listed_and_restored() {
    let (replica, bodies) = replica().await;
    let mut points = Vec::new();
    let each = |entry: ebbtide::HistoryEntry| {
        points.push((entry.point.txid.get(), entry.kind));
        true
    };
    replica.entries(each).await.unwrap();
    let expected = [
        (1, EntryKind::Claim),
        (2, EntryKind::Resync),
        (3, EntryKind::Claim),
        (4, EntryKind::Commit),
        (5, EntryKind::Commit),
    ];
    assert_eq!(points, expected);
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("restored.db");
    let restored = replica.restore(When::Txid(txid(4)), &output).await.unwrap();
    assert_eq!(restored.point.txid, txid(4));
    assert_eq!(std::fs::read(&output).unwrap(), bodies[1]);
    assert!(replica.restore(When::Newest, &output).await.is_err(), "there is a file already");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_transactions_that_changed_an_answer_are_found() {
    let (replica, _) = replica().await;
    let (sender, found) = std::sync::mpsc::channel();
    let sql = "SELECT status FROM orders WHERE id = 2";
    let each = move |found: &ebbtide::Found| {
        let told = (found.entry.txid.get(), found.before.to_string(), found.after.to_string());
        sender.send(told).is_ok()
    };
    let searched = replica.changes(sql, None, When::Newest, each).await.unwrap();
    let told = |number, before: &str, after: &str| (number, before.to_owned(), after.to_owned());
    let expected = [told(5, "'gone'", "(no rows)"), told(4, "'open'", "'gone'")];
    assert_eq!(found.iter().collect::<Vec<_>>(), expected);
    assert_eq!(searched.first.to_string(), "'open'");
}

/// Counts what it hears.
#[derive(Default)]
struct Heard(Vec<(String, Counts)>);

impl Sink for Heard {
    fn begin(
        &mut self,
        _: &ebbtide::rows::Schema,
        _: &ebbtide::rows::Schema,
        _: &[SchemaChange],
    ) -> Result<(), RowsError> {
        Ok(())
    }

    fn number(&mut self, _: NumberChange) -> Result<(), RowsError> {
        Ok(())
    }

    fn table(&mut self, _: &TablePair<'_>) -> Result<Want, RowsError> {
        Ok(Want::Changes)
    }

    fn row(&mut self, _: &TablePair<'_>, _: Change<'_>) -> Result<(), RowsError> {
        Ok(())
    }

    fn table_end(&mut self, pair: &TablePair<'_>, counts: Counts) -> Result<(), RowsError> {
        self.0.push((pair.name.to_owned(), counts));
        Ok(())
    }

    fn not_compared(&mut self, _: &str, _: &str) -> Result<(), RowsError> {
        Ok(())
    }

    fn end(&mut self) -> Result<(), RowsError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_moments_are_compared() {
    let (replica, _) = replica().await;
    let (old, new) = (replica.at(When::Txid(txid(2))).await, replica.at(When::Newest).await);
    let (old, new) = (old.unwrap(), new.unwrap());
    let (summary, heard) =
        ebbtide::diff(&old, &new, Options::default(), Heard::default()).await.unwrap();
    assert!(!summary.is_equal());
    let counts = Counts { inserted: 0, deleted: 2, updated: 0 };
    assert_eq!(heard.0, [("orders".to_owned(), counts)]);
}

/// The example `undo`: a transaction is taken back in the newest database, and only where nothing was changed since.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_taken_back_by_the_example() {
    let (replica, bodies) = replica().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    std::fs::write(&path, bodies.last().unwrap()).unwrap();
    let rows = || -> Vec<(i64, String)> {
        let database = ebbtide::rusqlite::Connection::open(&path).unwrap();
        let mut statement = database.prepare("SELECT * FROM orders ORDER BY id").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    // The row was deleted later.
    let applied = undo::take_back(&replica, txid(4), &path).await.unwrap();
    assert!(!applied.is_done);
    assert_eq!(applied.conflicts[0].found.as_deref(), Some("\"id\" = 2"));
    assert_eq!(rows(), [(3, "paid".to_owned())]);
    for (number, expected) in
        [(5, [(1, "paid"), (2, "gone"), (3, "paid")]), (4, [(1, "paid"), (2, "open"), (3, "paid")])]
    {
        let applied = undo::take_back(&replica, txid(number), &path).await.unwrap();
        assert!(applied.is_done && applied.conflicts_total == 0, "{applied:?}");
        assert_eq!(rows(), expected.map(|(id, status)| (id, status.to_owned())));
    }
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../replica/tests/golden").join(name)
}

/// As the example does it, with the replica that every version must read.
#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_replica_is_restored_with_the_identity_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let (sealed, plain) = (directory.path().join("sealed.db"), directory.path().join("plain.db"));
    let [replica, original] = ["v1-sealed", "v1"].map(|name| golden(name).display().to_string());
    let restored = encrypted::restore(&replica, &golden("owner.txt"), &sealed).await.unwrap();
    assert_eq!(restored, txid(5));
    let original = Replica::open(&original).await.unwrap();
    original.restore(When::Newest, &plain).await.unwrap();
    assert_eq!(std::fs::read(sealed).unwrap(), std::fs::read(plain).unwrap());
    let unread = Identity::read(golden("v1/ebbtide.json")).unwrap_err();
    assert!(matches!(unread, Error::Identity(_)), "{unread}");
}

/// With something else that opens keys, and without what does.
#[tokio::test(flavor = "multi_thread")]
async fn what_opens_keys_may_be_a_programs_own() {
    let mut builder = Builder::started_as(Form::Encrypted, 512, 3).await;
    builder.commit(&[(1, 7)], 3);
    builder.cut().await;
    let store = Arc::new(MemoryStore::default());
    for (name, body) in builder.store.objects() {
        ebbtide::Store::put(&*store, &name.parse().unwrap(), body).await.unwrap();
    }
    let open = |who| Replica::of_as(store.clone(), Identity::of(Identities(vec![who])));
    let replica = open("owner").await.unwrap();
    let moment = replica.at_proved(When::Newest).await.unwrap();
    let image = builder.last().image();
    for (page, expected) in (1..).zip(image.chunks(512)) {
        assert_eq!(moment.page(page).await.unwrap(), expected);
    }
    let stranger = async { open("somebody").await?.at(When::Newest).await }.await.unwrap_err();
    assert!(stranger.to_string().contains("for other recipients"), "{stranger}");
    let nobody = async { Replica::of(store.clone()).await?.at(When::Newest).await };
    let nobody = nobody.await.unwrap_err();
    assert!(nobody.to_string().contains("no identity was given"), "{nobody}");
}
