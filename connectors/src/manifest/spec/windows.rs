//! Over which time a stream is asked for: what changed, or whole days of a report.

use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderOf {
    Asc,
}

/// Windows over the time a record was changed (or made). `{from}` and `{to}` are the window's bounds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Incremental {
    /// The column with the time the windows are over.
    pub cursor: String,
    /// How times are written: `unix`, `unix_ms`, `iso`, or a pattern such as `%Y-%m-%d %H:%M:%S`.
    pub format: String,
    /// Template of the zone for formats without an offset. Default UTC.
    pub zone: Option<String>,
    /// The vendor's upper bound belongs to the window: `{to}` is one step earlier.
    #[serde(default)]
    pub to_inclusive: bool,
    /// The vendor's lower bound does not belong to the window: `{from}` is one step earlier.
    #[serde(default)]
    pub from_exclusive: bool,
    /// The smallest difference of two times. Default by `format`: 1s, for `unix_ms` and `iso` 1ms.
    pub resolution: Option<String>,
    /// Read again before the last run's end, for changes that appear late.
    #[serde(default = "zero")]
    pub overlap: String,
    /// The window ends this long before now, for the same reason.
    #[serde(default = "zero")]
    pub lag: String,
    /// The longest window to ask for.
    pub step: Option<String>,
    /// A window whose first page says (`left` or `total` of the paging) that there are so many records or
    /// more is halved, until there are fewer or it cannot be shorter. For lists that end at some number.
    pub split: Option<u64>,
    /// Template of where the first run begins (`YYYY-MM-DD` or a whole instant). Without it `{from}` has
    /// no value then.
    pub start: Option<String>,
    /// The records come ordered by `cursor`. Pages then begin at the last time seen, so that a
    /// record that moves while pages are turned moves nothing else out of sight.
    pub order: Option<OrderOf>,
}

fn zero() -> String {
    "0s".into()
}

/// A report restated for some days. `{from}` and `{to}` are the first and the last day of the window;
/// its rows replace all rows of these days.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Days {
    /// The column with the day.
    pub column: String,
    /// How days are written. Default `%Y-%m-%d`.
    #[serde(default = "day")]
    pub format: String,
    /// Template of the zone the vendor's days are in. Default UTC.
    pub zone: Option<String>,
    /// Days before the last one to read again.
    #[serde(default)]
    pub again: u32,
    /// Days asked for at once.
    #[serde(default = "one")]
    pub step: u32,
    /// Template of the first day of the first run.
    pub start: String,
    /// Whether the day that is not over is read too.
    #[serde(default)]
    pub today: bool,
}

fn day() -> String {
    "%Y-%m-%d".into()
}
fn one() -> u32 {
    1
}
