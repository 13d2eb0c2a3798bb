//! Where a test takes place: a directory with a database, a replica and the sockets of the processes that follow.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use ebbtide_store::Credentials;
use ebbtide_testkit::builder::Builder;
use ebbtide_testkit::minio::MinIO;
use ebbtide_testkit::proxy::Proxy;
use ebbtide_testkit::s3_server::S3Server;
use serde_json::Value;
use tempfile::TempDir;

use super::{App, Ended, History, Owner, Sidecar, command, limited};

/// A database, its replica, and how a command finds both. It is gone when this is dropped.
pub(crate) struct Setup {
    pub(crate) directory: TempDir,
    /// The database, which no application has made yet.
    pub(crate) database: PathBuf,
    /// The replica as commands are told of it.
    pub(crate) replica: String,
    /// What commands find in their environment, besides the directory for sockets.
    pub(crate) variables: Vec<(&'static str, String)>,
    objects: Objects,
    /// For whom the replica is encrypted, if it is.
    pub(crate) owner: Option<Owner>,
}

/// The replica as the test itself reads it, past whatever stands between it and the sidecar.
enum Objects {
    Directory(String),
    Bucket(String, Credentials),
}

impl Setup {
    /// With the replica in a directory.
    pub(crate) fn new() -> Setup {
        Setup::in_directory(tempfile::tempdir().unwrap())
    }

    /// One with a plain replica, and one with an encrypted one.
    pub(crate) fn in_each_form() -> [Setup; 2] {
        [Setup::new(), Setup::new().sealed()]
    }

    /// In memory where that can be: a kill takes nothing from a file system that a crash of the machine would.
    pub(crate) fn in_memory() -> Setup {
        let memory = Path::new("/dev/shm");
        let directory =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Setup::in_directory(directory.unwrap())
    }

    fn in_directory(directory: TempDir) -> Setup {
        let (database, replica) =
            (directory.path().join("app.db"), directory.path().join("backup"));
        let replica = replica.to_str().unwrap().to_owned();
        DirBuilder::new().mode(0o700).create(directory.path().join("run")).unwrap();
        let objects = Objects::Directory(replica.clone());
        Setup { directory, database, replica, variables: Vec::new(), objects, owner: None }
    }

    /// The same with other names of the database and of the replica.
    pub(crate) fn called(self, database: &str, replica: &str) -> Setup {
        let (database, replica) = (self.path(database), self.text(replica));
        let objects = Objects::Directory(replica.clone());
        Setup { database, replica, objects, ..self }
    }

    /// An ordinary one, with an application that has committed so many rows.
    pub(crate) fn with_rows(rows: u32) -> (Setup, App) {
        let setup = Setup::new();
        let app = setup.app();
        app.insert(rows, 700);
        (setup, app)
    }

    /// The same with a replica that is encrypted. Commands that read find the identity in their environment; what follows
    /// is told the recipient, and has no use for that.
    pub(crate) fn sealed(mut self) -> Setup {
        let owner = Owner::new(&self.path("owner.txt"));
        self.variables.push(("EBBTIDE_IDENTITY_FILE", owner.identity.clone()));
        Setup { owner: Some(owner), ..self }
    }

    /// The arguments that say for whom the replica is encrypted.
    fn recipient(&self) -> Vec<&str> {
        let recipients = self.owner.iter().map(|owner| owner.recipient.as_str());
        recipients.flat_map(|recipient| ["--recipient", recipient]).collect()
    }

    /// The same with the replica under `app` on a server in this process.
    pub(crate) fn in_bucket(self, server: &S3Server) -> Setup {
        let objects = server.file("app").to_str().unwrap().to_owned();
        let variables = server.environment().map(|(name, value)| (name, value.to_owned()));
        let (replica, objects) = (server.address("app"), Objects::Directory(objects));
        Setup { replica, objects, variables: variables.to_vec(), ..self }
    }

    /// The same with the replica under `prefix` in MinIO.
    pub(crate) fn in_minio(self, minio: &MinIO, prefix: &str) -> Setup {
        let replica = minio.address(prefix);
        let objects = Objects::Bucket(replica.clone(), minio.credentials.clone());
        Setup { replica, objects, variables: minio.environment.to_vec(), ..self }
    }

    /// The same with a proxy between commands and their bucket.
    pub(crate) fn through(self, proxy: &Proxy) -> Setup {
        let (bucket, _) = self.replica.split_once("endpoint=").unwrap();
        let replica = format!("{bucket}endpoint={}", proxy.endpoint());
        Setup { replica, ..self }
    }

    /// Has the replica in the directory be this one, which was built in memory.
    pub(crate) fn write(&self, builder: &Builder) {
        for (name, body) in builder.store.objects() {
            let file = self.path(&format!("backup/{name}"));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, body).unwrap();
        }
    }

    /// A path in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The same as text.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// An application on the database.
    pub(crate) fn app(&self) -> App {
        App::open(&self.database)
    }

    /// An application on a database of another name.
    pub(crate) fn other_app(&self, name: &str) -> App {
        App::open(&self.path(name))
    }

    /// Writes a configuration with the database, with `global` before it and `more` about it; its path.
    pub(crate) fn configure(&self, global: &str, more: &str) -> String {
        let (database, replica) = (&self.database, &self.replica);
        let to = self.owner.iter().map(|owner| format!("encrypt-to = [{:?}]\n", owner.recipient));
        let (name, to) = ("[[database]]", to.collect::<String>());
        let text =
            format!("{global}\n{name}\npath = {database:?}\nreplica = {replica:?}\n{to}{more}\n");
        fs::write(self.path("ebbtide.toml"), text).unwrap();
        self.text("ebbtide.toml")
    }

    /// `ebbtide` with these arguments, not yet started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.equip(command(args))
    }

    /// The same within a limit of the shell's `ulimit`.
    pub(crate) fn limited(&self, limit: &str, args: &[&str]) -> Command {
        self.equip(limited(limit, args))
    }

    /// With the environment of this setup.
    pub(crate) fn equip(&self, mut command: Command) -> Command {
        command.env("EBBTIDE_RUNTIME_DIR", self.path("run"));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs `ebbtide` to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        Ended::of(&mut self.command(args))
    }

    /// `ebbtide replicate` of the database, not yet started.
    pub(crate) fn replicate(&self) -> Command {
        let database = self.database.to_str().unwrap();
        let args = ["replicate", "--log-format", "json", database, &self.replica];
        self.command(&[&args[..], &self.recipient()].concat())
    }

    /// Starts it.
    pub(crate) fn spawn(&self) -> Sidecar {
        Sidecar::spawn_command(&mut self.replicate())
    }

    /// Starts it, and waits until it follows the database.
    pub(crate) fn follow(&self) -> Sidecar {
        Sidecar::start_command(&mut self.replicate())
    }

    /// The same of a database and a replica of other names.
    pub(crate) fn follow_other(&self, name: &str, replica: &str) -> Sidecar {
        let args = ["replicate", "--log-format", "json", &self.text(name), &self.text(replica)];
        Sidecar::start_command(&mut self.command(&args))
    }

    /// The arguments of a run that brings the replica up to date and ends.
    pub(crate) fn once_args(&self) -> Vec<&str> {
        let args = ["replicate", "--once", self.database.to_str().unwrap(), &self.replica];
        [&args[..], &self.recipient()].concat()
    }

    /// Such a run.
    pub(crate) fn once(&self) -> Ended {
        self.run(&self.once_args())
    }

    /// The same of a database and a replica of other names, with more arguments.
    pub(crate) fn once_other(&self, name: &str, replica: &str, more: &[&str]) -> Ended {
        let args = ["replicate", "--once", &self.text(name), &self.text(replica)];
        self.run(&[&args, more].concat())
    }

    /// Everything that is committed is durable now.
    #[track_caller]
    pub(crate) fn sync(&self) {
        self.run(&["sync", "--wait", self.database.to_str().unwrap()]).exits(0);
    }

    /// The exit code of `status --json`, and a document for each database.
    pub(crate) fn status(&self, args: &[&str]) -> (i32, Vec<Value>) {
        let ended = self.run(&[&["status", "--json"], args].concat());
        (ended.code(), ended.json_lines())
    }

    /// What `status --json` says of the first database; null if of none.
    pub(crate) fn report(&self) -> Value {
        self.status(&[]).1.into_iter().next().unwrap_or_default()
    }

    /// Restores the replica with the command, with more arguments.
    pub(crate) fn restore(&self, more: &[&str]) -> Ended {
        self.run(&[&["restore"], more, &[&self.replica]].concat())
    }

    /// What the replica has.
    pub(crate) fn history(&self) -> History {
        let history = match &self.objects {
            Objects::Directory(address) => History::open(address),
            Objects::Bucket(address, credentials) => History::in_bucket(address, credentials),
        };
        match &self.owner {
            Some(owner) => history.of(owner),
            None => history,
        }
    }

    /// What another replica in the directory has, which is in the same form.
    pub(crate) fn history_in(&self, name: &str) -> History {
        let history = History::open(&self.text(name));
        match &self.owner {
            Some(owner) => history.of(owner),
            None => history,
        }
    }

    /// The replica ends with the database as it is, byte for byte.
    #[track_caller]
    pub(crate) fn assert_exact(&self) {
        self.history().assert_ends_with(&self.database, self.directory.path());
    }

    /// The same after the sidecar has ended, everything being durable.
    #[track_caller]
    pub(crate) fn assert_exact_after(&self, sidecar: Sidecar) {
        let (code, said) = sidecar.stop_and_tell();
        assert_eq!(code, 0, "{said}");
        self.assert_exact();
    }
}
