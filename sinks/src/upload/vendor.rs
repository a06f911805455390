//! What an upload asks of a vendor.

use async_trait::async_trait;
use throughline_core::time::InstantUs;
use throughline_core::write_back::Wanted;
use throughline_core::{CheckReport, Context, Error, Result};

use super::line::{Line, Rows, Weighed};

pub(crate) struct About {
    /// "Yandex Metrica"
    pub vendor: &'static str,
    /// What a row is there, in the plural: "offline conversions".
    pub what: &'static str,
    /// Rows in one upload.
    pub part: usize,
    /// The vendor knows a row by its id: it may be sent again, and is when it changed.
    pub keyed: bool,
}

/// A part that is, or was, being sent.
pub(crate) struct Part<'a> {
    /// By which the vendor can be asked for it: the transaction and the part.
    pub tag: &'a str,
    pub lines: &'a [Line],
    /// When it was noted that it is being sent.
    pub since: InstantUs,
}

/// What a vendor said to an upload.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken {
    /// Its id there, when its processing is to be watched.
    pub watch: Option<String>,
    /// Rows that it did not take, by their place in the part, with its words.
    pub refused: Vec<(usize, String)>,
}

pub(crate) enum Failure {
    /// Nothing of it was taken, and all of its rows are wrong, in the vendor's words.
    Refused(String),
    /// Nothing of it was taken.
    NotTaken(Error),
    /// It may have been taken.
    Unknown(Error),
}

/// What became of a part whose outcome is unknown.
pub(crate) enum Fate {
    Taken(Taken),
    /// It did not arrive: it is sent again.
    Absent,
    /// It may still show: ask again in a while.
    Soon,
    /// Nobody can tell, for this reason.
    Unclear(String),
}

/// How far the processing of an upload is.
pub(crate) enum Progress {
    Open,
    Done,
    /// It ended, and this is wrong with it.
    Wrong(String),
}

/// What a person decided about parts whose outcome nobody can tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unknown {
    /// Stop with an error.
    #[default]
    Stop,
    /// They arrived.
    Sent,
    /// They did not: send them again.
    Again,
}

#[async_trait]
pub(crate) trait Vendor: Send + Sync + 'static {
    fn about(&self) -> About;
    /// The account: `counter 12345`.
    fn account(&self) -> String;
    fn wanted(&self) -> Result<Wanted>;
    fn unknown(&self) -> Unknown;
    async fn check(&self, ctx: &Context) -> Result<CheckReport>;
    /// One answer per row.
    fn weigh(&self, rows: &Rows, now: InstantUs) -> Result<Vec<Weighed>>;
    async fn send(&self, ctx: &Context, part: &Part<'_>) -> Result<Taken, Failure>;
    async fn fate(&self, ctx: &Context, part: &Part<'_>) -> Result<Fate>;
    async fn progress(&self, ctx: &Context, upload: &str) -> Result<Progress>;

    /// What a person agrees to.
    fn consent(&self) -> String {
        let About { vendor, what, .. } = self.about();
        format!("upload {what} to {vendor}, {}", self.account())
    }
}
