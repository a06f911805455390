//! What the host does for a plugin.

use std::ffi::c_void;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use throughline_plugin_abi as abi;

use crate::error::{Error, ErrorKind, Result};
use crate::http::{Request, Response, raw_http};

/// The host, during one call or one read or write.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    table: *const abi::tl_host,
    scope: *mut c_void,
}

// SAFETY: the table lives as long as the process and its services may be called from any thread; a scope lives
// as long as the reader, writer or call that has it, which the kit sees to.
unsafe impl Send for Host {}
unsafe impl Sync for Host {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Trace = 0,
    Debug = 1,
    Info = 2,
    Warn = 3,
    Error = 4,
}

/// An option that is a secret: only its name. [`Host::secret`] gives its value. Users write
/// `{ env = "NAME" }` or `{ file = "path" }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret(String);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Named {
            #[serde(rename = "$secret")]
            name: String,
        }
        let named = Named::deserialize(deserializer).map_err(|e| {
            // An option that is not there is missing, not in clear.
            let said = e.to_string();
            if said.starts_with("missing field `") && !said.contains("$secret") {
                return e;
            }
            serde::de::Error::custom(
                "a secret is written as { env = \"NAME\" } or { file = \"path\" }, never in clear",
            )
        })?;
        Ok(Self(named.name))
    }
}

impl Host {
    pub(crate) fn new(table: *const abi::tl_host, scope: *mut c_void) -> Self {
        Self { table, scope }
    }

    pub(crate) fn parts(&self) -> (&abi::tl_host, *mut c_void) {
        // SAFETY: given by the host at its start, for ever.
        (unsafe { &*self.table }, self.scope)
    }

    fn ctx(&self) -> *mut c_void {
        self.parts().0.ctx
    }

    /// A line for the host's log.
    pub fn log(&self, level: Level, message: &str) {
        if let Some(log) = self.parts().0.log {
            // SAFETY: the texts outlive the call.
            unsafe {
                log(self.ctx(), self.scope, level as i32, abi::tl_str::of(message), abi::tl_str::EMPTY)
            };
        }
    }

    /// A number to count.
    pub fn count(&self, name: &str, value: f64) {
        if let Some(metric) = self.parts().0.metric {
            // SAFETY: the texts outlive the call.
            unsafe { metric(self.ctx(), self.scope, abi::tl_str::of(name), 0, value, abi::tl_str::EMPTY) };
        }
    }

    /// Whether the host wants the call to end: ask in every loop that does nothing of the host's.
    pub fn cancelled(&self) -> bool {
        // SAFETY: as the header says.
        self.parts().0.cancelled.is_some_and(|cancelled| unsafe { cancelled(self.ctx(), self.scope) != 0 })
    }

    /// Waits; a stop ends the wait with an error.
    pub fn sleep(&self, duration: Duration) -> Result<()> {
        let sleep = self.parts().0.sleep_ms.ok_or_else(|| absent("sleep_ms"))?;
        // SAFETY: as the header says.
        match unsafe {
            sleep(self.ctx(), self.scope, u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
        } {
            abi::TL_OK => Ok(()),
            abi::TL_CANCELLED => Err(Error::cancelled()),
            code => Err(Error::new(ErrorKind::Bug, format!("the host cannot sleep: status {code}"))),
        }
    }

    /// Milliseconds since 1970-01-01 UTC. The only clock a plugin may ask.
    pub fn now_ms(&self) -> i64 {
        // SAFETY: as the header says.
        self.parts().0.now_ms.map_or(0, |now| unsafe { now(self.ctx(), self.scope) })
    }

    /// A secret's value. Use it at once, keep it nowhere.
    pub fn secret(&self, secret: &Secret) -> Result<String> {
        let give = self.parts().0.secret.ok_or_else(|| absent("secret"))?;
        let (mut value, mut error) = (abi::tl_buf::EMPTY, abi::tl_error::empty());
        // SAFETY: the outputs are empty and ours.
        unsafe {
            let name = abi::tl_str::of(&secret.0);
            match give(self.ctx(), self.scope, name, &raw mut value, &raw mut error) {
                abi::TL_OK => Ok(String::from_utf8_lossy(&value.take()).into_owned()),
                code => Err(Error::of(code, &mut error)),
            }
        }
    }

    /// One exchange, with the host's TLS, proxy, rate limits and retries.
    pub fn http(&self, request: &Request) -> Result<Response> {
        raw_http(self, request)
    }
}

pub(crate) fn absent(service: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("this host has no {service}"))
}
