//! What a configuration file says, checked.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ebbtide_directory::{Refused, open_regular};
use toml::Spanned;

use crate::apart::check_apart;
use crate::file::{File, Table};
use crate::lines::Lines;
use crate::listen::Listen;
use crate::notices::{Heartbeat, Webhook, heartbeat, webhook};
use crate::origin::Origins;
use crate::pattern::Pattern;
use crate::prices::Prices;
use crate::range::span;
use crate::secret::secret_key_in;
use crate::shown::{Shown, shown};
use crate::suggestion::with_suggestion;
use crate::value::size;
use crate::variables::{Lookup, expand};
use crate::{Database, defaults};

/// A longer file is no configuration: this is room for a hundred thousand databases.
const BYTES_MAX: u64 = 32 << 20;

/// What the file says, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The databases to follow that are named one by one.
    pub databases: Vec<Database>,
    /// Those that are named together, in the order of the file: the first one that names a database counts.
    pub patterns: Vec<Pattern>,
    /// What stores cost.
    pub prices: Prices,
    /// How much is sent in a second at most, in bytes, by all databases together.
    pub bandwidth_bytes_max: Option<u64>,
    /// How long the last sync may take.
    pub shutdown_timeout: Duration,
    /// Where the process shows itself over HTTP.
    pub listen: Option<Listen>,
    /// What is asked for as long as everything is durable.
    pub heartbeat: Option<Heartbeat>,
    /// Where changes of what needs attention are sent.
    pub webhook: Option<Webhook>,
}

/// What holds for one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The database, or the pattern that its path must match.
    pub path: PathBuf,
    /// Each key.
    pub values: Vec<Shown>,
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
        Config::parse(&read(path)?).map_err(fail)
    }

    /// Checks the text of a configuration file, whose variables are those of this process.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(text: &str) -> Result<Config, String> {
        Config::parse_with(text, &environment)
    }

    /// What holds for each database of a configuration file, and where it is written.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn explain(path: &Path) -> Result<Vec<Explained>, Error> {
        let fail = |why: String| Error { path: path.to_owned(), why };
        let (config, origins) = Config::with_origins(&read(path)?, &environment).map_err(fail)?;
        let databases = config.databases.iter().zip(origins);
        let databases = databases.map(|(database, origins)| Explained {
            path: database.path.clone(),
            values: shown(database, &origins),
        });
        let mut explained: Vec<Explained> = databases.collect();
        for pattern in &config.patterns {
            let values = pattern.shown().map_err(fail)?;
            explained.push(Explained { path: PathBuf::from(pattern.text()), values });
        }
        Ok(explained)
    }

    /// What holds for the database at this path, if the configuration names it.
    ///
    /// # Errors
    /// When its name cannot be put into the address of its replica.
    pub fn database(&self, path: &Path) -> Result<Option<Database>, String> {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let wanted = absolute(path);
        let own = self.databases.iter().find(|own| absolute(&own.path) == wanted);
        let named = || self.patterns.iter().find(|pattern| pattern.names(&wanted));
        match own {
            Some(own) => Ok(Some(own.clone())),
            None => named().map(|pattern| pattern.database(&wanted)).transpose(),
        }
    }

    fn parse_with(text: &str, variable: Lookup<'_>) -> Result<Config, String> {
        Config::with_origins(text, variable).map(|(config, _)| config)
    }

    fn with_origins(text: &str, variable: Lookup<'_>) -> Result<(Config, Vec<Origins>), String> {
        // Before anything of the text is shown.
        if let Some(at) = secret_key_in(text) {
            let line = Lines::new(text).of(at);
            return Err(format!(
                "line {line} has a secret key, and no configuration may: `encrypt-to` takes what its file has after \
                 \"public key:\", and the rest stays away from this host. Whoever saw this one can read what is wrapped \
                 for it: make another with `ebbtide keygen`"
            ));
        }
        let parsed = toml::from_str(text).map_err(|error| with_suggestion(text, &error));
        let mut file: File = parsed?;
        file.check_defaults()?;
        let (mut databases, mut origins, mut patterns) = (Vec::new(), Vec::new(), Vec::new());
        let prices = file.prices.check()?;
        for table in file.tables(text, &prices, variable)? {
            match table {
                Table::One(database, its_origins) => {
                    databases.push(database);
                    origins.push(its_origins);
                }
                Table::Many(pattern) => patterns.push(pattern),
            }
        }
        if databases.is_empty() && patterns.is_empty() {
            return Err("it names no database: add a [[database]] with path and replica".to_owned());
        }
        check_apart(databases.iter())?;
        let text = |key: &str, written: Option<Spanned<String>>| {
            let expanded = written.map(|written| {
                let line = Lines::new(text).of(written.span().start);
                expand(written.get_ref(), variable)
                    .map_err(|why| format!("line {line}: {key} = {why}"))
            });
            expanded.transpose()
        };
        let bandwidth = text("bandwidth-max", file.bandwidth_max)?;
        let bandwidth = bandwidth.map(|text| size(&text)).transpose();
        let timeout = text("shutdown-timeout", file.shutdown_timeout)?;
        let timeout = timeout.map(|text| span("shutdown-timeout", &text)).transpose()?;
        let address = text("listen", file.listen)?;
        let token_file = text("listen-token-file", file.listen_token_file)?;
        let beat = text("heartbeat-url", file.heartbeat_url)?;
        let interval = text("heartbeat-interval", file.heartbeat_interval)?;
        let hook = text("webhook-url", file.webhook_url)?;
        let secret_file = text("webhook-secret-file", file.webhook_secret_file)?;
        let config = Config {
            databases,
            patterns,
            prices,
            bandwidth_bytes_max: bandwidth.map_err(|why| format!("bandwidth-max = {why}"))?,
            shutdown_timeout: timeout.unwrap_or(defaults::SHUTDOWN_TIMEOUT),
            listen: listen(address.as_deref(), token_file)?,
            heartbeat: heartbeat(beat, interval.as_deref())?,
            webhook: webhook(hook, secret_file)?,
        };
        Ok((config, origins))
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

/// A variable of this process.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn read(path: &Path) -> Result<String, Error> {
    read_bounded(path).map_err(|error| {
        let why = match Refused::of(&error) {
            Some(refused) => refused.why.clone(),
            None => error.to_string(),
        };
        Error { path: path.to_owned(), why }
    })
}

/// What a file says that is no longer than a configuration can be.
fn read_bounded(path: &Path) -> io::Result<String> {
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
    use ebbtide_store::Location;

    use super::*;
    use crate::Origin;

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
        assert!(
            error.contains("line 3: path = /${N}/app.db: the variable N is not set"),
            "{error}"
        );
        let error = Config::parse_with(
            "shutdown-timeout = \"${N}s\"\n[[database]]\npath = \"a\"\nreplica = \"b\"",
            &|_| None,
        );
        let error = error.unwrap_err();
        assert!(error.contains("line 1: shutdown-timeout = ${N}s: the variable N"), "{error}");
        let text =
            "[defaults]\nmirror = [\"/mnt/${N}\"]\n[[database]]\npath = \"a\"\nreplica = \"b\"";
        let error = Config::parse_with(text, &|_| None).unwrap_err();
        assert!(error.contains("line 2: mirror = /mnt/${N}: the variable N"), "{error}");
    }

    #[test]
    fn each_value_is_told_with_where_it_is_written() {
        let text = "[defaults]\nreplica = \"/backup/{name}\"\nlog-max = \"32 MiB\"\n\n\
                    [[database]]\npath = \"/data/a.db\"\nkeep = { last = 3 }\nlog-max = \"1GiB\"\n\
                    [[database]]\npath = \"/data/b.db\"\n";
        let (config, origins) = Config::with_origins(text, &|_| None).unwrap();
        let of = |at: usize, key: &str| {
            let all = shown(&config.databases[at], &origins[at]);
            let Shown { value, origin, .. } = all.into_iter().find(|it| it.key == key).unwrap();
            (value.unwrap_or_default(), origin)
        };
        assert_eq!(of(0, "replica"), ("/backup/a.db".to_owned(), Origin::Defaults(2)));
        assert_eq!(of(0, "log-max"), ("1 GiB".to_owned(), Origin::Database(8)));
        assert_eq!(of(0, "keep"), ("last=3".to_owned(), Origin::Database(7)));
        assert_eq!(of(1, "log-max"), ("32 MiB".to_owned(), Origin::Defaults(3)));
        assert_eq!(of(1, "keep"), (String::new(), Origin::BuiltIn));
        assert_eq!(of(1, "puts-per-second"), ("1".to_owned(), Origin::BuiltIn));
        assert_eq!(of(1, "state"), ("/data/.b.db-ebbtide".to_owned(), Origin::BuiltIn));
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
    fn a_pattern_names_databases_below_its_directory() {
        let parse = |path: &str, more: &str| {
            Config::parse(&format!(
                "[[database]]\npath = \"{path}\"\nreplica = \"s3://bucket/{{relative}}\"\n{more}\n"
            ))
        };
        let names = |pattern: &str, path: &str| {
            let config = parse(pattern, "").unwrap();
            let found = config.database(Path::new(path)).unwrap();
            found.map(|database| database.location.to_string())
        };
        let all = "/data/tenants/**/*.db";
        assert_eq!(names(all, "/data/tenants/a/b.db").as_deref(), Some("s3://bucket/a/b.db"));
        assert_eq!(names(all, "/data/tenants/c.db").as_deref(), Some("s3://bucket/c.db"));
        for other in
            ["/data/x.db", "/data/tenants/a/b", "/data/tenants/.a/b.db", "/data/tenants/.b.db"]
        {
            assert_eq!(names(all, other), None, "{other}");
        }
        assert_eq!(names("/data/*/app.db", "/data/a/b/app.db"), None, "a star is one name");
        assert_eq!(
            names("/data/*/app.db", "/data/a/app.db").as_deref(),
            Some("s3://bucket/a/app.db")
        );
        assert_eq!(
            names("/data/.*/app.db", "/data/.a/app.db").as_deref(),
            Some("s3://bucket/.a/app.db")
        );
        assert_eq!(
            names("/data/nowhere/", "/data/nowhere/x/y").as_deref(),
            Some("s3://bucket/x/y")
        );
        let said = parse("/data/[.db", "").unwrap_err();
        assert!(said.contains("[[database]] /data/[.db: "), "{said}");
        let said = parse("/data/*.db", "state = \"/var/state\"").unwrap_err();
        assert!(said.contains("state = /var/state: each of several databases"), "{said}");
        let said = parse("/data/*.db", "puts-per-second = 0.0").unwrap_err();
        assert!(said.contains("puts-per-second"), "{said}");
        let one =
            Config::parse("[[database]]\npath = \"/data/*.db\"\nreplica = \"/r\"\n").unwrap_err();
        assert!(one.contains("replica = /r: each of several databases"), "{one}");
        let config = parse("/data/*.db", "state = \"/var/{name}\"").unwrap();
        let database = config.database(Path::new("/data/a.db")).unwrap().unwrap();
        assert_eq!(database.state.as_deref(), Some(Path::new("/var/a.db")));
        let config = parse("/data/*.db", "").unwrap();
        assert!(
            config
                .database(Path::new("/data/a?b.db"))
                .unwrap_err()
                .contains("a?b.db has a character")
        );
    }

    #[test]
    fn what_is_said_of_one_database_counts_before_what_a_pattern_says() {
        let text = "[[database]]\npath = \"/data/*.db\"\nreplica = \"/r/{name}\"\n\
                    [[database]]\npath = \"/data/a.db\"\nreplica = \"/own\"\n";
        let config = Config::parse(text).unwrap();
        let place =
            |path: &str| config.database(Path::new(path)).unwrap().unwrap().location.to_string();
        assert_eq!(
            (place("/data/a.db"), place("/data/b.db")),
            ("/own".to_owned(), "/r/b.db".to_owned())
        );
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
