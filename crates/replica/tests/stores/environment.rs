//! What comes from the AWS variables and files. A process's variables cannot be changed safely while it runs, so each
//! test runs this same program again as a child, with variables of its own.

use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ebbtide_replica::store::Location;
use ebbtide_replica::{Key, Txid};
use ebbtide_testkit::s3_server::{ACCESS_KEY, S3Server, SECRET_KEY};

/// The variable that tells the child which replica to open.
const ADDRESS: &str = "EBBTIDE_TEST_ADDRESS";
const KEY: Key = Key::Log(Txid::FIRST);

/// In the child: opens the replica, twice at once as two databases do, and puts an object. In a usual run of the tests there is
/// nothing to do.
#[tokio::test]
async fn child() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let outcome = async {
        let location: Location = address.parse().map_err(|error| format!("{error}"))?;
        let (first, again) = tokio::join!(location.open(), location.open());
        let store = first.map_err(|error| format!("{error:?}"))?;
        let again = again.map_err(|error| format!("{error:?}"))?;
        store.put(&KEY, Bytes::new()).await.map_err(|error| format!("{error:?}"))?;
        again.delete(&KEY).await.map_err(|error| format!("{error:?}"))?;
        Ok::<_, String>(())
    };
    match outcome.await {
        Ok(()) => println!("\nchild: done"),
        Err(error) => println!("\nchild: {error}"),
    }
}

/// What a child says that has these variables and no others of AWS.
fn run(address: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["environment::child", "--exact", "--nocapture"]).env_clear();
    command
        .env(ADDRESS, address)
        .env("HOME", "/nonexistent")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    command.envs(variables.iter().copied());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = text.lines().find_map(|line| line.strip_prefix("child: "));
    said.unwrap_or_else(|| panic!("the child said nothing: {output:?}")).to_owned()
}

#[test]
fn credentials_come_from_variables() {
    let server = S3Server::start();
    assert_eq!(run(&server.address("app"), &server.environment()), "done");
    assert_eq!(server.connections(), 1, "two stores share their connections");
}

/// Who has said everything waits for nobody: not for an instance's metadata, to learn a region from it.
#[test]
fn what_is_known_is_not_looked_for() {
    let server = S3Server::start();
    let metadata = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    metadata.set_nonblocking(true).unwrap();
    let address = format!("http://{}", metadata.local_addr().unwrap());
    let mut variables = server.environment().to_vec();
    variables.push(("AWS_EC2_METADATA_DISABLED", "false"));
    variables.push(("AWS_EC2_METADATA_SERVICE_ENDPOINT", &address));
    assert_eq!(run(&server.address("app"), &variables), "done");
    assert!(metadata.accept().is_err(), "somebody asked for metadata");
}

#[test]
fn credentials_and_more_come_from_profiles() {
    let server = S3Server::start();
    let folder = tempfile::tempdir().unwrap();
    let (config, credentials) = (folder.path().join("config"), folder.path().join("credentials"));
    let keys = format!("aws_access_key_id={ACCESS_KEY}\naws_secret_access_key={SECRET_KEY}\n");
    std::fs::write(&credentials, format!("[night]\n{keys}")).unwrap();
    let endpoint = server.endpoint();
    std::fs::write(&config, format!("[profile night]\nregion=eu-1\nendpoint_url={endpoint}\n"))
        .unwrap();
    let files = [
        ("AWS_CONFIG_FILE", config.to_str().unwrap()),
        ("AWS_SHARED_CREDENTIALS_FILE", credentials.to_str().unwrap()),
    ];
    assert_eq!(run("s3://backups/app?profile=night", &files), "done");
    let by_variable = [files[0], files[1], ("AWS_PROFILE", "night")];
    assert_eq!(run("s3://backups/app", &by_variable), "done");
}

#[test]
fn the_endpoint_comes_from_variables() {
    let server = S3Server::start();
    let endpoint = server.endpoint();
    for variable in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"] {
        let mut variables = server.environment().to_vec();
        variables.push((variable, &endpoint));
        assert_eq!(run("s3://backups/app", &variables), "done", "{variable}");
    }
}

#[test]
fn an_endpoint_from_a_variable_is_no_safer_than_one_from_the_address() {
    let variables = [("AWS_ENDPOINT_URL_S3", "http://10.1.2.3:9000")];
    assert_eq!(
        run("s3://backups/app", &variables),
        "Invalid: open the store: http://10.1.2.3:9000 would carry the database unencrypted over the network: \
         use https, or allow it with insecure-http=true"
    );
}

#[test]
fn a_missing_region_is_said() {
    assert_eq!(
        run("s3://backups/app", &[]),
        "Invalid: open the store: no region: add region=… to the address, or set AWS_REGION"
    );
}

/// A newcomer without credentials is told so within seconds, also where nothing answers for an instance's metadata,
/// and however many databases ask.
#[test]
fn missing_credentials_are_said_soon() {
    let said = "Denied: look for credentials: no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
                AWS_PROFILE for a profile in ~/.aws/credentials, or give this machine a role";
    let address = "s3://backups/app?endpoint=http://127.0.0.1:1";
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let metadata = format!("http://{}", silent.local_addr().unwrap());
    for (variables, seconds) in [
        (vec![("AWS_EC2_METADATA_DISABLED", "true")], 3),
        (
            vec![
                ("AWS_EC2_METADATA_DISABLED", "false"),
                ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata),
            ],
            8,
        ),
    ] {
        let begun = Instant::now();
        let text = run(address, &variables);
        assert!(text.starts_with(said), "{text}");
        assert!(begun.elapsed() < Duration::from_secs(seconds), "{:?}", begun.elapsed());
    }
}
