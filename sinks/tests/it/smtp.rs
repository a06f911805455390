//! Alerts as letters, to a mail server of the tests' own.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use throughline_core::{
    AlertConnector, AlertMessage, ConfigErrors, Context, DynAlerter, ErrorKind, Options, Trouble,
};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::context;

/// A certificate for localhost that stands for itself.
const TLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/receiver/tests/it/tls");
const PASSWORD: &str = "пароль-0123456789";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Clear,
    Starttls,
    Tls,
}

/// What the server does: its answers by the beginning of a command, each used once, before the usual ones.
#[derive(Clone)]
struct Manner {
    way: Way,
    auth: &'static str,
    odd: Arc<Mutex<Vec<(&'static str, &'static str)>>>,
}

#[derive(Default, Clone)]
struct Seen {
    lines: Arc<Mutex<Vec<String>>>,
    letters: Arc<Mutex<Vec<String>>>,
}

struct Server {
    port: u16,
    seen: Seen,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(way: Way, auth: &'static str, odd: &[(&'static str, &'static str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Seen::default();
        let manner = Manner { way, auth, odd: Arc::new(Mutex::new(odd.to_vec())) };
        let all = seen.clone();
        let task = tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (manner, seen) = (manner.clone(), all.clone());
                tokio::spawn(async move {
                    let _ = serve(tcp, &manner, &seen).await;
                });
            }
        });
        Self { port, seen, task }
    }

    fn lines(&self) -> Vec<String> {
        self.seen.lines.lock().unwrap().clone()
    }
    fn letters(&self) -> Vec<String> {
        self.seen.letters.lock().unwrap().clone()
    }

    fn alerter(&self, more: Value) -> DynAlerter {
        let mut value = json!({"host": "localhost", "port": self.port, "tls": "off",
            "from": "Отчёты <reports@example.com>", "to": ["boss@example.com", "Team <team@example.com>"]});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        build(value).unwrap()
    }
}

fn build(value: Value) -> Result<DynAlerter, ConfigErrors> {
    let connectors: Vec<Box<dyn AlertConnector>> = throughline_sinks::alerters();
    let smtp = connectors.iter().find(|c| c.name() == "smtp").unwrap();
    smtp.build(&Options { name: "mail".into(), value, base_dir: ".".into() })
}

async fn serve(tcp: TcpStream, manner: &Manner, seen: &Seen) -> std::io::Result<()> {
    let acceptor = || {
        let certificate = CertificateDer::from_pem_file(format!("{TLS}/first.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(format!("{TLS}/first.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    };
    match manner.way {
        Way::Clear => talk(BufReader::new(tcp), manner, seen, true, false).await.map(drop),
        Way::Tls => {
            talk(BufReader::new(acceptor().accept(tcp).await?), manner, seen, true, false).await.map(drop)
        }
        Way::Starttls => {
            if let Some(tcp) = talk(BufReader::new(tcp), manner, seen, true, true).await? {
                talk(BufReader::new(acceptor().accept(tcp).await?), manner, seen, false, false).await?;
            }
            Ok(())
        }
    }
}

/// One dialogue; gives the stream back where TLS is to begin.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: BufReader<S>,
    manner: &Manner,
    seen: &Seen,
    greets: bool,
    starttls: bool,
) -> std::io::Result<Option<S>> {
    if greets {
        stream.write_all(b"220 mail.example ESMTP\r\n").await?;
    }
    let mut login = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_owned();
        seen.lines.lock().unwrap().push(line.clone());
        let odd = {
            let mut odd = manner.odd.lock().unwrap();
            odd.iter().position(|(at, _)| line.starts_with(at)).map(|at| odd.remove(at).1)
        };
        if let Some(odd) = odd {
            if odd.is_empty() {
                return Ok(None);
            }
            stream.write_all(odd.as_bytes()).await?;
            continue;
        }
        let said = match line.split([' ', ':']).next().unwrap() {
            "EHLO" if starttls => "250-mail.example\r\n250-SIZE 1000\r\n250 STARTTLS\r\n".to_owned(),
            "EHLO" => format!("250-mail.example hello\r\n250-8BITMIME\r\n250 {}\r\n", manner.auth),
            "STARTTLS" => {
                stream.write_all(b"220 go ahead\r\n").await?;
                return Ok(Some(stream.into_inner()));
            }
            "AUTH" if line.ends_with("LOGIN") => {
                login = 1;
                "334 VXNlcm5hbWU6\r\n".to_owned()
            }
            _ if login == 1 => {
                login = 2;
                "334 UGFzc3dvcmQ6\r\n".to_owned()
            }
            _ if login == 2 => {
                login = 0;
                "235 in\r\n".to_owned()
            }
            "AUTH" => "235 in\r\n".to_owned(),
            "DATA" => {
                stream.write_all(b"354 go\r\n").await?;
                let mut letter = String::new();
                loop {
                    let mut line = String::new();
                    if stream.read_line(&mut line).await? == 0 {
                        return Ok(None);
                    }
                    if line == ".\r\n" {
                        break;
                    }
                    assert!(line.ends_with("\r\n") && line.len() <= 998, "{line:?}");
                    letter += &line;
                }
                seen.letters.lock().unwrap().push(letter);
                "250 kept\r\n".to_owned()
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(None);
            }
            _ => "250 ok\r\n".to_owned(),
        };
        stream.write_all(said.as_bytes()).await?;
    }
}

fn message() -> AlertMessage {
    let trouble = Trouble {
        code: "failed".into(),
        text: "поток «visits» не прочитан\n.\n..точка в начале строки\nالتدفق لم يُقرأ".into(),
        since: 0,
    };
    AlertMessage {
        pipeline: "магазин\r\nBcc: other@example.com".into(),
        run: 7,
        status: "failed".into(),
        at: 0,
        troubles: vec![trouble],
        over: Vec::new(),
    }
}

/// Headers with their folds undone, and the text.
fn read(letter: &str) -> (Vec<(String, String)>, String) {
    let (head, body) = letter.split_once("\r\n\r\n").unwrap();
    let head = head.replace("\r\n ", " ");
    let headers =
        head.split("\r\n").map(|l| l.split_once(": ").unwrap()).map(|(n, v)| (n.to_owned(), v.to_owned()));
    let body: String = body.split("\r\n").collect();
    (headers.collect(), String::from_utf8(STANDARD.decode(body).unwrap()).unwrap())
}

fn decoded(header: &str) -> String {
    let decode = |word: &str| {
        // Charset and encoding may be written in either case (RFC 2047).
        let inside = word.to_ascii_lowercase().strip_prefix("=?utf-8?b?").map(|_| &word[10..]);
        let inside = inside.and_then(|w| w.strip_suffix("?="))?;
        String::from_utf8(STANDARD.decode(inside).ok()?).ok()
    };
    header.split(' ').map(|word| decode(word).unwrap_or_else(|| format!(" {word}"))).collect()
}

#[tokio::test]
async fn a_letter_in_any_script_arrives_as_it_was_written() {
    let server = Server::start(Way::Clear, "AUTH PLAIN LOGIN", &[]).await;
    let alerter = server.alerter(json!({"user": "boss", "password": {"$secret": PASSWORD}}));
    let ctx: Context = context();
    let report = alerter.check(&ctx).await.unwrap();
    assert!(server.letters().is_empty() && report.warnings.is_empty(), "looking sends nothing: {report:?}");
    alerter.send(&ctx, &message()).await.unwrap();
    let letters = server.letters();
    assert_eq!(letters.len(), 1);
    let (headers, text) = read(&letters[0]);
    let header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str()).unwrap();
    assert_eq!(text, message().text(20_000).replace("\r\n", "\n").replace('\n', "\r\n"));
    assert_eq!(decoded(header("Subject")), "магазин  Bcc: other@example.com: failed");
    assert_eq!(decoded(header("From")), "Отчёты <reports@example.com>");
    assert_eq!(header("To"), "boss@example.com, Team <team@example.com>");
    assert_eq!(header("Date"), "Tue, 16 Sep 2025 05:20:00 +0000");
    assert_eq!((header("Auto-Submitted"), header("MIME-Version")), ("auto-generated", "1.0"));
    assert!(header("Message-ID").ends_with("@example.com>"));
    assert!(!headers.iter().any(|(name, _)| name == "Bcc"));
    let lines = server.lines();
    let plain = format!("AUTH PLAIN {}", STANDARD.encode(format!("\0boss\0{PASSWORD}")));
    assert!(lines.contains(&plain), "{lines:?}");
    for wanted in
        ["MAIL FROM:<reports@example.com>", "RCPT TO:<boss@example.com>", "RCPT TO:<team@example.com>"]
    {
        assert!(lines.iter().any(|l| l == wanted), "{lines:?}");
    }
}

#[tokio::test]
async fn encrypted_from_the_beginning_or_before_anything_is_said() {
    let ca = format!("{TLS}/first.pem");
    for (way, mode) in [(Way::Tls, "tls"), (Way::Starttls, "starttls")] {
        let server = Server::start(way, "AUTH LOGIN", &[]).await;
        let with = json!({"tls": mode, "ca": ca, "user": "u", "password": {"$secret": PASSWORD}});
        server.alerter(with.clone()).send(&context(), &message()).await.unwrap();
        assert_eq!(server.letters().len(), 1, "{mode}");
        assert!(server.lines().contains(&STANDARD.encode(PASSWORD)));
        // Another authority, and the machine's own: nobody to be trusted, and nothing is said.
        for other in [json!(format!("{TLS}/second.pem")), Value::Null] {
            let before = server.letters().len();
            let mut with = with.clone();
            with["ca"] = other;
            let error = server.alerter(with).send(&context(), &message()).await.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Auth | ErrorKind::Config), "{mode}: {error}");
            assert_eq!(server.letters().len(), before);
        }
    }
    // A server without STARTTLS gets nothing, the password least of all.
    let server = Server::start(Way::Clear, "AUTH PLAIN", &[]).await;
    let with = json!({"tls": "starttls", "ca": ca, "user": "u", "password": {"$secret": PASSWORD}});
    let error = server.alerter(with.clone()).send(&context(), &message()).await.unwrap_err();
    assert!(error.to_string().contains("no STARTTLS"), "{error}");
    assert!(!server.lines().iter().any(|l| l.starts_with("AUTH") || l.starts_with("MAIL")));
    // Somebody in between who says more in clear is not believed.
    let server = Server::start(
        Way::Starttls,
        "AUTH PLAIN",
        &[("STARTTLS", "220 go\r\n250-mine\r\n250 AUTH PLAIN\r\n")],
    )
    .await;
    let error = server.alerter(with).send(&context(), &message()).await.unwrap_err();
    assert!(error.to_string().contains("in clear after STARTTLS"), "{error}");
}

#[tokio::test]
async fn refusals_say_what_to_do_and_hide_the_password() {
    let secret = STANDARD.encode(PASSWORD);
    let leak: &'static str =
        Box::leak(format!("535-5.7.8 no: {PASSWORD}\r\n535 {secret}\r\n").into_boxed_str());
    for (at, says, kind, hint) in [
        ("AUTH", leak, ErrorKind::Auth, "password made for programs"),
        ("MAIL", "550 5.7.1 not you\r\n", ErrorKind::Config, "from and to"),
        ("DATA", "554 no\r\n", ErrorKind::Config, "from and to"),
        ("EHLO", "500 what?\r\n", ErrorKind::Config, ""),
        ("EHLO", "HTTP/1.1 400 Bad Request\r\n", ErrorKind::Protocol, ""),
    ] {
        let server = Server::start(Way::Clear, "AUTH PLAIN", &[(at, says)]).await;
        let alerter = server.alerter(json!({"user": "u", "password": {"$secret": PASSWORD}}));
        let error = alerter.send(&context(), &message()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{at}: {error}");
        let said = format!("{error} {error:?}");
        assert!(said.contains(hint) && !said.contains(PASSWORD) && !said.contains(&secret), "{said}");
        assert!(server.letters().is_empty());
    }
    // What is of the moment is tried again, and a connection that breaks too.
    for odd in [("MAIL", "451 later\r\n"), ("RCPT", "450 busy\r\n"), ("DATA", "")] {
        let server = Server::start(Way::Clear, "8BITMIME", &[odd, odd]).await;
        server.alerter(json!({})).send(&context(), &message()).await.unwrap();
        assert_eq!(server.letters().len(), 1, "{odd:?}");
    }
    let server = Server::start(Way::Clear, "8BITMIME", &[("MAIL", ""), ("MAIL", ""), ("MAIL", "")]).await;
    let error = server.alerter(json!({})).send(&context(), &message()).await.unwrap_err();
    assert!(error.is_temporary() && server.letters().is_empty(), "{error}");
    // One of two is unknown there: the other gets the letter, and `check` says who does not.
    let unknown = ("RCPT TO:<boss", "550 no such person\r\n");
    let server = Server::start(Way::Clear, "8BITMIME", &[unknown, unknown]).await;
    let report = server.alerter(json!({})).check(&context()).await.unwrap();
    assert!(report.warnings[0].starts_with("boss@example.com gets no letters"), "{report:?}");
    server.alerter(json!({})).send(&context(), &message()).await.unwrap();
    assert_eq!(server.letters().len(), 1);
    // An answer without end is not kept.
    let endless: &'static str = Box::leak(format!("250-{}", "x".repeat(100_000)).into_boxed_str());
    let server =
        Server::start(Way::Clear, "8BITMIME", &[("EHLO", endless), ("EHLO", endless), ("EHLO", endless)])
            .await;
    assert!(server.alerter(json!({})).check(&context()).await.is_err());
}

#[test]
fn options_say_what_is_wrong() {
    let wrong = |more: Value| {
        let mut value = json!({"host": "smtp.example.com", "from": "a@example.com", "to": ["b@example.com"]});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        format!("{:?}", build(value).err())
    };
    assert_eq!(wrong(json!({})), "None");
    for (more, says) in [
        (json!({"tls": "off", "user": "u", "password": {"$secret": PASSWORD}}), "in clear"),
        (json!({"user": "u"}), "user without password"),
        (json!({"password": {"$secret": PASSWORD}}), "password without user"),
        (json!({"to": []}), "names nobody"),
        (json!({"to": ["nobody"]}), "no @"),
        (json!({"from": "a@example.com>\r\nRCPT TO:<x@y"}), "from"),
        (json!({"host": "a b"}), "no name of a server"),
        (json!({"ca": "no-such-file.pem"}), "no-such-file.pem"),
        (json!({"tls": "off", "ca": "x.pem"}), "ca is read with"),
        (json!({"port": 0}), "port"),
        (json!({"subject": "x"}), "subject"),
    ] {
        let said = wrong(more);
        assert!(said.contains(says) && !said.contains(PASSWORD), "{says}: {said}");
    }
}
