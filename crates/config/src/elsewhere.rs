//! Keys that other tools have, and what says the same here: whoever moves is told, and does not have to search.

/// Each with what to write instead.
const ELSEWHERE: &[(&str, &str)] = &[
    ("access-key-id", CREDENTIALS),
    ("addr", "listen shows metrics and health"),
    ("age", "encrypt-to names recipients; identities are given to the commands that read"),
    ("bucket", ADDRESS),
    ("busy-timeout", "nothing here waits for the application's locks for that long: leave it out"),
    ("checkpoint-interval", "the log is checkpointed by its length: checkpoint-frames"),
    ("dbs", "each database is a [[database]]"),
    ("dir", "write the directory as path"),
    ("endpoint", ADDRESS),
    ("exec", "replicate --exec runs the application"),
    ("force-path-style", ADDRESS),
    ("l0-retention", "keep says which history is kept"),
    ("levels", "what is merged and when follows from what is there: leave it out"),
    ("logging", "--log and --log-format of the command, or the variable EBBTIDE_LOG"),
    ("max-checkpoint-page-count", "checkpoint-frames"),
    ("meta-path", "state"),
    ("min-checkpoint-page-count", "checkpoint-frames"),
    ("monitor-interval", "commits are noticed as they are made: leave it out"),
    ("pattern", "write the pattern as path, such as \"/data/**/*.db\""),
    ("recursive", "write ** into the path, such as \"/data/**/*.db\""),
    ("region", ADDRESS),
    ("replicas", "replica is one address, and mirror has further ones"),
    ("restore-if-db-not-exists", "restore-if-missing"),
    ("retention", "keep says which history is kept"),
    ("retention-check-interval", "a running process prunes once a day: leave it out"),
    ("secret-access-key", CREDENTIALS),
    ("shutdown-sync-timeout", "shutdown-timeout"),
    ("snapshot", "snapshot-interval, and keep for how long history stays"),
    ("socket", "the directory of the socket is the variable EBBTIDE_RUNTIME_DIR"),
    ("sync-interval", "commits are shipped at once, within puts-per-second"),
    ("truncate-page-n", "checkpoint-frames"),
    ("type", ADDRESS),
    ("url", ADDRESS),
    ("validation-interval", "drill restores and checks by itself"),
    ("watch", "what a pattern names is always watched: leave it out"),
];

const ADDRESS: &str = "all of it is in replica, such as \"s3://BUCKET/PATH?endpoint=URL&region=R\"";
const CREDENTIALS: &str =
    "credentials come from the environment or the AWS files, and are in no configuration";

/// What is here in the place of another tool's key.
pub(crate) fn here(key: &str) -> Option<&'static str> {
    ELSEWHERE.iter().find(|(other, _)| *other == key).map(|(_, here)| *here)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::keys;

    #[test]
    fn no_key_of_ours_is_called_anothers() {
        let keys = keys();
        assert!(ELSEWHERE.is_sorted_by_key(|(other, _)| other));
        assert!(ELSEWHERE.iter().all(|(other, _)| keys.iter().all(|key| key.name != *other)));
    }
}
