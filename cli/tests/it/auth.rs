//! `throughline auth`: the company asks for consent, and a plain HTTP client does what a browser would.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use company::{Company, Config, Options, Running, Server};
use serde_json::Value;

/// The company on a runtime of its own, and a pipeline that asks it.
struct Vendor {
    running: Running,
    folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

fn vendor(source: &str) -> Vendor {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let company = Company::new(Config { visits: 30, ..Config::default() });
    let running = runtime.block_on(Server::new(company, Options::default()).start()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let source = source.replace("URL", &running.url());
    let text = format!(
        "[pipeline]\nname = \"shop\"\n\n[[source]]\nname = \"crm\"\n{source}\n\n[[sink]]\nconnector = \"parquet\"\npath = \"out\"\n"
    );
    std::fs::write(folder.path().join("pipeline.toml"), text).unwrap();
    Vendor { running, folder, _runtime: runtime }
}

const HUBSPOT: &str = r#"connector = "hubspot"
hub_id = "7"
client_id = "5b7d1a90-2a3c-4b55-8f1e-9a2d7c6e4f10"
client_secret = { env = "SECRET" }
base_url = "URL"
authorize_url = "URL/oauth/7/authorize""#;

const HUBSPOT_SECRET: &str = company::hubspot::auth::CLIENT_SECRET;

fn command(folder: &Path, secret: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throughline"));
    command.current_dir(folder).env("SECRET", secret).env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// `throughline auth` that waits for its browser.
struct Asking {
    child: Child,
    url: String,
    redirect: String,
    said: mpsc::Receiver<String>,
}

fn auth(vendor: &Vendor, secret: &str, more: &[&str]) -> Asking {
    let args: Vec<&str> = ["--json", "auth", "crm", "--no-browser"].iter().chain(more).copied().collect();
    begin(command(vendor.folder.path(), secret, &args))
}

fn begin(mut command: Command) -> Asking {
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let (mut url, mut redirect, mut before) = (None, None, String::new());
    for line in lines.by_ref() {
        let line = line.unwrap();
        if let Some(address) = line.strip_prefix("Redirect address: ") {
            redirect = Some(address.to_owned());
        }
        let address = line.trim();
        if line.starts_with("  http") {
            url = Some(address.to_owned());
        }
        before += &format!("{line}\n");
        if line.starts_with("Waiting") || line.starts_with("Paste") {
            break;
        }
    }
    let (sender, said) = mpsc::channel();
    std::thread::spawn(move || {
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        let _ = sender.send(rest.join("\n"));
    });
    let url = url.unwrap_or_else(|| panic!("no address in\n{before}"));
    Asking { child, url, redirect: redirect.unwrap(), said }
}

impl Asking {
    /// Exit code, standard output, and what was said since it waits.
    fn end(mut self) -> (Option<i32>, String, String) {
        let mut out = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        let code = self.child.wait().unwrap().code();
        (code, out, self.said.recv_timeout(Duration::from_secs(20)).unwrap())
    }
}

/// One request as a browser sends it: status, `Location`, headers and body.
fn get(url: &str) -> (u16, Option<String>, String) {
    get_as(url, None)
}

fn get_as(url: &str, host: Option<&str>) -> (u16, Option<String>, String) {
    let rest = url.strip_prefix("http://").unwrap();
    let (address, path) = rest.split_once('/').map_or((rest, String::new()), |(a, p)| (a, p.to_owned()));
    let mut stream = TcpStream::connect(address.replace("localhost", "127.0.0.1")).unwrap();
    let host = host.unwrap_or(address);
    let head =
        format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let location = answer.lines().find_map(|l| l.strip_prefix("location: ").map(str::to_owned));
    (status, location, answer)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn check(vendor: &Vendor, secret: &str) -> (Option<i32>, String) {
    let output = command(vendor.folder.path(), secret, &["check"]).output().unwrap();
    let said = [output.stdout, output.stderr].map(|b| String::from_utf8(b).unwrap()).concat();
    (output.status.code(), said)
}

#[test]
fn a_consent_lets_the_next_command_in() {
    let vendor = vendor(HUBSPOT);
    // Before it, the program says what to do.
    let (code, said) = check(&vendor, HUBSPOT_SECRET);
    assert!(code == Some(1) && said.contains("throughline auth"), "{code:?} {said}");
    let port = free_port().to_string();
    let asking = auth(&vendor, HUBSPOT_SECRET, &["--port", &port]);
    assert_eq!(asking.redirect, format!("http://localhost:{port}/throughline"));
    vendor.running.server.hubspot.auth.consents.register(&asking.redirect);
    let (status, back, page) = get(&asking.url);
    assert_eq!(status, 302, "{page}");
    let back = back.unwrap();
    // Other paths, other names for this machine, and what is no answer, do not end the waiting.
    let here = format!("http://127.0.0.1:{port}");
    assert_eq!(get(&format!("{here}/favicon.ico")).0, 404);
    assert_eq!(get_as(&back, Some("evil.example")).0, 421);
    assert_eq!(get(&format!("{here}/throughline")).0, 400);
    let (status, _, page) = get(&back);
    assert!(status == 200 && page.contains("Connected") && page.contains("charset=utf-8"), "{page}");
    assert!(page.contains("default-src 'none'") && page.contains("no-store"), "{page}");
    let (code, out, said) = asking.end();
    assert_eq!(code, Some(0), "{out}{said}");
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&told["source"], &told["renewable"]), (&"crm".into(), &true.into()), "{told}");
    assert!(told["expires_at"].as_str().unwrap().ends_with('Z'), "{told}");
    for secret in
        ["company-hubspot-access", "company-hubspot-refresh", "company-consent-code", HUBSPOT_SECRET]
    {
        assert!(!format!("{out}{said}{page}").contains(secret), "{secret}: {out}{said}{page}");
    }
    let (code, said) = check(&vendor, HUBSPOT_SECRET);
    assert_eq!(code, Some(0), "{said}");
    // An hour later it is renewed, with the address that the browser came back to.
    vendor.running.server.hubspot.auth.expire();
    let (code, said) = check(&vendor, HUBSPOT_SECRET);
    assert_eq!(code, Some(0), "{said}");
}

/// Google's way: any port, PKCE, and tokens of the connector's own code.
#[test]
fn google_takes_any_port_and_the_proof_of_who_asked() {
    let vendor = vendor(
        "connector = \"ga4\"\nproperty = 412000777\nstart_on = \"2026-06-01\"\nclient_id = \"77-studio.apps.googleusercontent.com\"\n\
         client_secret = { env = \"SECRET\" }\nbase_url = \"URL\"\ntoken_url = \"URL/token\"\nauth_url = \"URL/o/oauth2/v2/auth\"",
    );
    let secret = company::ga4::auth::CLIENT_SECRET;
    let asking = auth(&vendor, secret, &[]);
    for part in ["code_challenge=", "code_challenge_method=S256", "access_type=offline", "analytics.readonly"]
    {
        assert!(asking.url.contains(part), "{}", asking.url);
    }
    assert!(asking.redirect.starts_with("http://127.0.0.1:"), "{}", asking.redirect);
    let back = get(&asking.url).1.unwrap();
    assert_eq!(get(&back).0, 200);
    let (code, out, said) = asking.end();
    assert_eq!(code, Some(0), "{said}");
    let told: Value = serde_json::from_str(&out).unwrap();
    assert!(
        told["scopes"].as_str().unwrap().contains("analytics.readonly") && told["renewable"] == true,
        "{told}"
    );
    vendor.running.server.google.auth.expire();
    let (code, said) = check(&vendor, secret);
    assert!(!said.contains("throughline auth") && said.contains("412000777"), "{code:?} {said}");
}

/// Salesforce's own code: PKCE, and only users of the pipeline's org.
#[test]
fn salesforce_lets_in_users_of_the_org_alone() {
    let secret = company::salesforce::auth::CLIENT_SECRET;
    let run = |org: &str| {
        let vendor = vendor(&format!(
            "connector = \"salesforce\"\norg_id = \"{org}\"\nclient_id = \"{}\"\nclient_secret = {{ env = \"SECRET\" }}\n\
             consent = true\nlogin_url = \"URL\"",
            company::salesforce::auth::CLIENT_ID
        ));
        let (code, said) = check(&vendor, secret);
        assert!(code == Some(1) && said.contains("throughline auth"), "{code:?} {said}");
        let port = free_port().to_string();
        let asking = auth(&vendor, secret, &["--port", &port]);
        vendor.running.server.salesforce.auth.consents.register(&asking.redirect);
        let (status, _, page) = get(&get(&asking.url).1.unwrap());
        let ended = asking.end();
        (vendor, status, page, ended)
    };
    let (vendor, status, page, (code, out, said)) = run(&company::salesforce::auth::org());
    assert!(status == 200 && code == Some(0), "{page} {out} {said}");
    vendor.running.server.salesforce.auth.expire();
    let (code, said) = check(&vendor, secret);
    assert_eq!(code, Some(0), "{said}");
    let (vendor, status, page, (code, out, _)) = run("00D000000000001EAA");
    assert!(status == 400 && code == Some(2) && out.contains("not of 00D000000000001EAA"), "{page} {out}");
    assert!(check(&vendor, secret).1.contains("throughline auth"), "nothing of the other org is kept");
}

#[test]
fn a_no_a_forged_answer_and_silence_each_end_it_and_store_nothing() {
    let vendor = vendor(HUBSPOT);
    let consents = &vendor.running.server.hubspot.auth.consents;
    let asked = |more: &[&str]| {
        let port = free_port().to_string();
        let args: Vec<&str> = ["--port", &port].iter().chain(more).copied().collect();
        let asking = auth(&vendor, HUBSPOT_SECRET, &args);
        consents.register(&asking.redirect);
        asking
    };
    let ended = |asking: Asking, words: &str| {
        let (code, out, _) = asking.end();
        assert_eq!(code, Some(1), "{out}");
        let told: Value = serde_json::from_str(&out).unwrap();
        assert!(told["error"]["message"].as_str().unwrap().contains(words), "{told}");
    };
    // The person says no.
    consents.deny(true);
    let asking = asked(&[]);
    let (status, _, page) = get(&get(&asking.url).1.unwrap());
    assert!(status == 400 && page.contains("Not connected") && page.contains("access_denied"), "{page}");
    ended(asking, "access_denied");
    consents.deny(false);
    // Somebody else's answer.
    let asking = asked(&[]);
    let (status, _, page) = get(&format!("{}?code=stolen&state=guessed", asking.redirect));
    assert!(status == 400 && page.contains("another question"), "{page}");
    ended(asking, "another question");
    // The vendor does not take the code: the page does not say that it worked.
    let asking = asked(&[]);
    let back = get(&asking.url).1.unwrap();
    let (code, rest) = back.split_once("code=").unwrap();
    let (_, rest) = rest.split_once('&').unwrap();
    let (status, _, page) = get(&format!("{code}code=%3Cb%3Eused&{rest}"));
    assert!(status == 400 && page.contains("Not connected") && !page.contains("<b>"), "{page}");
    ended(asking, "gave no tokens for the code");
    // Nobody comes.
    ended(asked(&["--timeout", "1"]), "no consent came within 1 s");
    // The port is taken.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output =
        command(vendor.folder.path(), HUBSPOT_SECRET, &["auth", "crm", "--no-browser", "--port", &port])
            .output()
            .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(2) && said.contains(&format!("port {port} of this machine is in use")),
        "{said}"
    );
    // None of it let anybody in.
    let (code, said) = check(&vendor, HUBSPOT_SECRET);
    assert!(code == Some(1) && said.contains("throughline auth"), "{said}");
}

#[cfg(unix)]
#[test]
fn a_stop_ends_the_waiting() {
    let vendor = vendor(HUBSPOT);
    let port = free_port().to_string();
    let asking = auth(&vendor, HUBSPOT_SECRET, &["--port", &port]);
    let killed = Command::new("kill").args(["-INT", &asking.child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(asking.end().0, Some(130));
}

/// amoCRM: the redirect is another machine's, so the address is pasted; the account must be the pipeline's.
#[test]
fn an_address_is_pasted_where_no_browser_reaches_this_machine() {
    let source = |subdomain: &str| {
        format!(
            "connector = \"amocrm\"\nsubdomain = \"{subdomain}\"\nclient_id = \"{}\"\nclient_secret = {{ env = \"SECRET\" }}\n\
             redirect_uri = \"{}\"\nbase_url = \"URL\"\nauthorize_url = \"URL/oauth\"",
            company::amocrm::auth::CLIENT_ID,
            company::amocrm::auth::REDIRECT_URI
        )
    };
    let secret = company::amocrm::auth::CLIENT_SECRET;
    let run = |subdomain: &str| {
        let vendor = vendor(&source(subdomain));
        vendor.running.server.auth.consents.register(company::amocrm::auth::REDIRECT_URI);
        let mut command = command(vendor.folder.path(), secret, &["--json", "auth", "crm", "--no-browser"]);
        command.stdin(Stdio::piped());
        let mut asking = begin(command);
        let back = get(&asking.url).1.unwrap();
        assert!(back.starts_with(company::amocrm::auth::REDIRECT_URI), "{back}");
        let mut input = asking.child.stdin.take().unwrap();
        writeln!(input, "no address").unwrap();
        writeln!(input, "{back}").unwrap();
        drop(input);
        let ended = asking.end();
        (vendor, ended)
    };
    let (vendor, (code, out, said)) = run("studiosvet");
    assert!(code == Some(0) && said.contains("this holds no code"), "{out}{said}");
    assert_eq!(check(&vendor, secret).0, Some(0));
    let (_, (code, out, _)) = run("other");
    assert!(
        code == Some(1) && out.contains("another account") && out.contains("studiosvet.amocrm.ru"),
        "{out}"
    );
}

/// Bitrix24's code from elsewhere: nobody is asked.
#[test]
fn a_code_that_was_got_elsewhere_is_redeemed() {
    let vendor = vendor(&format!(
        "connector = \"bitrix24\"\nportal = \"{}\"\nclient_id = \"{}\"\nclient_secret = {{ env = \"SECRET\" }}\noauth_url = \"URL\"",
        company::bitrix24::PORTAL,
        company::bitrix24::auth::CLIENT_ID
    ));
    let secret = company::bitrix24::auth::CLIENT_SECRET;
    let mut command = command(vendor.folder.path(), secret, &["auth", "crm", "--code", "-"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{}", company::bitrix24::auth::CODE).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.code() == Some(0) && said.contains("let this program in"), "{said}");
    assert!(
        !said.contains(company::bitrix24::auth::CODE) && !said.contains("company-bitrix24-access"),
        "{said}"
    );
    assert_eq!(check(&vendor, secret).0, Some(0));
}

#[test]
fn sources_without_oauth_say_what_they_use() {
    let vendor = vendor("connector = \"vk\"\ntoken = { env = \"SECRET\" }\ngroup_id = 1");
    let said = |args: &[&str]| {
        let output = command(vendor.folder.path(), "t0ken", args).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let vk = said(&["auth", "crm"]);
    assert!(vk.contains("asks for no consent in a browser") && vk.contains("(token, user_token)"), "{vk}");
    let nobody = said(&["auth", "crn"]);
    assert!(nobody.contains("has no source \"crn\"") && nobody.contains("it has: crm"), "{nobody}");
}
