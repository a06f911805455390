//! What Google's interfaces share: how to sign in, and how errors are written.

mod access;
mod failure;
mod key;

pub(crate) use access::{Access, Credentials, Given};
pub(crate) use failure::Failure;

use std::sync::Arc;

use throughline_core::http::{Account, HttpRequest, HttpResponse};
use throughline_core::{Context, Error, ErrorKind, Result};

/// The limits of requests to one of Google's interfaces, for all that ask with the same account.
pub(crate) fn account(interface: &str, of: &str, parallel: u32) -> Account {
    Account { key: format!("{interface}:{of}").into(), per_second: 5.0, burst: 5, parallel }
}

/// Marks an error that a fresh access token may mend.
const REFUSED: (&str, &str) = ("access token", "refused");

/// What a judge makes of 401.
pub(crate) fn token_refused(who: &Credentials, words: &str) -> Arc<Error> {
    let message = format!("Google does not accept the access token of {} ({words})", who.who());
    Arc::new(Error::new(ErrorKind::Auth, message).with(REFUSED.0, REFUSED.1))
}

/// Sends a request with an access token; when that token is refused, once more with a fresh one.
pub(crate) async fn send(ctx: &Context, access: &Access, request: HttpRequest) -> Result<HttpResponse> {
    let token = access.token(ctx, None).await?;
    let with = |token: &throughline_core::Secret| {
        request.clone().header("authorization", format!("Bearer {}", token.expose()))
    };
    match ctx.http.send(with(&token)).await {
        Err(error) if error.context().iter().any(|(name, value)| (*name, value.as_str()) == REFUSED) => {
            let fresh = access.token(ctx, Some(&token)).await?;
            ctx.http.send(with(&fresh)).await
        }
        answer => answer,
    }
}
