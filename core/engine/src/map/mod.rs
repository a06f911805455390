//! MAP: raw streams become canonical tables, one SELECT per connector and table.

mod canonical;
mod contract;
mod letters;

pub use canonical::SourceMapping;
pub use canonical::{CanonicalInput, canonical_tables};
pub use contract::{quoted, stream_view};
pub use letters::MapLetters;
