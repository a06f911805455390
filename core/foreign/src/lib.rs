//! Other people's programs, run as processes: Singer taps and targets, Airbyte sources.
//!
//! [`Given`] is what a user writes of one and [`Start`] how it is started; [`Files`] are the files it gets and
//! [`Program`] is the running process: its lines, its limits, its complaints, its end. What the lines mean is for
//! those who run it to know.

mod feed;
mod process;
mod start;

pub use feed::{Fed, Input};
pub use process::{Files, LINE_MAX, Program};
pub use start::{EnvValue, Given, Start};
