//! The page of keys, made of those that the configuration has.

use ebbtide_config::{Key, KeyTable, keys};

use super::cell;

const INTRODUCTION: &str = "\
# Configuration

`ebbtide replicate --config FILE` reads these keys; `ebbtide.toml` is the file if none is named.
This page is made of the code that reads them; a test compares the two.

```toml
listen = \"127.0.0.1:9094\"

[defaults]
replica = \"s3://backups/{name}\"
keep = { every-commit = \"7d\", hourly = \"30d\", daily = \"1y\", last = 3 }

[[database]]
path = \"/data/app.db\"

[[database]]
path = \"/data/users.db\"
snapshot-interval = \"6h\"
```

- `ebbtide config check FILE` says what is wrong with a file, by its line; `ebbtide config show` what holds for each database, and from where.
- An unknown key is an error that names the one that was probably meant, also where another tool calls it otherwise.
- In every text `${NAME}` stands for a variable of the environment, which must be set, and `$$` for a dollar sign. A leading `~` is refused: write `${HOME}`.
- Durations are `\"500ms\"`, `\"10s\"`, `\"5m\"`, `\"24h\"`, and `\"7d\"` for drills; sizes `\"500 kB\"`, `\"256 MiB\"`, `\"2GB\"`.
- `ebbtide reload`, or SIGHUP, has a running process read the file again; see [a changed configuration](../operations.md#a-changed-configuration).
- Credentials stand in no configuration: they come from where the AWS tools have theirs.
";

pub(super) fn page() -> String {
    let all = keys();
    let mut page = INTRODUCTION.to_owned();
    page += "\n## Of the process\n\nAbove all tables of the file.\n\n";
    page += &table(all.iter().filter(|key| key.table == KeyTable::Process));
    page += "\n## Prices\n\nIn the table `[prices]`; see [what it costs](../operations.md#what-it-costs).\n\n";
    page += &table(all.iter().filter(|key| key.table == KeyTable::Prices));
    page += "\n## Of each database alone\n\nIn its `[[database]]`.\n\n";
    page += &table(all.iter().filter(|key| key.table == KeyTable::Database));
    page += "\n## Of a database, or of all\n\nIn a `[[database]]`, or in `[defaults]` for every one that does not say otherwise.\n\n";
    page += &table(all.iter().filter(|key| key.table == KeyTable::Defaults));
    page
}

fn table<'a>(keys: impl Iterator<Item = &'a Key>) -> String {
    let rows = keys.map(|key| {
        let Key { name, example, means, without, .. } = key;
        format!("| `{name}` | `{}` | {} | {} |\n", cell(example), cell(means), cell(without))
    });
    format!(
        "| key | for example | means | without it |\n|---|---|---|---|\n{}",
        rows.collect::<String>()
    )
}
