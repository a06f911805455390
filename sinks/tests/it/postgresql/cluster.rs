//! A private PostgreSQL: initdb into a temporary folder, a Unix socket and a loopback port, gone with the
//! tests.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// Of localhost, and its own authority.
pub(crate) const CERTIFICATE: &str = include_str!("../../../../core/receiver/tests/it/tls/first.pem");
const HBA: &str = "local all all trust
host all old 127.0.0.1/32 md5
host all clear 127.0.0.1/32 password
host all all 127.0.0.1/32 scram-sha-256
host all all ::1/128 scram-sha-256
";
pub(crate) const PASSWORD: &str = "пароль-of-the-cluster 'quoted\\";

pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    bin: PathBuf,
    pub port: u16,
    /// Arguments of the server.
    more: &'static str,
    /// Ends the server when our end of its pipe closes, however this process ends.
    guard: Child,
}

/// Where Debian's packages, or the PATH, have `initdb`.
fn binaries() -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version = path.file_name()?.to_str()?.parse().ok()?;
            let bin = path.join("bin");
            bin.join("initdb").is_file().then_some((version, bin))
        })
        .collect();
    found.sort();
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|p| p.join("initdb").is_file() && p.join("postgres").is_file())
    };
    found.pop().map(|(_, bin)| bin).or_else(on_path)
}

/// A user for the server, which refuses to be root's.
fn unprivileged() -> Option<(u32, u32)> {
    if std::fs::metadata("/proc/self").ok()?.uid() != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    ["postgres", "nobody"].iter().find_map(|name| {
        let line = users.lines().find(|l| l.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

impl Cluster {
    /// One that needs not outlive the machine. `None`, and a word about it, where PostgreSQL is not installed.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with("-c fsync=off -c shared_buffers=32MB")
    }

    pub(crate) fn start_with(more: &'static str) -> Option<Self> {
        let Some(bin) = binaries() else {
            eprintln!("SKIPPED: PostgreSQL is not installed (Debian: apt-get install postgresql)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        if let Some((user, group)) = unprivileged() {
            std::os::unix::fs::chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let password = folder.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        if let Some((user, group)) = unprivileged() {
            std::os::unix::fs::chown(&password, Some(user), Some(group)).unwrap();
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let stop =
            "read nothing; \"$0\"/pg_ctl -D \"$1\"/data -m immediate stop >/dev/null 2>&1; rm -rf \"$1\"";
        let mut guard = program("sh".as_ref(), folder.path());
        guard.args(["-c", stop]).arg(&bin).arg(folder.path()).stdin(Stdio::piped()).stdout(Stdio::null());
        let cluster = Self { port, more, guard: guard.spawn().unwrap(), folder, bin };
        let pwfile = format!("--pwfile={}", password.display());
        let args = ["-N", "-U", "postgres", "-E", "UTF8", "--locale=C", "--auth-local=trust"];
        cluster.pg("initdb", &[&args[..], &["--auth-host=scram-sha-256", &pwfile, "-D", "data"]].concat());
        cluster.write("pg_hba.conf", HBA);
        cluster.write("server.crt", CERTIFICATE);
        cluster.write("server.key", include_str!("../../../../core/receiver/tests/it/tls/first.key"));
        cluster.up();
        Some(cluster)
    }

    /// A file of the server's, readable for it alone.
    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join("data").join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        if let Some((user, group)) = unprivileged() {
            std::os::unix::fs::chown(&path, Some(user), Some(group)).unwrap();
        }
    }

    /// The one that the tests of this program share.
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    pub(crate) fn up(&self) {
        let options = format!(
            "-k {} -p {} -c listen_addresses=127.0.0.1,127.0.0.2 -c max_connections=60 -c ssl=on {}",
            self.socket().display(),
            self.port,
            self.more
        );
        self.pg("pg_ctl", &["-D", "data", "-w", "-s", "-l", "log", "-o", &options, "start"]);
    }

    /// As a power cut for the server: no checkpoint, no goodbye.
    pub(crate) fn crash(&self) {
        self.pg("pg_ctl", &["-D", "data", "-w", "-s", "-m", "immediate", "stop"]);
    }

    pub(crate) fn socket(&self) -> &Path {
        self.folder.path()
    }

    /// Somebody's transaction in which a query has run; it stays open until this is dropped.
    pub(crate) fn hold(&self, sql: &str) -> Held {
        let mut psql =
            self.client("postgres", "postgres").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = psql.stdin.take().unwrap();
        writeln!(stdin, "BEGIN; {sql}; SELECT 'held';").unwrap();
        let said = BufReader::new(psql.stdout.take().unwrap());
        assert!(said.lines().map_while(Result::ok).any(|line| line.contains("held")));
        Held { psql, stdin: Some(stdin) }
    }

    fn client(&self, database: &str, user: &str) -> Command {
        let mut command = program(&self.bin.join("psql"), self.folder.path());
        command
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-P",
                "null=∅",
                "-d",
                database,
                "-U",
                user,
                "-h",
            ])
            .arg(self.socket())
            .args(["-p", &self.port.to_string()]);
        command
    }

    fn pg(&self, name: &str, args: &[&str]) {
        let mut command = program(&self.bin.join(name), self.folder.path());
        // A server that inherits our pipe would keep it open.
        let log = std::fs::File::create(self.folder.path().join("said")).unwrap();
        let done = command.args(args).stdout(log.try_clone().unwrap()).stderr(log).status().unwrap();
        let said = std::fs::read_to_string(self.folder.path().join("said")).unwrap_or_default();
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        assert!(done.success(), "{name} {args:?}\n{said}\n{log}");
    }

    /// Rows of a query by psql, a program of others; nulls as `∅`.
    pub(crate) fn psql(&self, user: &str, sql: &str) -> Result<Vec<Vec<String>>, String> {
        self.psql_in("postgres", user, sql)
    }

    /// The same in another database.
    pub(crate) fn psql_in(&self, database: &str, user: &str, sql: &str) -> Result<Vec<Vec<String>>, String> {
        let output =
            self.client(database, user).args(["-F", "\u{1f}", "-R", "\u{1e}", "-c", sql]).output().unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let text = String::from_utf8(output.stdout).unwrap();
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let row = |line: &str| line.split('\u{1f}').map(str::to_owned).collect();
        Ok(text.split('\u{1e}').filter(|l| !l.is_empty()).map(row).collect())
    }

    pub(crate) fn query(&self, sql: &str) -> Vec<Vec<String>> {
        self.psql("postgres", sql).unwrap_or_else(|e| panic!("{sql}\n{e}"))
    }

    pub(crate) fn value(&self, sql: &str) -> String {
        self.query(sql).into_iter().flatten().next().unwrap_or_default()
    }
}

pub(crate) struct Held {
    psql: Child,
    stdin: Option<std::process::ChildStdin>,
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.psql.wait();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

fn program(path: &Path, folder: &Path) -> Command {
    let mut command = Command::new(path);
    command.current_dir(folder).env("LC_ALL", "C").env("TZ", "Asia/Tokyo").stdin(Stdio::null());
    if let Some((user, group)) = unprivileged() {
        command.uid(user).gid(group);
    }
    command
}
