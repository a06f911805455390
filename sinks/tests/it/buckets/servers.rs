//! Private stores on loopback: moto for S3, Azurite for Azure. Each ends with the tests, however they end.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// Prints its port and ends when our end of its pipe closes.
const MOTO: &str = "
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
server.start()
print('port', server.get_host_and_port()[1], flush=True)
sys.stdin.read()
";
const AZURITE: &str = "\"$0\" --inMemoryPersistence --skipApiVersionCheck --disableTelemetry \
    --blobHost 127.0.0.1 --blobPort 0 & read nothing; kill $!";

/// moto takes a request without a signature for a stranger's, and looks at none.
pub(crate) const SIGNED: &str = "Authorization: AWS4-HMAC-SHA256 Credential=AK/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x";

pub(crate) struct Server {
    pub port: u16,
    _program: Child,
}

fn target() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target")
}

/// The one that the tests of this program share. `None`, and a word about it, where moto is not installed.
pub(crate) fn moto() -> Option<&'static Server> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    let start = || {
        let python = target().join("moto-venv/bin/python");
        if !python.is_file() {
            eprintln!("SKIPPED: moto is not installed (sh tools/object-stores.sh)");
            return None;
        }
        let mut command = Command::new(python);
        command.args(["-c", MOTO]).stderr(Stdio::null());
        Some(Server::start(command, "port "))
    };
    SHARED.get_or_init(start).as_ref()
}

/// As [`moto`].
pub(crate) fn azurite() -> Option<&'static Server> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    let start = || {
        let program = target().join("azurite/node_modules/.bin/azurite-blob");
        if !program.exists() {
            eprintln!("SKIPPED: Azurite is not installed (sh tools/object-stores.sh)");
            return None;
        }
        let mut command = Command::new("sh");
        command
            .args(["-c", AZURITE])
            .arg(program.canonicalize().unwrap())
            .current_dir(std::env::temp_dir())
            .stderr(Stdio::null());
        Some(Server::start(command, "listens on http://127.0.0.1:"))
    };
    SHARED.get_or_init(start).as_ref()
}

impl Server {
    fn start(mut command: Command, before_port: &str) -> Self {
        let mut program = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(program.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines.find_map(|line| line.split_once(before_port)?.1.trim().parse().ok());
        // The pipe stays open: a server that prints into a closed one ends.
        std::thread::spawn(move || lines.for_each(drop));
        Self { port: port.expect("the store did not start"), _program: program }
    }

    /// One request to moto past every client, signed as it likes: the status and the body.
    pub(crate) fn ask(&self, method: &str, target: &str) -> (u16, Vec<u8>) {
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{SIGNED}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.port
        );
        let mut store = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        store.write_all(head.as_bytes()).unwrap();
        let mut reply = Vec::new();
        store.read_to_end(&mut reply).unwrap();
        let at = reply.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        let body = reply.split_off(at);
        let head = String::from_utf8(reply).unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
    }
}
