//! The dialogue with the server: RFC 5321, STARTTLS (RFC 3207), AUTH PLAIN and LOGIN (RFC 4954).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use throughline_core::{Error, ErrorKind, Result, Secret};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpStream;

use super::tls::Tls;

/// Of one answer. RFC 5321 has lines of 512 bytes.
const MOST_ANSWER_BYTES: u64 = 16 << 10;

pub(super) enum Way {
    Clear,
    Starttls(Tls),
    Tls(Tls),
}

pub(super) struct Client {
    pub host: String,
    pub port: u16,
    pub way: Way,
    pub credentials: Option<(String, Secret)>,
}

trait Both: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

struct Answer {
    code: u16,
    /// The lines without the code.
    lines: Vec<String>,
}

impl Client {
    pub fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Signs in, names sender and receivers, and hands over the letter; without one it stops before that. Gives who
    /// was refused, when not all were.
    pub async fn deliver(&self, from: &str, to: &[&str], letter: Option<&str>) -> Result<Vec<String>> {
        let mut talk = self.open().await?;
        self.sign_in(&mut talk).await?;
        talk.say(&format!("MAIL FROM:<{from}>"), &[250], "takes no letters from you").await?;
        let (mut refused, mut last) = (Vec::new(), None);
        for address in to {
            match talk
                .say(&format!("RCPT TO:<{address}>"), &[250, 251, 252], "takes no letters for them")
                .await
            {
                Ok(_) => {}
                Err(error) if error.is_temporary() => return Err(error),
                Err(error) => {
                    refused.push(format!("{address} gets no letters: {}", error.message()));
                    last = Some(error);
                }
            }
        }
        if let (Some(error), true) = (last, refused.len() == to.len()) {
            return Err(error);
        }
        if let Some(letter) = letter {
            talk.say("DATA", &[354], "takes no letter").await?;
            talk.write(&format!("{letter}\r\n.\r\n")).await?;
            talk.answer(&[250], "took the letter and did not keep it").await?;
        }
        // It has the letter, whatever it says now.
        let _ = talk.write("QUIT\r\n").await;
        Ok(refused)
    }

    async fn open(&self) -> Result<Talk<'_>> {
        let lost = |what: &str, e: &std::io::Error| {
            Error::new(ErrorKind::Io, format!("{what} the mail server {}: {e}", self.place())).temporary(None)
        };
        let tcp = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|e| lost("no connection to", &e))?;
        let name = match tcp.local_addr().map(|at| at.ip()) {
            Ok(std::net::IpAddr::V6(ip)) => format!("[IPv6:{ip}]"),
            Ok(ip) => format!("[{ip}]"),
            Err(_) => "[127.0.0.1]".to_owned(),
        };
        let hello = format!("EHLO {name}");
        match &self.way {
            Way::Clear => {
                let mut talk = self.talk(tcp);
                talk.greeted().await?;
                talk.hello(&hello).await?;
                Ok(talk)
            }
            Way::Tls(tls) => {
                let mut talk = self.talk(tls.wrap(tcp, &self.host).await?);
                talk.greeted().await?;
                talk.hello(&hello).await?;
                Ok(talk)
            }
            Way::Starttls(tls) => {
                // The socket itself, since TLS goes on with it.
                let mut clear = Talk { client: self, stream: BufReader::new(tcp), offers: Vec::new() };
                clear.greeted().await?;
                clear.hello(&hello).await?;
                if !clear.offers.iter().any(|o| o.eq_ignore_ascii_case("STARTTLS")) {
                    return Err(Error::config(format!(
                        "the mail server {} offers no STARTTLS",
                        self.place()
                    ))
                    .hint("is it tls = \"tls\" and port 465? Without encryption nothing is sent"));
                }
                clear.say("STARTTLS", &[220], "does not begin TLS").await?;
                // What came in clear behind it would be taken for the server's (CVE-2011-0411).
                if !clear.stream.buffer().is_empty() {
                    return Err(Error::protocol(format!(
                        "the mail server {} said something in clear after STARTTLS",
                        self.place()
                    )));
                }
                let mut talk = self.talk(tls.wrap(clear.stream.into_inner(), &self.host).await?);
                talk.hello(&hello).await?;
                Ok(talk)
            }
        }
    }

    fn talk(&self, stream: impl Both + 'static) -> Talk<'_> {
        let stream: Box<dyn Both> = Box::new(stream);
        Talk { client: self, stream: BufReader::new(stream), offers: Vec::new() }
    }

    async fn sign_in(&self, talk: &mut Talk<'_>) -> Result<()> {
        let Some((user, password)) = &self.credentials else { return Ok(()) };
        let words = talk.offers.iter().find_map(|offer| {
            let mut words = offer.split([' ', '=']);
            words
                .next()
                .filter(|w| w.eq_ignore_ascii_case("AUTH"))
                .map(|_| words.map(str::to_ascii_uppercase))
        });
        let ways: Vec<String> = words.map(Iterator::collect).unwrap_or_default();
        let refuses = "does not let you in";
        if ways.iter().any(|w| w == "PLAIN") {
            let both = STANDARD.encode(format!("\0{user}\0{}", password.expose()));
            talk.say(&format!("AUTH PLAIN {both}"), &[235], refuses).await?;
        } else if ways.iter().any(|w| w == "LOGIN") {
            talk.say("AUTH LOGIN", &[334], refuses).await?;
            talk.say(&STANDARD.encode(user), &[334], refuses).await?;
            talk.say(&STANDARD.encode(password.expose()), &[235], refuses).await?;
        } else {
            return Err(Error::config(format!(
                "the mail server {} offers neither AUTH PLAIN nor LOGIN (it offers: {})",
                self.place(),
                ways.join(" ")
            ))
            .hint("leave user and password out where it asks nobody"));
        }
        Ok(())
    }
}

struct Talk<'a, S = Box<dyn Both>> {
    client: &'a Client,
    stream: BufReader<S>,
    /// What EHLO's answer offers.
    offers: Vec<String>,
}

impl<S: Both> Talk<'_, S> {
    async fn greeted(&mut self) -> Result<()> {
        self.answer(&[220], "is not ready").await.map(drop)
    }

    async fn hello(&mut self, hello: &str) -> Result<()> {
        let answer = self.say(hello, &[250], "does not speak ESMTP").await?;
        self.offers = answer.lines.into_iter().skip(1).collect();
        Ok(())
    }

    async fn say(&mut self, line: &str, good: &[u16], refuses: &str) -> Result<Answer> {
        self.write(&format!("{line}\r\n")).await?;
        self.answer(good, refuses).await
    }

    async fn write(&mut self, text: &str) -> Result<()> {
        let sent = async {
            self.stream.write_all(text.as_bytes()).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|e| self.lost(&e.to_string()))
    }

    fn lost(&self, why: &str) -> Error {
        Error::new(
            ErrorKind::Io,
            format!("the connection to the mail server {} broke: {why}", self.client.place()),
        )
        .temporary(None)
    }

    /// The next answer; an error when its code is none of the good ones.
    async fn answer(&mut self, good: &[u16], refuses: &str) -> Result<Answer> {
        let mut lines = Vec::new();
        let mut room = MOST_ANSWER_BYTES;
        let code = loop {
            let mut line = Vec::new();
            let read = (&mut self.stream).take(room).read_until(b'\n', &mut line).await;
            let read = read.map_err(|e| self.lost(&e.to_string()))?;
            if read == 0 || !line.ends_with(b"\n") {
                return Err(self.lost(if room <= read as u64 {
                    "its answer has no end"
                } else {
                    "it hung up"
                }));
            }
            room -= read as u64;
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            let code = text.get(..3).and_then(|code| code.parse::<u16>().ok());
            let Some(code) = code.filter(|_| matches!(text.as_bytes().get(3), None | Some(b' ' | b'-')))
            else {
                return Err(Error::protocol(format!(
                    "{} is no mail server: it says {:?}",
                    self.client.place(),
                    cut(&text)
                )));
            };
            lines.push(text.get(4..).unwrap_or_default().to_owned());
            if text.as_bytes().get(3) != Some(&b'-') {
                break code;
            }
        };
        if good.contains(&code) {
            return Ok(Answer { code, lines });
        }
        Err(self.refusal(&Answer { code, lines }, refuses))
    }

    /// Servers say what went wrong in words; a password has no place in them.
    fn refusal(&self, answer: &Answer, refuses: &str) -> Error {
        let mut said = answer.lines.join(" ");
        if let Some((_, password)) = &self.client.credentials {
            for secret in [password.expose().to_owned(), STANDARD.encode(password.expose())] {
                said = said.replace(&secret, "***");
            }
        }
        let what =
            format!("the mail server {} {refuses}: {} {}", self.client.place(), answer.code, cut(&said));
        match answer.code {
            400..=499 => Error::new(ErrorKind::Io, what).temporary(None),
            530 | 534 | 535 | 538 => Error::new(ErrorKind::Auth, what)
                .hint("look at user and password; many services want a password made for programs"),
            _ => Error::config(what).hint("look at from and to: the server must let you write so"),
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}
