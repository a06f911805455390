//! 0, 1, N-1, N and N+1 records around the pages and batches of lists that no other test goes around, and numbers of
//! the vendor's that are not what came: those are always told.

mod crm;
mod files;
mod messengers;
mod reports;

use throughline_core::DynSource;

use crate::harness::{Got, World, read, request};

/// None, one, and each size with its neighbours.
fn around<const N: usize>(sizes: [usize; N]) -> Vec<usize> {
    let mut counts = vec![0, 1];
    counts.extend(sizes.into_iter().flat_map(|size| [size - 1, size, size + 1]));
    counts.sort_unstable();
    counts.dedup();
    counts
}

async fn whole(source: &DynSource, stream: &str) -> Got {
    read(&World::new(), source, request(stream, None)).await.ok()
}

/// So many records, none missing, none twice; where the vendor gives a number (`counted`), it was compared.
#[track_caller]
fn exactly(got: &Got, key: &str, count: usize, counted: bool) {
    assert_eq!(got.latest(key).len(), count, "{:?}", got.notices);
    assert_eq!(got.rejects, []);
    assert_eq!(!got.counts.is_empty(), counted, "{:?}", got.counts);
    assert!(got.counts.iter().all(|c| c.expected == c.read), "{:?}", got.counts);
    assert!(!counted || got.counts.iter().map(|c| c.read).sum::<u64>() == count as u64, "{:?}", got.counts);
}

/// One more was announced than came, and the run says so.
#[track_caller]
fn one_missing(got: &Got, count: usize) {
    let sum = |of: fn(&throughline_core::CountCheck) -> u64| got.counts.iter().map(of).sum::<u64>();
    assert_eq!((sum(|c| c.expected), sum(|c| c.read)), (count as u64 + 1, count as u64), "{:?}", got.counts);
}
