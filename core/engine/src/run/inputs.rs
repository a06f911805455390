//! Whether anything is new: a hash over all that the tables are computed from.

use sha2::{Digest, Sha256};
use throughline_core::Result;
use throughline_store::Store;

use crate::land;
use crate::pipeline::Pipeline;

/// Equal hashes mean equal tables: the same landed rows, the same pipeline file, the same program.
pub async fn inputs_hash(
    store: &Store,
    pipeline: &Pipeline,
    generations: &[(String, String, i64)],
) -> Result<String> {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(env!("CARGO_PKG_VERSION").as_bytes());
    add(pipeline.text.as_bytes());
    // A mapping may come from a file of its own, and changes with the program.
    for mapping in pipeline.sources.iter().flat_map(|s| s.source.mappings()) {
        add(mapping.into.as_bytes());
        add(mapping.sql.as_bytes());
        add(format!("{:?}", mapping.params).as_bytes());
    }
    // The key of a hash is a secret: the text does not tell when it changes.
    for hashing in pipeline.sinks.iter().filter_map(|s| s.hashing.as_ref()) {
        add(hashing.fingerprint().as_bytes());
    }
    for (source, stream, generation) in generations {
        add(source.as_bytes());
        add(stream.as_bytes());
        let segments = store.segments(&pipeline.name, source, stream, *generation).await?;
        let windows = store.windows(&pipeline.name, source, stream, *generation).await?;
        for segment in land::counting_segments(segments, &windows) {
            add(land::segment_content(&segment).as_bytes());
        }
        for window in windows.iter().filter(|w| w.slice.is_none()) {
            add(window.id.as_bytes());
        }
    }
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}
