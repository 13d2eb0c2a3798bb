//! What all pages have in common.

use maud::{DOCTYPE, Markup, html};

/// A page.
pub(super) fn page(title: &str, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/page.css";
                script src="/page.js" defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header {
                    a.brand href="/" { img src="/icon.svg" alt="" width="22" height="22"; "ebbtide" }
                    p #live role="status" { noscript { "Reload for news" } }
                }
                main #main { (main) }
                footer {
                    "Nothing can be changed here. "
                    a href="/metrics" { "Metrics" } " · " a href="/healthz" { "Health" }
                }
            }
        }
    }
}

/// What is looked at again by itself; each has an id of its own.
pub(super) fn live(id: &str, content: &Markup) -> Markup {
    html! { div id=(id) data-live {(content)} }
}
