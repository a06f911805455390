//! Ways to tell people what is wrong: one file each, and one line in [`all`].

mod smtp;
mod telegram;
mod webhook;

use throughline_core::AlertConnector;

/// Every alerter of this program.
pub fn all() -> Vec<Box<dyn AlertConnector>> {
    vec![
        Box::new(telegram::TelegramConnector),
        Box::new(smtp::SmtpConnector),
        Box::new(webhook::WebhookConnector),
    ]
}

/// An answer is short; who sends more is no such service.
const MOST_ANSWER_BYTES: u64 = 1 << 20;
