//! From one answer to the next.

use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PagingKind {
    /// Everything is in one answer.
    #[default]
    None,
    /// `{page}` counts pages.
    Page,
    /// `{offset}` counts records.
    Offset,
    /// `{cursor}` is taken from each answer.
    Cursor,
    /// Each answer holds the URL of the next.
    Next,
    /// `{last}` is the largest key so far.
    Keyset,
}

/// How one answer leads to the next.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Paging {
    pub kind: PagingKind,
    /// Records per page: `{size}`.
    pub size: Option<u64>,
    /// Number of the first page, default 1; for `offset` of the first record, default 0.
    pub first: Option<u64>,
    /// `cursor`, `next`: where it is in the body. Nothing there (or null, false, empty) ends the stream.
    pub path: Option<String>,
    /// `cursor`, `next`: where it is in the headers; `link` is read as a Link header with rel=next.
    pub header: Option<String>,
    /// `page`, `offset`: a path that holds something (not null, false, empty) while there are more.
    pub more: Option<String>,
    /// `offset`: path of the number of records in all.
    pub total: Option<String>,
    /// `keyset`: path of the number of records from `{last}` on. A page that has them all is the last.
    pub left: Option<String>,
    /// A page with fewer than `size` records is the last one. Else only `more`, `total` or an empty page
    /// end the stream, because some vendors send short pages in the middle.
    pub short_page_ends: bool,
    /// `keyset`: the column, and what comes before all its values.
    pub column: Option<String>,
    pub start: Option<String>,
    /// `keyset`: the next run goes on behind the last key of this one.
    pub across_runs: bool,
    /// `next`: query parameters to take out of the URL because they hold secrets.
    pub strip: Vec<String>,
    /// A total of records in the body, for the progress bar.
    pub progress: Option<String>,
    /// `keyset`: many pages in one request.
    pub chain: Option<Chain>,
}

/// Commands of one request that are carried out one after the other, each a page: `{chain}` in the request is
/// an object of them, and each begins behind the last record of the one before. They grow from one to `pages`
/// as pages come back full, so that a short list costs little. What stands behind the first page that is not
/// full is no answer to anything: it is passed over, errors too.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// The most commands in a request.
    pub pages: u32,
    /// Template of a command; values are percent-encoded. `{last}` is the key to begin behind.
    pub command: String,
    /// Template of `{last}` in every command but the first: how the vendor names the last key of the command
    /// `{before}`.
    pub last: String,
    /// Path of the object with the answer to each command, by its name. `records` is a path in such an answer.
    pub answers: String,
    /// Path of the object with the refusals, by the names of commands. The rules of `errors` judge each as if
    /// it had come alone.
    pub refusals: String,
}
