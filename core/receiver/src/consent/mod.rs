//! The answer of a browser that was sent away for somebody's consent (OAuth): one request, to this machine alone.
//!
//! [`Ticket`] is what the question carries and the answer must bring back; [`Desk`] waits for the browser; [`Brought`]
//! is what it brought, with the person still before an empty page until [`Brought::tell`] says how it ended.

mod desk;
mod page;
mod ticket;

pub use desk::{Brought, Desk};
pub use page::Page;
pub use ticket::{Answer, Ticket, here};
