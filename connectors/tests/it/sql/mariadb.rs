//! A private MariaDB: a fresh folder, a loopback port, gone with the tests.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

pub const PASSWORD: &str = "пароль 'quoted\\";

const KEY: &str = include_str!("../../../../core/receiver/tests/it/tls/first.key");

pub struct Mariadb {
    folder: tempfile::TempDir,
    pub port: u16,
    /// Ends the server when our end of its pipe closes, however this process ends.
    guard: Child,
}

/// A user for the server, which refuses to be root's.
fn unprivileged() -> Option<(u32, u32)> {
    if std::fs::metadata("/proc/self").ok()?.uid() != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|l| l.starts_with("nobody:"))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn program(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(name);
    command.current_dir(folder).env("TZ", "Asia/Tokyo").stdin(Stdio::null()).arg("--no-defaults");
    if let Some((user, group)) = unprivileged() {
        command.uid(user).gid(group);
    }
    command
}

impl Mariadb {
    /// The one that the tests of this program share; `None`, and a word about it, where it is not installed.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Mariadb>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    fn start() -> Option<Self> {
        let server = ["/usr/sbin/mariadbd", "/usr/bin/mariadbd"].into_iter().find(|p| Path::new(p).is_file());
        let Some(server) = server.filter(|_| Path::new("/usr/bin/mariadb-install-db").is_file()) else {
            eprintln!("SKIPPED: MariaDB is not installed (Debian: apt-get install mariadb-server-core)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        if let Some((user, group)) = unprivileged() {
            std::os::unix::fs::chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        // Of localhost, and its own authority; the server may read it.
        for (name, text) in [("crt", super::cluster::CERTIFICATE), ("key", KEY)] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            if let Some((user, group)) = unprivileged() {
                std::os::unix::fs::chown(&path, Some(user), Some(group)).unwrap();
            }
        }
        let data = format!("--datadir={}/data", folder.path().display());
        let made = program("mariadb-install-db", folder.path())
            .args([&data, "--skip-test-db", "--auth-root-authentication-method=normal"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let run = "\"$0\" --no-defaults --datadir=\"$1/data\" --socket=\"$1/socket\" --port=\"$2\" \
                   --bind-address=127.0.0.1 --pid-file=\"$1/pid\" --innodb-buffer-pool-size=32M \
                   --innodb-flush-log-at-trx-commit=0 --skip-log-bin \
                   --skip-name-resolve --ssl-cert=\"$1/crt\" --ssl-key=\"$1/key\" >\"$1/log\" 2>&1 & \
                   read nothing; kill -9 $!; wait; rm -rf \"$1\"";
        let mut guard = Command::new("sh");
        guard.args(["-c", run, server]).arg(folder.path()).arg(port.to_string()).stdin(Stdio::piped());
        if let Some((user, group)) = unprivileged() {
            guard.uid(user).gid(group);
        }
        let this = Self { port, guard: guard.spawn().unwrap(), folder };
        let mut tries = 0;
        while let Err(e) = this.try_query("SELECT 1") {
            tries += 1;
            let log = std::fs::read_to_string(this.folder.path().join("log")).unwrap_or_default();
            assert!(tries < 300, "{e}\n{log}");
            std::thread::sleep(Duration::from_millis(100));
        }
        let password = PASSWORD.replace('\\', "\\\\").replace('\'', "\\'");
        this.query(&format!(
            "CREATE DATABASE shop CHARACTER SET utf8mb4; \
             CREATE USER reader@'127.0.0.1' IDENTIFIED BY '{password}'; \
             GRANT SELECT ON shop.* TO reader@'127.0.0.1'; CREATE DATABASE hidden; CREATE TABLE hidden.t (id int)"
        ));
        Some(this)
    }

    fn try_query(&self, sql: &str) -> Result<Vec<Vec<String>>, String> {
        let output = program("mariadb", self.folder.path())
            .arg(format!("--socket={}/socket", self.folder.path().display()))
            .args(["-u", "root", "-N", "-B", "--default-character-set=utf8mb4", "-e", sql])
            .output()
            .unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let text = String::from_utf8(output.stdout).unwrap();
        Ok(text.lines().map(|l| l.split('\t').map(str::to_owned).collect()).collect())
    }

    pub fn query(&self, sql: &str) -> Vec<Vec<String>> {
        self.try_query(sql).unwrap_or_else(|e| panic!("{sql}\n{e}"))
    }
}

impl Drop for Mariadb {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}
