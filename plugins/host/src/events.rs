//! What a reader brings, in the engine's words.

use serde::Deserialize;
use serde_json::Value;
use throughline_core::{Batch, Checkpoint, CountCheck, Notice, ReadEvent, Reject};
use throughline_plugin_abi as abi;

use crate::failure::Failure;
use crate::session::{Answer, Brought};

/// A raw record is cut here, as [`Reject::raw`] says.
const RAW_LIMIT: usize = 1 << 20;

#[derive(Deserialize, Default)]
#[serde(default)]
struct About {
    page: Option<String>,
    exchange: Option<u64>,
}

#[derive(Deserialize)]
struct Rejected {
    reason: String,
    #[serde(default)]
    place: String,
    #[serde(default)]
    raw: String,
}

#[derive(Deserialize)]
struct Begin {
    id: String,
    from_on: i32,
    to_on: i32,
}

#[derive(Deserialize)]
struct Slice {
    id: String,
    slice: String,
}

#[derive(Deserialize)]
struct End {
    id: String,
}

/// `None` at the end of the stream. `batches`: how many came before.
pub(crate) fn event(brought: Brought, batches: u64) -> Answer<Option<ReadEvent>> {
    Ok(Some(match brought {
        Brought::End => return Ok(None),
        Brought::Rows { rows, about } => {
            let about: About = if about.is_null() { About::default() } else { read("a batch", about)? };
            if let Some(field) = rows.schema_ref().fields().iter().find(|f| f.name().starts_with("_tl_")) {
                return Err(broke(format!("the column {} has a name that is the engine's", field.name())));
            }
            let page = about.page.unwrap_or_else(|| format!("batch {}", batches + 1));
            ReadEvent::Batch(Batch { rows, exchange: about.exchange, page })
        }
        Brought::Other { kind, json } => match kind {
            abi::TL_CHECKPOINT if json.is_null() => return Err(broke("a checkpoint without content".into())),
            abi::TL_CHECKPOINT => ReadEvent::Checkpoint(Checkpoint(json)),
            abi::TL_REJECTED => {
                let Rejected { mut reason, place, raw } = read("a rejected record", json)?;
                let mut raw = raw.into_bytes();
                if raw.len() > RAW_LIMIT {
                    raw.truncate(RAW_LIMIT);
                    reason += " (cut at 1 MiB)";
                }
                ReadEvent::Rejected(Reject { reason, place, raw: raw.into() })
            }
            abi::TL_NOTICE => ReadEvent::Notice(read::<Notice>("a notice", json)?),
            abi::TL_COUNT => ReadEvent::Count(read::<CountCheck>("a count", json)?),
            abi::TL_TOTAL => ReadEvent::Total(read("a total", json)?),
            abi::TL_WINDOW_BEGIN => {
                let Begin { id, from_on, to_on } = read("a window", json)?;
                ReadEvent::WindowBegin { id, from_on, to_on }
            }
            abi::TL_WINDOW_END => ReadEvent::WindowEnd { id: read::<End>("a window's end", json)?.id },
            abi::TL_REPLACE_BEGIN => {
                let Slice { id, slice } = read("a replacement", json)?;
                ReadEvent::ReplaceBegin { id, slice }
            }
            abi::TL_REPLACE_END => ReadEvent::ReplaceEnd { id: read::<End>("a replacement's end", json)?.id },
            other => return Err(broke(format!("an event of the unknown kind {other}"))),
        },
    }))
}

fn read<T: serde::de::DeserializeOwned>(what: &str, json: Value) -> Answer<T> {
    serde_json::from_value(json).map_err(|e| broke(format!("{what}: {e}")))
}

fn broke(what: String) -> Failure {
    Failure::new(abi::TL_PANIC, format!("the plugin broke the interface: {what}"))
}
