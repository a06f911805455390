//! Bytes to columns: JSON records become Arrow batches without a JSON value per record.
//!
//! [`RecordsBuilder`] takes one record at a time ([`RecordsBuilder::push`]) or a vendor's whole
//! answer with a [`Selector`] that says where in it the records are ([`RecordsBuilder::push_page`]),
//! and gives [`ReadEvent`](throughline_core::ReadEvent)s.
//!
//! Every top-level key is a column. Its type is the narrowest that holds all its values:
//! `null < true/false < text`, `null < Int64 < Decimal128(38, 9) < text`, and objects and lists as
//! JSON text, byte for byte. A number that fits no column exactly, or meets another kind, keeps the
//! text it was sent as. So drift in what a vendor sends never fails a read and never loses a value.
//! A column with nothing but nulls so far is of arrow's `Null` type.
//!
//! ```
//! use throughline_connectors::records::{Limits, RecordsBuilder, Selector};
//! let mut records = RecordsBuilder::new(Limits::default());
//! records.begin_page("page 1", None);
//! records.push_page(br#"{"data":[{"id":1},{"id":2.5},"oops"]}"#, &Selector::list("data")?)?;
//! records.finish_page();
//! let events = records.take_events(); // a rejected record, then a batch of two rows
//! assert_eq!(events.len(), 2);
//! # Ok::<(), throughline_core::Error>(())
//! ```

mod builder;
mod column;
mod number;
mod page;
mod path;
mod scan;
#[cfg(test)]
mod tests;
mod text;

pub use builder::{Limits, MORE, RecordsBuilder};
pub(crate) use number::parse_decimal;
pub(crate) use page::nearest;
pub use page::{Found, Selector};
pub use path::{Path, scalar_text};
pub use text::json_string;
