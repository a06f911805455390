//! An answer before faults are applied to it.

use crate::text::push_json;

#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub content_type: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Reply {
        Reply { status, content_type, headers: Vec::new(), body: body.into() }
    }

    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Reply {
        Reply::new(status, "application/json; charset=utf-8", body)
    }

    /// amoCRM: HAL.
    pub fn hal(body: impl Into<Vec<u8>>) -> Reply {
        Reply::new(200, "application/hal+json", body)
    }

    /// amoCRM: nothing found is a success without a body.
    pub fn nothing() -> Reply {
        Reply::new(204, "", Vec::new())
    }

    /// amoCRM: `application/problem+json`.
    pub fn problem(status: u16, title: &str, detail: &str) -> Reply {
        let mut b = String::from("{\"title\":");
        push_json(&mut b, title);
        b.push_str(&format!(",\"type\":\"https://httpstatus.es/{status}\",\"status\":{status},\"detail\":"));
        push_json(&mut b, detail);
        b.push('}');
        Reply::new(status, "application/problem+json", b)
    }

    /// amoCRM: a parameter it does not accept.
    pub fn invalid(path: &str, detail: &str) -> Reply {
        let mut b = String::from(
            "{\"validation-errors\":[{\"request_id\":\"0\",\"errors\":[{\"code\":\"NotSupportedChoice\",\"path\":",
        );
        push_json(&mut b, path);
        b.push_str(",\"detail\":");
        push_json(&mut b, detail);
        b.push_str(
            "}]}],\"title\":\"Bad Request\",\"type\":\"https://httpstatus.es/400\",\"status\":400,\"detail\":\
             \"Request validation failed\"}",
        );
        Reply::new(400, "application/problem+json", b)
    }

    /// Metrica's error object.
    pub fn metrika(status: u16, kind: &str, message: &str) -> Reply {
        let mut b = String::from("{\"errors\":[{\"error_type\":");
        push_json(&mut b, kind);
        b.push_str(",\"message\":");
        push_json(&mut b, message);
        b.push_str(",\"location\":\"\"}],\"code\":");
        b.push_str(&status.to_string());
        b.push_str(",\"message\":");
        push_json(&mut b, message);
        b.push('}');
        Reply::json(status, b)
    }
}

/// Decoded `name=value` pairs of a query or form.
pub fn pairs(query: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

pub fn lock<T>(m: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
