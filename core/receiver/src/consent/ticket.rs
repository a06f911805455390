//! What ties an answer to its question: `state`, and the verifier of PKCE (RFC 7636).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use throughline_core::{Error, Result, Secret};

/// Longer answers are nobody's: vendors send some hundred bytes.
const MOST_BYTES: usize = 8 << 10;

/// Made anew for each question.
pub struct Ticket {
    state: String,
    verifier: Secret,
}

/// What came back.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A code, and what else came with it.
    Code { code: Secret, params: BTreeMap<String, String> },
    /// The vendor's word for why there is none: `access_denied` when the person said no.
    Refused { error: String, description: String },
    /// It answers another question.
    Stranger,
    /// Neither a code nor a refusal.
    Nothing,
}

impl Ticket {
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new() -> Result<Self> {
        Ok(Self { state: random()?, verifier: Secret::new(random()?) })
    }

    pub fn state(&self) -> &str {
        &self.state
    }

    pub fn verifier(&self) -> &Secret {
        &self.verifier
    }

    /// SHA-256 of the verifier, as `code_challenge` wants it.
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.expose()))
    }

    /// Reads the address that a browser ended at, as a person pasted it.
    pub fn read_address(&self, address: &str) -> Answer {
        match url::Url::parse(address.trim()) {
            Ok(url) => self.read(url.query().unwrap_or_default()),
            Err(_) => Answer::Nothing,
        }
    }

    /// Reads an answer's query, of a request or of an address that was pasted.
    pub fn read(&self, query: &str) -> Answer {
        if query.len() > MOST_BYTES {
            return Answer::Nothing;
        }
        let mut params = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            // Of a name that comes twice nobody knows which is meant.
            if params.insert(name.into_owned(), value.into_owned()).is_some() {
                return Answer::Stranger;
            }
        }
        let (code, error) = (params.remove("code"), params.remove("error"));
        if code.is_none() && error.is_none() {
            return Answer::Nothing;
        }
        let state = params.remove("state").unwrap_or_default();
        if !bool::from(state.as_bytes().ct_eq(self.state.as_bytes())) {
            return Answer::Stranger;
        }
        match (code.filter(|code| !code.is_empty()), error) {
            (_, Some(error)) => {
                let description = params.remove("error_description").unwrap_or_default();
                Answer::Refused { error: short(&error), description: short(&description) }
            }
            (Some(code), None) => Answer::Code { code: Secret::new(code), params },
            (None, None) => Answer::Nothing,
        }
    }
}

/// Port and path of an address of this machine in plain HTTP; `None` for any other.
pub fn here(address: &str) -> Option<(u16, String)> {
    let url = url::Url::parse(address).ok()?;
    let near = matches!(url.host_str()?, "127.0.0.1" | "localhost");
    (near && url.scheme() == "http").then(|| (url.port().unwrap_or(80), url.path().to_owned()))
}

/// 43 signs that may stand in a URL: 256 bits.
fn random() -> Result<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|e| Error::bug(format!("the system gives no random bytes: {e}")))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn short(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let ticket = Ticket::new().unwrap();
        let read = |query: &str| ticket.read(&query.replace("STATE", ticket.state()));
        match read("code=a%2Fb&state=STATE&referer=shop.amocrm.ru") {
            Answer::Code { code, params } => {
                assert_eq!((code.expose(), params["referer"].as_str()), ("a/b", "shop.amocrm.ru"));
            }
            other => panic!("{other:?}"),
        }
        match read("error=access_denied&error_description=The+user%0Asaid+no&state=STATE") {
            Answer::Refused { error, description } => {
                assert_eq!((error.as_str(), description.as_str()), ("access_denied", "The user said no"));
            }
            other => panic!("{other:?}"),
        }
        // A forged one, one without, one of two minds, a refusal that somebody else made up.
        for stranger in
            ["code=a&state=x", "code=a", "code=a&state=", "code=a&code=b&state=STATE", "error=no&state=x"]
        {
            assert!(matches!(read(stranger), Answer::Stranger), "{stranger}");
        }
        for nothing in ["", "state=STATE", "code=&state=STATE", "utm_source=x"] {
            assert!(matches!(read(nothing), Answer::Nothing), "{nothing}");
        }
        assert!(matches!(read(&format!("code=a&state=STATE&x={}", "y".repeat(9000))), Answer::Nothing));
    }

    #[test]
    fn addresses_of_this_machine() {
        assert_eq!(here("http://localhost:8080/back"), Some((8080, "/back".into())));
        assert_eq!(here("http://127.0.0.1"), Some((80, "/".into())));
        for other in ["https://localhost:1/", "http://shop.example/", "http://localhost.example/", "back"] {
            assert_eq!(here(other), None, "{other}");
        }
    }

    /// RFC 7636, appendix B.
    #[test]
    fn the_challenge_is_that_of_the_standard() {
        let verifier = Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        let ticket = Ticket { state: String::new(), verifier };
        assert_eq!(ticket.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn no_two_tickets_are_alike_and_both_secrets_differ() {
        let (one, two) = (Ticket::new().unwrap(), Ticket::new().unwrap());
        assert!(one.state() != two.state() && one.verifier() != two.verifier());
        assert!(one.state() != one.verifier().expose() && one.state().len() == 43);
    }
}
