//! That a write to a log wakes. Would catch events that are filed under another name than the one that is watched.

use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use ebbtide_watcher::{Cause, Wake};

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
        let call = move |cause| sender.send(cause).map_or(0, |()| 1);
        wake.watch(path, Arc::new(call)).unwrap();
        let mut log = std::fs::File::options().append(true).open(&file).unwrap();
        log.write_all(b"frame").unwrap();
        assert_eq!(receiver.recv_timeout(LONG), Ok(Cause::Written));
        wake.go_round(path).unwrap();
        wake.go_round(path).unwrap();
        while receiver.recv_timeout(LONG).unwrap() == Cause::Written {}
        log.write_all(b"frame").unwrap();
        for _ in 0..20 {
            assert_eq!(receiver.recv_timeout(LONG), Ok(Cause::Round));
        }
        wake.resume(path).unwrap();
        while receiver.recv_timeout(Duration::from_millis(50)).is_ok() {}
        log.write_all(b"frame").unwrap();
        assert_eq!(receiver.recv_timeout(LONG), Ok(Cause::Written));
        wake.forget(path);
        assert_eq!(receiver.recv_timeout(LONG), Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
