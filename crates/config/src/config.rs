//! What a configuration file says, checked.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ebbtide_directory::{Refused, open_regular};
use ebbtide_store::{Location, real_path};

use crate::file::{File, span};
use crate::listen::Listen;
use crate::notices::{Heartbeat, Webhook, heartbeat, webhook};
use crate::variables::{Lookup, expand};
use crate::{Database, defaults};

/// A longer file is no configuration: this is room for a hundred thousand databases.
const BYTES_MAX: u64 = 32 << 20;

/// What the file says, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The databases to follow.
    pub databases: Vec<Database>,
    /// How long the last sync may take.
    pub shutdown_timeout: Duration,
    /// Where the process shows itself over HTTP.
    pub listen: Option<Listen>,
    /// What is asked for as long as everything is durable.
    pub heartbeat: Option<Heartbeat>,
    /// Where changes of what needs attention are sent.
    pub webhook: Option<Webhook>,
}

/// A file that cannot be read, or says what it may not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct Error {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, where, and what was probably meant.
    pub why: String,
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// With what is wrong, where, and what was probably meant.
    pub fn read(path: &Path) -> Result<Config, Error> {
        let fail = |why: String| Error { path: path.to_owned(), why };
        let text = read(path).map_err(|error| match Refused::of(&error) {
            Some(refused) => fail(refused.why.clone()),
            None => fail(error.to_string()),
        })?;
        Config::parse(&text).map_err(fail)
    }

    /// Checks the text of a configuration file, whose variables are those of this process.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(text: &str) -> Result<Config, String> {
        Config::parse_with(text, &|name| std::env::var(name).ok())
    }

    fn parse_with(text: &str, variable: Lookup<'_>) -> Result<Config, String> {
        let mut file = File::parse(text)?;
        let databases = file.databases(variable)?;
        if databases.is_empty() {
            return Err("it names no database: add a [[database]] with path and replica".to_owned());
        }
        check_places(&databases)?;
        check_states(&databases)?;
        let text = |key: &str, text: Option<String>| {
            let expanded = text.map(|text| expand(&text, variable)).transpose();
            expanded.map_err(|why| format!("{key} = {why}"))
        };
        let timeout = text("shutdown-timeout", file.shutdown_timeout)?;
        let timeout = timeout.map(|text| span("shutdown-timeout", &text)).transpose()?;
        let address = text("listen", file.listen)?;
        let token_file = text("listen-token-file", file.listen_token_file)?;
        let beat = text("heartbeat-url", file.heartbeat_url)?;
        let interval = text("heartbeat-interval", file.heartbeat_interval)?;
        let hook = text("webhook-url", file.webhook_url)?;
        let secret_file = text("webhook-secret-file", file.webhook_secret_file)?;
        Ok(Config {
            databases,
            shutdown_timeout: timeout.unwrap_or(defaults::SHUTDOWN_TIMEOUT),
            listen: listen(address.as_deref(), token_file)?,
            heartbeat: heartbeat(beat, interval.as_deref())?,
            webhook: webhook(hook, secret_file)?,
        })
    }
}

fn listen(address: Option<&str>, token_file: Option<String>) -> Result<Option<Listen>, String> {
    match (address, token_file) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err("listen-token-file says who may ask at `listen`".to_owned()),
        (Some(address), token) => {
            let listen = Listen::new(address, token.map(PathBuf::from));
            listen.map(Some).map_err(|why| format!("listen = {why}"))
        }
    }
}

/// Each database has a file of its own, and each replica and mirror a place of its own, however they are written.
fn check_places(databases: &[Database]) -> Result<(), String> {
    let (mut files, mut uses) = (BTreeMap::new(), BTreeMap::new());
    for database in databases {
        let path = database.path.display();
        if let Some(other) = files.insert(real_path(&database.path), &database.path) {
            return Err(match *other == database.path {
                true => format!("{path} is there twice"),
                false => format!("{} and {path} are the same database", other.display()),
            });
        }
        let mirrors = database.mirrors.iter().map(|mirror| (Kind::Mirror, mirror));
        for (kind, location) in std::iter::once((Kind::Replica, &database.location)).chain(mirrors)
        {
            let use_ = Use { database, kind, location };
            if let Some(other) = uses.insert(location.place(), use_) {
                return Err(shared(&other, &use_));
            }
        }
    }
    Ok(())
}

/// What a database uses a place for.
#[derive(Debug, Clone, Copy)]
struct Use<'a> {
    database: &'a Database,
    kind: Kind,
    location: &'a Location,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Replica,
    Mirror,
}

/// That two uses are of one place.
fn shared(one: &Use<'_>, two: &Use<'_>) -> String {
    let place = match one.location == two.location {
        true => one.location.to_string(),
        false => format!("{} and {} are one place", one.location, two.location),
    };
    let (first, second) = (one.database.path.display(), two.database.path.display());
    if std::ptr::eq(one.database, two.database) {
        return format!(
            "{first} has the same place twice as its replica or mirror ({place}); each needs one of its own"
        );
    }
    let (what, way) = match (one.kind, two.kind) {
        (Kind::Replica, Kind::Replica) => ("replica", ""),
        (Kind::Mirror, Kind::Mirror) => {
            ("mirror", ": {name} in its address is the name of the database's file")
        }
        _ => ("place as replica and mirror", ""),
    };
    format!("{first} and {second} have the same {what} ({place}); each needs one of its own{way}")
}

/// Each database has a local state of its own.
fn check_states(databases: &[Database]) -> Result<(), String> {
    let mut states = BTreeMap::new();
    for database in databases {
        let state = real_path(&database.state_directory());
        if let Some(other) = states.insert(state.clone(), &database.path) {
            return Err(format!(
                "{} and {} have the same local state, {}; each needs one of its own (`state`)",
                other.display(),
                database.path.display(),
                state.display()
            ));
        }
    }
    Ok(())
}

/// What a file says that is no longer than a configuration can be.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open_regular(path)?.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        let why = format!("it is longer than {BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Config::parse(text).unwrap_err()
    }

    #[test]
    fn a_database_needs_a_path_and_a_replica_and_no_more() {
        let text = "[[database]]\npath = \"/data/app.db\"\nreplica = \"/backup/app\"\n";
        let config = Config::parse(text).unwrap();
        let [database] = config.databases.as_slice() else { panic!("one database") };
        assert_eq!(database.path, Path::new("/data/app.db"));
        assert_eq!(database.puts, defaults::PUTS);
        assert_eq!(config.shutdown_timeout, defaults::SHUTDOWN_TIMEOUT);
    }

    #[test]
    fn a_misspelt_key_is_an_error_that_suggests_the_right_one() {
        let text = "[[database]]\npath = \"a\"\nreplcia = \"b\"\n";
        assert!(error(text).contains("did you mean `replica`?"), "{}", error(text));
        let text = "[[database]]\npath = \"a\"\nreplica = \"b\"\nsnapshot_interval = \"1h\"\n";
        assert!(error(text).contains("did you mean `snapshot-interval`?"), "{}", error(text));
        assert!(error("databse = 1").contains("did you mean `database`?"));
        let text = "[defaults]\ndril = \"1d\"\n";
        assert!(error(text).contains("did you mean `drill`?"), "{}", error(text));
    }

    #[test]
    fn values_out_of_range_are_errors_that_name_the_key() {
        let with =
            |line: &str| error(&format!("[[database]]\npath=\"a\"\nreplica=\"b\"\n{line}\n"));
        assert!(with("puts-per-second = 0").contains("puts-per-second"));
        assert!(with("snapshot-interval = \"0s\"").contains("at least a minute"));
        assert!(with("snapshot-interval = \"soon\"").contains("\"24h\""));
        assert!(with("log-max = \"1 MiB\"").contains("at least 16 MiB"));
        assert!(with("checkpoint-frames = 1").contains("between 10 and"));
        assert!(with("spool-max = \"lots\"").contains("no size"));
        assert!(error("").contains("names no database"));
    }

    #[test]
    fn o26_every_string_may_have_variables_in_it() {
        let text = "shutdown-timeout = \"${N}s\"\n[[database]]\npath = \"/${N}/app.db\"\n\
                    replica = \"s3://b-${N}/${N}\"\nstate = \"/${N}/state\"\n\
                    snapshot-interval = \"${N}m\"\nlog-max = \"${N}GB\"\nspool-max = \"${N} MiB\"\n";
        let config = Config::parse_with(text, &|name| (name == "N").then(|| "17".to_owned()));
        let config = config.unwrap();
        let [database] = config.databases.as_slice() else { panic!("one database") };
        assert_eq!(config.shutdown_timeout, Duration::from_secs(17));
        assert_eq!(database.path, Path::new("/17/app.db"));
        assert_eq!(database.location.to_string(), "s3://b-17/17");
        assert_eq!(database.state.as_deref(), Some(Path::new("/17/state")));
        assert_eq!(database.snapshot_interval, Some(Duration::from_secs(17 * 60)));
        assert_eq!(database.log_bytes_max, 17_000_000_000);
        assert_eq!(database.spool_bytes_max, 17 << 20);
        let error = Config::parse_with(text, &|_| None).unwrap_err();
        assert!(error.contains("/${N}/app.db: the variable N is not set"), "{error}");
    }

    #[test]
    fn o18_two_databases_never_share_a_local_state() {
        let with = |one: &str, other: &str| {
            format!(
                "[[database]]\npath=\"a\"\nreplica=\"r\"\n{one}\n[[database]]\npath=\"b\"\nreplica=\"s\"\n{other}\n"
            )
        };
        let said = error(&with("state = \"/var/x\"", "state = \"/var/./x/\""));
        assert!(said.contains("a and b have the same local state, /var/x"), "{said}");
        let said = error(&with("", "state = \".a-ebbtide\""));
        assert!(said.contains("the same local state"), "{said}");
        Config::parse(&with("state = \"/var/x\"", "state = \"/var/y\"")).unwrap();
    }

    #[test]
    fn a_mirror_has_a_place_of_its_own() {
        let text = |defaults: &str, one: &str, two: &str| {
            format!(
                "[defaults]\n{defaults}\n[[database]]\npath=\"a\"\nreplica=\"r\"\n{one}\n\
                 [[database]]\npath=\"b\"\nreplica=\"s\"\n{two}\n"
            )
        };
        let mirrors = "mirror = [\"m\", \"file:///mnt/n\"]";
        let config = Config::parse(&text("", mirrors, "")).unwrap();
        let count = |at: usize| config.databases[at].mirrors.len();
        assert_eq!((count(0), count(1)), (2, 0));
        for (text, said) in [
            (text("", "mirror = [\"./r\"]", ""), "a has the same place twice"),
            (text("", "mirror = [\"m\", \"m\"]", ""), "a has the same place twice"),
            (text("", "mirror = [\"s/\"]", ""), "the same place as replica and mirror"),
            (text("", mirrors, mirrors), "a and b have the same mirror"),
            (text(mirrors, "", ""), "a and b have the same mirror"),
            (text("mirror = [\"/m/{nam}\"]", "", ""), "there is no {nam}: {name} is"),
            (text("mirror = [\"/m/{name}\", \"/m/a\"]", "", ""), "a has the same place twice"),
            (text("", "mirror = [\"gs://x/y\"]", ""), "mirror: there are no addresses"),
        ] {
            assert!(error(&text).contains(said), "{}", error(&text));
        }
        let own = text(mirrors, "", "mirror = []");
        assert_eq!(Config::parse(&own).unwrap().databases[1].mirrors, []);
    }

    #[test]
    fn the_addresses_of_defaults_have_the_names_of_databases_in_them() {
        let text = |two: &str| {
            format!(
                "[defaults]\nreplica = \"s3://bucket/${{ENV}}/{{name}}\"\nmirror = [\"/mnt/{{stem}}\"]\n\
                 [[database]]\npath = \"/data/one.db\"\n[[database]]\npath = \"{two}\"\n"
            )
        };
        let parse = |text: &str| Config::parse_with(text, &|_| Some("test".to_owned()));
        let databases = parse(&text("/data/two.db")).unwrap().databases;
        let places =
            |at: usize| (databases[at].location.to_string(), databases[at].mirrors.clone());
        let expected = |name: &str, stem: &str| {
            (format!("s3://bucket/test/{name}"), vec![Location::Directory(stem.into())])
        };
        assert_eq!(places(0), expected("one.db", "/mnt/one"));
        assert_eq!(places(1), expected("two.db", "/mnt/two"));
        let said = parse(&text("/more/one.db")).unwrap_err();
        assert!(said.contains("/data/one.db and /more/one.db have the same replica"), "{said}");
        let said = parse(&text("/more/one.sqlite")).unwrap_err();
        assert!(said.contains("/data/one.db and /more/one.sqlite have the same mirror"), "{said}");
    }

    #[test]
    fn what_a_database_lacks_or_shares_is_said_by_its_line() {
        let text = "[[database]]\npath = \"a\"\nreplica = \"b\"\n\n[[database]]\nreplica = \"c\"\n";
        assert!(error(text).contains("the [[database]] of line 5 has no path"), "{}", error(text));
        let text = "[[database]]\npath = \"a\"\n";
        assert!(error(text).contains("the [[database]] of line 1 has no replica"));
        for key in ["path", "state"] {
            let text = format!("[defaults]\n{key} = \"x\"\n");
            assert!(error(&text).contains(&format!("[defaults] {key}: each database")));
        }
    }

    #[test]
    fn two_databases_never_share_a_replica() {
        let one =
            "[[database]]\npath=\"a\"\nreplica=\"r\"\n[[database]]\npath=\"b\"\nreplica=\"r\"\n";
        assert!(error(one).contains("the same replica"), "{}", error(one));
        let twice =
            "[[database]]\npath=\"a\"\nreplica=\"r\"\n[[database]]\npath=\"a\"\nreplica=\"s\"\n";
        assert!(error(twice).contains("twice"));
    }
}
