//! Finds out, before the first run, whether a store does what commits rely on.

use throughline_core::{Error, ErrorKind, Result};

use super::place::{Created, Place, no_conditions};

/// Objects of probes, for the time that they are there.
pub(super) const PREFIX: &str = "_throughline-probe-";

/// Writes, reads, lists and removes an object, and tries to put it where it is already.
pub(super) async fn probe(place: &Place) -> Result<()> {
    let name = format!("{PREFIX}{}", super::stage::random_id()?);
    let tried = put_twice(place, &name).await;
    // Whatever came of it: nothing of ours stays.
    let removed = place.delete(vec![name.clone()]).await;
    tried?;
    removed?;
    match place.read(&name).await? {
        None => Ok(()),
        Some(_) => {
            Err(Error::new(ErrorKind::Unsupported, format!("{} was deleted and is there", place.url(&name)))
                .hint("old epochs could not be deleted: is the bucket under a lock or a retention?"))
        }
    }
}

async fn put_twice(place: &Place, name: &str) -> Result<()> {
    let (first, second) = (b"first".to_vec(), b"second".to_vec());
    // `Taken` is a try of the client's own whose answer was lost: the content will tell.
    place.create(name, first.clone()).await?;
    let again = place.create(name, second).await?;
    let read = place.read(name).await?.map(|(bytes, _)| bytes);
    let listed = place.first(1).await?;
    if again == Created::Made || read.as_deref() != Some(first.as_slice()) {
        return Err(no_conditions(&place.url("")));
    }
    if listed.is_empty() {
        return Err(Error::unsupported(format!("{} was written and is not listed", place.url(name)))
            .hint("commits rely on lists that are up to date"));
    }
    Ok(())
}
