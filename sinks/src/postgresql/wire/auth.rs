//! Signing in: SCRAM-SHA-256 (RFC 5802 and 7677), the older MD5, a password in clear inside TLS, or nothing.
//!
//! SCRAM works both ways: a server that cannot prove that it knows the password is refused.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use throughline_core::{Error, Secret};

use super::error::Failure;
use super::frame::protocol;
use super::refused;

/// A server that asks for more rounds wants our time.
const MOST_ROUNDS: u32 = 1_000_000;

pub(super) enum Next {
    Wait,
    /// The body of a `p` message.
    Say(Vec<u8>),
}

#[derive(PartialEq, Eq)]
enum State {
    Begun,
    /// Our first message without its header.
    Challenged {
        first: String,
        nonce: String,
    },
    /// What the server must prove.
    Proved {
        signature: Vec<u8>,
    },
    Verified,
    Done,
}

pub(super) struct Auth<'a> {
    user: &'a str,
    password: Option<&'a Secret>,
    /// Nobody on the way reads what we say.
    hidden: bool,
    state: State,
}

impl<'a> Auth<'a> {
    pub(super) fn new(user: &'a str, password: Option<&'a Secret>, hidden: bool) -> Self {
        Self { user, password, hidden, state: State::Begun }
    }

    pub(super) fn done(&self) -> bool {
        self.state == State::Done
    }

    fn password(&self) -> Result<&'a str, Failure> {
        match self.password {
            Some(password) => Ok(password.expose()),
            None => Err(Failure::permanent(
                Error::config(format!("the server asks {:?} for a password", self.user))
                    .hint("set password = { env = \"NAME\" }"),
            )),
        }
    }

    /// Answers an Authentication message.
    pub(super) fn answer(&mut self, body: &[u8]) -> Result<Next, Failure> {
        let (kind, rest) = body.split_first_chunk::<4>().ok_or_else(|| protocol("a cut authentication"))?;
        match i32::from_be_bytes(*kind) {
            0 => {
                // Halfway through SCRAM the server has not proved itself.
                if matches!(self.state, State::Challenged { .. } | State::Proved { .. }) {
                    return Err(refused(
                        "the server broke off before it had proved that it knows the password",
                    ));
                }
                self.state = State::Done;
                Ok(Next::Wait)
            }
            3 if self.hidden => Ok(Next::Say(terminated(self.password()?.to_owned()))),
            3 => Err(refused("the server asks for the password in clear over a connection without TLS")),
            5 => {
                let salt = rest.get(..4).ok_or_else(|| protocol("a cut authentication"))?;
                Ok(Next::Say(terminated(md5_answer(self.user, self.password()?, salt))))
            }
            10 => self.begin_scram(rest),
            11 => self.prove(rest),
            12 => self.verify(rest),
            other => {
                Err(refused(format!("the server asks for authentication {other}, which we do not know")))
            }
        }
    }

    fn begin_scram(&mut self, mechanisms: &[u8]) -> Result<Next, Failure> {
        if !mechanisms.split(|b| *b == 0).any(|m| m == b"SCRAM-SHA-256") {
            return Err(refused("the server offers no SCRAM-SHA-256"));
        }
        self.password()?;
        let mut random = [0; 18];
        getrandom::fill(&mut random)
            .map_err(|e| Failure::permanent(Error::bug(format!("no random numbers: {e}"))))?;
        let nonce = BASE64.encode(random);
        // The server takes the name from the startup message.
        let first = format!("n=,r={nonce}");
        let words = format!("n,,{first}");
        let mut body = b"SCRAM-SHA-256\0".to_vec();
        body.extend_from_slice(&i32::try_from(words.len()).unwrap_or(i32::MAX).to_be_bytes());
        body.extend_from_slice(words.as_bytes());
        self.state = State::Challenged { first, nonce };
        Ok(Next::Say(body))
    }

    fn prove(&mut self, challenge: &[u8]) -> Result<Next, Failure> {
        let State::Challenged { first, nonce } = &self.state else {
            return Err(protocol("a SCRAM challenge that nobody asked for"));
        };
        let challenge =
            std::str::from_utf8(challenge).map_err(|_| protocol("a SCRAM challenge of no text"))?;
        let field = |name: &str| {
            let mut fields = challenge.split(',');
            fields.find_map(|f| f.strip_prefix(name)).ok_or_else(|| protocol("a cut SCRAM challenge"))
        };
        let (theirs, salt, rounds) = (field("r=")?, field("s=")?, field("i=")?);
        let salt = BASE64.decode(salt).map_err(|_| protocol("a SCRAM salt of no Base64"))?;
        let rounds: u32 = rounds.parse().map_err(|_| protocol("SCRAM rounds of no number"))?;
        if !theirs.starts_with(nonce.as_str()) || theirs.len() == nonce.len() {
            return Err(refused("the server's SCRAM nonce is not made of ours"));
        }
        if !(1..=MOST_ROUNDS).contains(&rounds) {
            return Err(refused(format!("the server asks for {rounds} rounds of SCRAM")));
        }
        let salted = salted_password(self.password()?.as_bytes(), &salt, rounds)?;
        let bare = format!("c=biws,r={theirs}");
        let message = format!("{first},{challenge},{bare}");
        let client_key = mac(&salted, b"Client Key")?;
        let signature = mac(&Sha256::digest(&client_key), message.as_bytes())?;
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let server_key = mac(&salted, b"Server Key")?;
        self.state = State::Proved { signature: mac(&server_key, message.as_bytes())? };
        Ok(Next::Say(format!("{bare},p={}", BASE64.encode(proof)).into_bytes()))
    }

    fn verify(&mut self, last: &[u8]) -> Result<Next, Failure> {
        let State::Proved { signature } = &self.state else {
            return Err(protocol("a SCRAM end that nobody asked for"));
        };
        let given = last.strip_prefix(b"v=").and_then(|v| BASE64.decode(v).ok());
        if given.as_ref() != Some(signature) {
            return Err(refused("the server could not prove that it knows the password")
                .map(|e| e.hint("somebody may stand between: use tls = \"verify\"")));
        }
        self.state = State::Verified;
        Ok(Next::Wait)
    }
}

fn terminated(text: String) -> Vec<u8> {
    let mut body = text.into_bytes();
    body.push(0);
    body
}

fn mac(key: &[u8], data: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)
        .map_err(|_| Failure::permanent(Error::bug("HMAC takes keys of any length")))?;
    mac.update(data);
    Ok(mac.finalize().into_bytes().to_vec())
}

/// PBKDF2 with HMAC-SHA256, one block.
fn salted_password(password: &[u8], salt: &[u8], rounds: u32) -> Result<Vec<u8>, Failure> {
    let keyed = Hmac::<Sha256>::new_from_slice(password)
        .map_err(|_| Failure::permanent(Error::bug("HMAC takes keys of any length")))?;
    let mut once = keyed.clone();
    once.update(salt);
    once.update(&1_u32.to_be_bytes());
    let mut last = once.finalize().into_bytes();
    let mut all = last;
    for _ in 1..rounds {
        let mut next = keyed.clone();
        next.update(&last);
        last = next.finalize().into_bytes();
        for (a, b) in all.iter_mut().zip(last) {
            *a ^= b;
        }
    }
    Ok(all.to_vec())
}

fn md5_answer(user: &str, password: &str, salt: &[u8]) -> String {
    use md5::Digest as _;
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut out, b| {
            let _ = write!(out, "{b:02x}");
            out
        })
    };
    let inner = hex(&md5::Md5::new().chain_update(password).chain_update(user).finalize());
    format!("md5{}", hex(&md5::Md5::new().chain_update(inner).chain_update(salt).finalize()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn message(kind: i32, body: &[u8]) -> Vec<u8> {
        let mut whole = kind.to_be_bytes().to_vec();
        whole.extend_from_slice(body);
        whole
    }

    /// The example of RFC 7677.
    #[test]
    fn scram_is_the_rfcs() {
        let secret = Secret::new("pencil");
        let mut auth = Auth::new("user", Some(&secret), false);
        auth.state = State::Challenged {
            first: "n=user,r=rOprNGfwEbeRWgbNEkqO".into(),
            nonce: "rOprNGfwEbeRWgbNEkqO".into(),
        };
        let challenge =
            b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let Next::Say(proof) = auth.answer(&message(11, challenge)).unwrap() else { panic!() };
        assert_eq!(
            String::from_utf8(proof).unwrap(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(auth.answer(&message(0, &[])).is_err(), "no entry before the server has proved itself");
        assert!(auth.answer(&message(12, b"v=AAAA")).is_err());
        auth.answer(&message(12, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")).unwrap();
        auth.answer(&message(0, &[])).unwrap();
        assert!(auth.done());
    }

    #[test]
    fn nothing_a_server_says_breaks_us_or_gets_the_password_in_clear() {
        let secret = Secret::new("hunter2-hunter2");
        let fresh = || Auth::new("u", Some(&secret), false);
        for body in [
            &b""[..],
            &message(5, b"ab"),
            &message(10, b"PLAIN\0\0"),
            &message(11, b"r=x"),
            &message(12, b"v=x"),
            &message(99, b""),
            &message(3, b""),
        ] {
            assert!(fresh().answer(body).is_err(), "{body:?}");
        }
        for challenge in ["", "r=other,s=aa,i=1", "s=,i=", "\u{fffd}"] {
            let mut auth = fresh();
            auth.answer(&message(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")).map(|_| ()).unwrap();
            assert!(auth.answer(&message(11, challenge.as_bytes())).is_err(), "{challenge}");
        }
        let mut auth = fresh();
        auth.answer(&message(10, b"SCRAM-SHA-256\0\0")).map(|_| ()).unwrap();
        let State::Challenged { nonce, .. } = &auth.state else { panic!() };
        let challenge = format!("r={nonce}x,s=AAAA,i=4000000000");
        let Err(error) = auth.answer(&message(11, challenge.as_bytes())) else { panic!() };
        assert!(!error.into_error().to_string().contains("hunter2"));
        assert!(Auth::new("u", None, true).answer(&message(3, b"")).is_err());
    }

    #[test]
    fn md5_is_the_servers() {
        // 'md5' || md5(md5('secretbob') || '\x01020304'), by another program.
        assert_eq!(md5_answer("bob", "secret", &[1, 2, 3, 4]), "md5f21dfe33ff3a9e03dbc3e008251fe5cc");
    }
}
