//! The rights that docs/guides/production.md gives, each tried where a server holds to them. Catches a request that needs
//! more than an operator was told to allow.

use std::process::Command;

use ebbtide_testkit::minio::MinIO;
use serde_json::Value;

use crate::support::{Setup, image};
use crate::tidy::tree::read;

/// For following, for restoring and for pruning.
fn policies() -> [String; 3] {
    let page = read("docs/guides/production.md");
    let fences = page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    let all: Vec<String> = fences.map(str::to_owned).collect();
    all.try_into().expect("three policies")
}

#[test]
fn o25_the_rights_of_the_guide_are_policies() {
    for policy in policies() {
        let policy: Value = serde_json::from_str(&policy).unwrap();
        for statement in policy["Statement"].as_array().unwrap() {
            assert_eq!(statement["Effect"], "Allow");
            let resource = statement["Resource"].as_str().unwrap();
            assert!(resource.starts_with("arn:aws:s3:::backups"), "{resource}");
        }
    }
}

/// Credentials that may do what the policy says and nothing else.
fn assume(minio: &MinIO, policy: &str) -> Vec<(&'static str, String)> {
    let [(_, user), (_, password)] = &minio.environment;
    let policy = policy.replace(":::backups", &format!(":::{}", minio.bucket));
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--aws-sigv4", "aws:amz:us-east-1:sts", "--user"]);
    curl.arg(format!("{user}:{password}"));
    let fields = [
        "Action=AssumeRole".to_owned(),
        "Version=2011-06-15".to_owned(),
        "DurationSeconds=3600".to_owned(),
        format!("Policy={policy}"),
    ];
    for field in fields {
        curl.args(["--data-urlencode", &field]);
    }
    let output = curl.arg(&minio.endpoint).output().unwrap();
    let answer = String::from_utf8(output.stdout).unwrap();
    let of = |tag: &str| {
        let rest = answer.split_once(&format!("<{tag}>")).unwrap_or_else(|| panic!("{answer}"));
        rest.1.split('<').next().unwrap().to_owned()
    };
    vec![
        ("AWS_ACCESS_KEY_ID", of("AccessKeyId")),
        ("AWS_SECRET_ACCESS_KEY", of("SecretAccessKey")),
        ("AWS_SESSION_TOKEN", of("SessionToken")),
    ]
}

#[test]
fn o25_minio_finds_the_rights_of_the_guide_enough() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let Some(minio) = runtime.block_on(MinIO::find()) else { return };
    let [following, restoring, pruning] = policies();
    let mut setup = Setup::new().in_minio(&minio, "app");
    let replica = setup.replica.clone();

    setup.variables = assume(&minio, &following);
    let app = setup.app();
    for _ in ["a start", "a return"] {
        let sidecar = setup.follow();
        app.insert(20, 500);
        // Larger than a part of an upload.
        let many = "INSERT INTO t (b) SELECT randomblob(30000) FROM
                    (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT i FROM n)";
        app.execute(many, []).unwrap();
        assert_eq!(sidecar.stop(), 0);
    }
    setup.run(&["mark", "here", &replica]).exits(0);

    setup.variables = assume(&minio, &restoring);
    let output = setup.path("copy.db");
    setup.restore(&["-o", output.to_str().unwrap()]).exits(0);
    assert_eq!(image(&output), image(&setup.database));
    for reads in ["log", "verify", "drill", "prune", "marks"] {
        setup.run(&[reads, &replica]).exits(0);
    }
    setup.run(&["mark", "not-allowed", &replica]).exits(1).says("access denied");

    setup.variables = assume(&minio, &pruning);
    setup.run(&["prune", "--keep", "every-commit=1h", "--confirm", &replica]).exits(0);
    runtime.block_on(minio.remove());
}
