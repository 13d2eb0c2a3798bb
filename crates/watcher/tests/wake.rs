//! That a write to a log wakes. Would catch events that are filed under another name than the one that is watched.

use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use ebbtide_watcher::Wake;

const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_write_wakes_whatever_form_the_path_has() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db-wal");
    std::fs::write(&file, b"").unwrap();
    // Only this test changes the folder of this process.
    std::env::set_current_dir(folder.path()).unwrap();
    let wake = Wake::new().unwrap();
    for path in [file.as_path(), Path::new("app.db-wal"), Path::new("./app.db-wal")] {
        let (sender, receiver) = mpsc::channel();
        wake.watch(path, Arc::new(move || sender.send(()).unwrap_or_default())).unwrap();
        let mut log = std::fs::File::options().append(true).open(&file).unwrap();
        log.write_all(b"frame").unwrap();
        receiver.recv_timeout(LONG).unwrap();
        wake.pause(path).unwrap();
        while receiver.recv_timeout(Duration::from_millis(50)).is_ok() {}
        log.write_all(b"frame").unwrap();
        assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err(), "it was paused");
        wake.resume(path).unwrap();
        log.write_all(b"frame").unwrap();
        receiver.recv_timeout(LONG).unwrap();
        wake.forget(path);
    }
}
