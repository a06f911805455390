//! `throughline serve`: from a vendor's webhook to a table, and stopped without loss.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub const PIPELINE: &str = r#"
[pipeline]
name = "shop"

[receiver]
listen = "127.0.0.1:0"
metrics_listen = "127.0.0.1:0"

[receiver.hooks.wazzup]
verify = "bearer"
secret = { env = "WAZZUP_TOKEN" }

[receiver.hooks.whatsapp]
verify = "meta"
secret = { env = "APP_SECRET" }
verify_token = { env = "VERIFY_TOKEN" }

[receiver.sites.site]
origins = ["https://shop.example"]

[[source]]
name = "whatsapp"
connector = "whatsapp"
inbox = ".throughline/inbox/whatsapp/*.jsonl*"
app_secret = { env = "APP_SECRET" }

[[sink]]
connector = "parquet"
path = "out"
"#;

/// Signed with `test_app_secret`.
pub const BODY: &str = r#"{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"79990000000","phone_number_id":"55"},"contacts":[{"wa_id":"79161234567","profile":{"name":"\u0410\u043d\u043d\u0430"}}],"messages":[{"from":"79161234567","id":"wamid.1","timestamp":"1767225600","type":"text","text":{"body":"\u043f\u0440\u0438\u0432\u0435\u0442 [ID:HHR3D1196WD]"}}]}}]}]}"#;
pub const SIGNATURE: &str = "sha256=02be7a1b28b38eb618e36b0e902238a944b86d5c1567981cc5e0b1c7ff627214";

pub fn throughline(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throughline"));
    command
        .current_dir(folder)
        .env("APP_SECRET", "test_app_secret")
        .env("VERIFY_TOKEN", "vt-0001")
        .env("WAZZUP_TOKEN", "wz_key_01");
    command
}

pub fn serve(folder: &Path) -> (Child, String) {
    let mut child = throughline(folder)
        .args(["--json", "serve", "-v"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut text = String::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        text += &line.unwrap();
        if text.ends_with('}') {
            break;
        }
    }
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    (child, told["listening"].as_str().unwrap().to_owned())
}

pub fn send(to: &str, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    let request =
        format!("{head}\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

pub fn stop(child: Child) -> String {
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    log
}

#[test]
fn a_webhook_becomes_a_message() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pipeline.toml"), PIPELINE).unwrap();
    let (child, address) = serve(folder.path());
    // Nothing came yet, and that is no error.
    let first = throughline(folder.path()).args(["run", "--json"]).output().unwrap();
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stdout));
    let hook = format!("POST /hooks/whatsapp HTTP/1.1\r\nX-Hub-Signature-256: {SIGNATURE}");
    for _ in 0..2 {
        assert!(send(&address, &hook, BODY).starts_with("HTTP/1.1 200"));
    }
    assert!(send(&address, "POST /hooks/whatsapp HTTP/1.1", BODY).starts_with("HTTP/1.1 403"));
    let wazzup = "POST /hooks/wazzup HTTP/1.1\r\nAuthorization: Bearer wz_key_01";
    assert!(send(&address, wazzup, "{}").starts_with("HTTP/1.1 200"));
    let handshake =
        "GET /hooks/whatsapp?hub.mode=subscribe&hub.verify_token=vt-0001&hub.challenge=42 HTTP/1.1";
    assert!(send(&address, handshake, "").ends_with("\r\n\r\n42"));
    // A second receiver would take the first one's deliveries.
    let second = throughline(folder.path()).args(["serve"]).output().unwrap();
    assert_eq!(second.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&second.stderr).contains("being received into"), "{second:?}");
    let log = stop(child);
    for secret in ["test_app_secret", "vt-0001", "wz_key_01", "02be7a1b"] {
        assert!(!log.contains(secret), "{secret} is in the log: {log}");
    }
    assert!(
        log.contains("status=403") && log.contains("no source of these files is named \"wazzup\""),
        "{log}"
    );

    let run = throughline(folder.path()).args(["run", "--json"]).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let query = ["query", "SELECT count(*) AS n, min(token) AS token FROM in_messages", "--format", "csv"];
    let rows = throughline(folder.path()).args(query).output().unwrap();
    let text = String::from_utf8(rows.stdout).unwrap();
    assert!(text.contains("1,HHR3D1196WD"), "{text} {}", String::from_utf8_lossy(&rows.stderr));
}

#[test]
fn tls_by_file_is_what_others_understand() {
    if !Command::new("curl").arg("--version").output().is_ok_and(|o| o.status.success()) {
        eprintln!("SKIPPED: curl is not here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let made = crate::command::repository().join("core/receiver/tests/it/tls");
    for (from, to) in [("first.pem", "fullchain.pem"), ("first.key", "key.pem")] {
        std::fs::copy(made.join(from), folder.path().join(to)).unwrap();
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let all = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(folder.path().join("key.pem"), all).unwrap();
    }
    let tls = "tls = { certificate = \"fullchain.pem\", key = \"key.pem\" }\nmetrics_listen";
    std::fs::write(folder.path().join("pipeline.toml"), PIPELINE.replace("metrics_listen", tls)).unwrap();
    let (child, address) = serve(folder.path());
    for version in [&["--tlsv1.2", "--tls-max", "1.2"][..], &["--tlsv1.3"]] {
        let answer = Command::new("curl")
            .current_dir(folder.path())
            .args(["--silent", "--show-error", "--noproxy", "*", "--cacert", "fullchain.pem", "--include"])
            .args(version)
            .args(["--header", &format!("X-Hub-Signature-256: {SIGNATURE}"), "--data-binary", BODY])
            .arg(format!("https://{address}/hooks/whatsapp"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&answer.stdout);
        assert!(said.starts_with("HTTP/1.1 200"), "{said}{}", String::from_utf8_lossy(&answer.stderr));
    }
    let log = stop(child);
    assert!(log.contains("chmod o-r"), "a key that everybody may read is told: {log}");
}

#[test]
fn what_cannot_be_served_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let fails = |text: &str, wanted: &[&str]| {
        std::fs::write(folder.path().join("pipeline.toml"), text).unwrap();
        let output = throughline(folder.path()).args(["serve"]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        for word in wanted {
            assert!(said.contains(word), "{word}: {said}");
        }
    };
    let without = PIPELINE.split("[receiver]").next().unwrap().to_owned()
        + &PIPELINE[PIPELINE.find("[[source]]").unwrap()..];
    fails(&without, &["no file has a [receiver]"]);
    fails(&PIPELINE.replace("\"bearer\"", "\"header\""), &["needs the header's name", "pipeline.toml:"]);
    fails(&PIPELINE.replace("https://shop.example", "shop.example/"), &["no origin", "pipeline.toml:"]);
    fails(&PIPELINE.replace("{ env = \"WAZZUP_TOKEN\" }", "\"clear\""), &["never in clear"]);
    fails(
        &PIPELINE.replace("listen = \"127.0.0.1:0\"\nm", "listen = \"localhost\"\nm"),
        &["no address with a port"],
    );
    fails(&PIPELINE.replace("sites.site", "sites.whatsapp"), &["a hook is named"]);
    let with = |lines: &str| PIPELINE.replace("metrics_listen", &format!("{lines}\nmetrics_listen"));
    let proxies = "trusted_proxies = [\"10.0.0.0/8\", \"10.0.0.0/33\", \"proxy.example\"]";
    fails(
        &with(proxies),
        &["pipeline.toml:7:34", "\"10.0.0.0/33\" is no address", "pipeline.toml:7:49", "\"proxy.example\""],
    );
    let tls = "tls = { certificate = \"none.pem\", key = \".\" }";
    fails(&with(tls), &["pipeline.toml:7:23", "none.pem is not there", "pipeline.toml:7:41", "is no file"]);
    fails(&with("tls = { certificate = \"a.pem\" }"), &["\"key\"", "pipeline.toml:7:"]);
    let same = PIPELINE.replace("127.0.0.1:0", "127.0.0.1:8088");
    fails(&same, &["need an address of their own", "pipeline.toml:7:"]);
    // `check` and `run` tell the same.
    let check = throughline(folder.path()).args(["check", "--offline"]).output().unwrap();
    let said = String::from_utf8(check.stderr).unwrap();
    assert!(check.status.code() == Some(2) && said.contains("pipeline.toml:7:18"), "{said}");
    let empty = &PIPELINE[..PIPELINE.find("[receiver.hooks.wazzup]").unwrap()];
    let empty = format!("{empty}{}", &PIPELINE[PIPELINE.find("[[source]]").unwrap()..]);
    fails(&empty, &["nothing to receive"]);
}
