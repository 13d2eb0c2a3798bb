//! The configuration file: strict, so that a misspelt key is an error and not a default.
//!
//! What comes out is plain values, each within its range. What the parts of ebbtide make of them is decided where they
//! are put together.
//!
//! The words that are ours are in `docs/glossary.md`.

mod apart;
mod config;
mod database;
pub mod defaults;
mod drills;
mod elsewhere;
mod file;
mod key;
mod keys;
mod lines;
mod listen;
mod notices;
mod origin;
mod pattern;
mod placeholders;
mod prices;
mod puts;
mod range;
mod secret;
mod settings;
mod shown;
mod suggestion;
mod value;
mod variables;

pub use apart::check_apart;
pub use config::{Config, Error, Explained};
pub use database::Database;
pub use drills::Drills;
pub use key::{Key, KeyTable};
pub use keys::keys;
pub use listen::{Listen, ListenAddress, read_secret};
pub use notices::{Heartbeat, Webhook};
pub use origin::Origin;
pub use pattern::Pattern;
pub use prices::{MONTH_SECONDS, PRICES_AS_OF, Prices};
pub use puts::Puts;
pub use secret::secret_key_in;
pub use shown::Shown;
pub use value::{duration, size};
