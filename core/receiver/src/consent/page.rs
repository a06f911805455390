//! The page that a person is left with: small, of itself alone, and never an echo of what came unescaped.

use hyper::StatusCode;

use crate::answer::{self, Answer};

/// How it ended, for the person before the browser.
#[derive(Clone, Debug)]
pub struct Page {
    pub good: bool,
    pub title: String,
    pub text: String,
}

impl Page {
    pub fn good(title: impl Into<String>, text: impl Into<String>) -> Self {
        Self { good: true, title: title.into(), text: text.into() }
    }

    pub fn bad(title: impl Into<String>, text: impl Into<String>) -> Self {
        Self { good: false, title: title.into(), text: text.into() }
    }

    pub(super) fn answer(&self, status: StatusCode) -> Answer {
        let (title, text) = (escape(&self.title), escape(&self.text));
        let colour = if self.good { "#176f3a" } else { "#a3261d" };
        let html = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
             <meta name=\"viewport\" content=\"width=device-width\"><link rel=\"icon\" href=\"data:,\"></head>\n\
             <body style=\"font:18px/1.5 sans-serif;margin:15vh auto;max-width:32em;padding:0 1em\">\
             <h1 style=\"font-size:1.3em;color:{colour}\">{title}</h1><p>{text}</p></body></html>\n"
        );
        let mut page = answer::with(status, "text/html; charset=utf-8", html);
        // Styles in place; nothing is loaded, and no script runs.
        let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'";
        page.headers_mut()
            .insert(hyper::header::CONTENT_SECURITY_POLICY, hyper::header::HeaderValue::from_static(policy));
        page
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
