//! Keys, addresses and variables as secrets, charts and compose files hand them over.

use ebbtide_testkit::s3_server::{ACCESS_KEY, S3Server, SECRET_KEY};

use crate::support::{Ended, History, Setup};

/// `ebbtide replicate --once` into a bucket, with these variables.
fn once(setup: &Setup, address: &str, variables: &[(&str, &str)]) -> Ended {
    let args = ["replicate", "--once", setup.database.to_str().unwrap(), address];
    Ended::of(setup.command(&args).envs(variables.iter().copied()))
}

/// A secret that was made with `echo` has a line break at its end.
#[test]
fn r42_a_key_with_a_line_break_behind_it_works() {
    let server = S3Server::start();
    let (key, secret) = (format!("{ACCESS_KEY}\n"), format!("{SECRET_KEY}\r\n"));
    for (name, key, secret) in
        [("a", ACCESS_KEY, &*secret), ("b", &key, SECRET_KEY), ("c", &key, &secret)]
    {
        let (setup, _app) = Setup::with_rows(20);
        let variables = [
            ("AWS_ACCESS_KEY_ID", key),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ];
        once(&setup, &server.address(name), &variables).exits(0);
        History::on(&server, name).assert_ends_with(&setup.database, setup.directory.path());
    }
}

/// `${AWS_SESSION_TOKEN:-}` of a compose file is set, and empty.
#[test]
fn r43_variables_that_are_empty_are_not_there() {
    let server = S3Server::start();
    let names = [
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_CA_BUNDLE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_CONFIG_FILE",
        "AWS_ROLE_ARN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "NO_PROXY",
        "AWS_USE_FIPS_ENDPOINT",
        "AWS_USE_DUALSTACK_ENDPOINT",
        "AWS_REQUEST_CHECKSUM_CALCULATION",
    ];
    for name in names {
        let (setup, _app) = Setup::with_rows(20);
        let variables = [&server.environment()[..], &[(name, "")]].concat();
        once(&setup, &server.address(name), &variables).exits(0);
        History::on(&server, name).assert_ends_with(&setup.database, setup.directory.path());
    }
}

/// Whatever stands in a prefix, objects have that name and are found by it; also where a store says that the names of a
/// listing are encoded and they are not, as the one of these tests does.
#[test]
fn r44_a_prefix_of_any_characters_is_signed_and_found() {
    let server = S3Server::start();
    for prefix in [
        "team+eu",
        "a b",
        "c=d",
        "e&f",
        "a%20b",
        "größe",
        "(x)!'*",
        "deep/er/and/deeper",
        "at@colon:comma,",
    ] {
        let (setup, _app) = Setup::with_rows(20);
        once(&setup, &server.address(prefix), &server.environment()).exits(0);
        assert!(server.file(prefix).join("ebbtide.json").exists(), "{prefix}");
        History::on(&server, prefix).assert_ends_with(&setup.database, setup.directory.path());
    }
}

/// Endpoints as consoles show them, and as other tools want them.
#[test]
fn r45_an_endpoint_in_another_form_works_or_is_refused_in_words() {
    let server = S3Server::start();
    let host = server.endpoint().trim_start_matches("http://").to_owned();
    let refused = |why: &'static str| (2, why);
    for (number, (endpoint, (expected, words))) in [
        (format!("http://{host}/"), (0, "")),
        (host.clone(), refused("does not begin with https:// or http://")),
        (format!("s3://{host}"), refused("does not begin with https:// or http://")),
        (format!("http://{host}?x=1"), refused("more than a server and a path")),
        ("http://".to_owned(), refused("no address of a server")),
    ]
    .into_iter()
    .enumerate()
    {
        let (setup, _app) = Setup::with_rows(20);
        let address = format!("s3://backups/{number}?endpoint={endpoint}");
        let ended = once(&setup, &address, &server.environment()).exits(expected);
        assert!(ended.said.contains(words), "{endpoint}: {}", ended.said);
    }
}
