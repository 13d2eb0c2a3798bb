//! What comes from the AWS variables and files. A process's variables cannot be changed safely while it runs, so each
//! test runs this same program again as a child, with variables of its own.

use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ebbtide_replica::{Key, Txid};
use ebbtide_store::Location;
use ebbtide_testkit::http_proxy::HttpProxy;
use ebbtide_testkit::s3_server::{ACCESS_KEY, Fault, NEXT_ACCESS_KEY, S3Server, SECRET_KEY};
use ebbtide_testkit::tls::{self, TlsFront};

/// The variable that tells the child which replica to open.
const ADDRESS: &str = "EBBTIDE_TEST_ADDRESS";
/// The variable that tells the child which credentials to write into their file once the replica is open.
const NEXT: &str = "EBBTIDE_TEST_NEXT_CREDENTIALS";
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
        if let (Ok(next), Ok(file)) =
            (std::env::var(NEXT), std::env::var("AWS_SHARED_CREDENTIALS_FILE"))
        {
            std::fs::write(file, next).map_err(|error| error.to_string())?;
        }
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
    let directory = tempfile::tempdir().unwrap();
    let (config, credentials) =
        (directory.path().join("config"), directory.path().join("credentials"));
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

fn profile(key: &str) -> String {
    format!("[default]\naws_access_key_id={key}\naws_secret_access_key={SECRET_KEY}\n")
}

/// What a process says that has opened its store with the credentials of one file, which are `next` when it first asks
/// for something.
fn run_with_replaced_credentials(server: &S3Server, first: &str, next: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("credentials");
    std::fs::write(&file, profile(first)).unwrap();
    let next = profile(next);
    let variables = [("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap()), (NEXT, &next)];
    run(&server.address("app"), &variables)
}

/// O13: the first request finds the old key refused, and the new one in the file, and is made again with that.
#[test]
fn o13_a_refused_key_is_read_again_from_its_file() {
    let server = S3Server::start();
    for code in ["InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "AccessDenied"] {
        server.script(move |asked| (asked.key == ACCESS_KEY).then_some(Fault::Refused(403, code)));
        let before = server.asked().len();
        assert_eq!(
            run_with_replaced_credentials(&server, ACCESS_KEY, NEXT_ACCESS_KEY),
            "done",
            "{code}"
        );
        let keys: Vec<String> =
            server.asked().split_off(before).into_iter().map(|asked| asked.key).collect();
        assert_eq!(keys, [ACCESS_KEY, NEXT_ACCESS_KEY, NEXT_ACCESS_KEY], "{code}");
    }
    // One that is refused and still the same is not tried again and again.
    let before = server.asked().len();
    let said = run_with_replaced_credentials(&server, ACCESS_KEY, ACCESS_KEY);
    assert!(said.starts_with("Denied: "), "{said}");
    assert_eq!(server.asked().len() - before, 1);
}

/// A server behind TLS that only the tests' authority vouches for, and its address by a name that nobody knows.
fn behind_tls() -> (S3Server, TlsFront, String) {
    let server = S3Server::start();
    let front = TlsFront::start(server.socket());
    let port = front.address().port();
    (server, front, format!("s3://backups/app?endpoint=https://{}:{port}", tls::NAME))
}

/// O13: the only way to a server whose name nobody knows is the proxy.
#[test]
fn o13_a_server_is_reached_by_way_of_the_proxy_that_the_variables_name() {
    let (server, front, address) = behind_tls();
    let authority = TlsFront::authority();
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        let proxy = HttpProxy::start(front.address());
        let endpoint = proxy.endpoint().replace("http://", "http://user:p%40ss@");
        let mut variables = server.environment().to_vec();
        variables.push(("AWS_CA_BUNDLE", authority.to_str().unwrap()));
        variables.push((name, &endpoint));
        assert_eq!(run(&address, &variables), "done", "{name}");
        let asked = proxy.asked();
        let first = format!("CONNECT {}:{} HTTP/1.1", tls::NAME, front.address().port());
        assert!(asked.iter().all(|head| head.starts_with(&first)), "{asked:?}");
        // "user:p@ss".
        let authorized = |head: &String| head.to_lowercase().contains("basic dxnlcjpwqhnz");
        assert!(!asked.is_empty() && asked.iter().all(authorized), "{asked:?}");
    }
}

/// O13: over plain http the proxy is asked for the whole address, and this machine needs none.
#[test]
fn o13_a_server_that_needs_no_proxy_is_reached_without() {
    let server = S3Server::start();
    let proxy = HttpProxy::start(server.socket());
    let endpoint = proxy.endpoint();
    let mut variables = server.environment().to_vec();
    variables.push(("http_proxy", &endpoint));
    assert_eq!(run(&server.address("app"), &variables), "done");
    assert_eq!(proxy.asked(), Vec::<String>::new(), "this machine is reached directly");

    let address = "s3://backups/app?insecure-http=true&endpoint=http://store.test:9000";
    assert_eq!(run(address, &variables), "done");
    let asked = proxy.asked();
    assert!(asked[0].starts_with("PUT http://store.test:9000/backups/app/log/"), "{asked:?}");
    variables.push(("NO_PROXY", "other.test, *.test:9000"));
    let said = run(address, &variables);
    assert!(said.contains("cannot reach http://store.test:9000"), "{said}");
    assert_eq!(proxy.asked().len(), asked.len());
}

/// O13: the file of `AWS_CA_BUNDLE` takes the place of the system's authorities.
#[test]
fn o13_authorities_come_from_the_file_that_a_variable_names() {
    let (server, front, _) = behind_tls();
    let address = format!("s3://backups/app?endpoint=https://{}", front.address());
    let directory = tempfile::tempdir().unwrap();
    let bundle = directory.path().join("bundle.pem");
    let authority = std::fs::read_to_string(TlsFront::authority()).unwrap();
    // A bundle has words in between, and now and then a certificate that nobody can use.
    let useless = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(&bundle, format!("# Ours\n{useless}\n# More\n{authority}")).unwrap();
    for name in ["AWS_CA_BUNDLE", "SSL_CERT_FILE"] {
        let mut variables = server.environment().to_vec();
        let said = run(&address, &variables);
        assert!(said.contains("certificate"), "without it nobody vouches for the server: {said}");
        variables.push((name, bundle.to_str().unwrap()));
        assert_eq!(run(&address, &variables), "done", "{name}");
    }
    let config = directory.path().join("config");
    std::fs::write(&config, format!("[default]\nca_bundle = {}\n", bundle.display())).unwrap();
    let mut variables = server.environment().to_vec();
    variables.push(("AWS_CONFIG_FILE", config.to_str().unwrap()));
    assert_eq!(run(&address, &variables), "done");
}

/// O13: a file that is named and not there, or of no use, is said to be.
#[test]
fn o13_a_file_of_authorities_that_is_of_no_use_is_named() {
    let server = S3Server::start();
    let directory = tempfile::tempdir().unwrap();
    let (missing, empty) =
        (directory.path().join("missing.pem"), directory.path().join("empty.pem"));
    std::fs::write(&empty, "no certificate\n").unwrap();
    for name in ["AWS_CA_BUNDLE", "SSL_CERT_FILE"] {
        for (path, said) in [(&missing, "cannot read"), (&empty, "has no certificate")] {
            let mut variables = server.environment().to_vec();
            variables.push((name, path.to_str().unwrap()));
            let error = run(&server.address("app"), &variables);
            assert!(error.starts_with("Invalid: open the store: "), "{error}");
            for part in [said, name, path.to_str().unwrap()] {
                assert!(error.contains(part), "{part}: {error}");
            }
        }
    }
}
