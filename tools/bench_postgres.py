"""A private PostgreSQL on loopback, in a temporary folder, gone with the block. Debian: tools/postgresql.sh."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path


class PostgresMissing(Exception):
    pass


def binaries():
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if found:
        return found[-1].parent
    if on_path := shutil.which("initdb"):
        return Path(on_path).parent
    raise PostgresMissing


@contextlib.contextmanager
def cluster(setup):
    """Gives the port; `setup` is SQL that is run first. Passwords count over TCP, its own user comes by the socket."""
    tools = binaries()
    # The server refuses to be root's.
    as_user = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}
    folder = Path(tempfile.mkdtemp())
    try:
        if as_user:
            owner = pwd.getpwnam("postgres")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]

        def tool(name, *args, **more):
            command = [str(tools / name), *args]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, **as_user, **more)
            if done.returncode != 0:
                raise SystemExit(f"{name}: {done.stderr[-2000:]}")

        tool("initdb", "-D", "data", "-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        # Its log is a file: a pipe would be held open by the server.
        with open(folder / "log", "w") as log:
            start = [str(tools / "pg_ctl"), "-D", "data", "-w", "-o", options, "-l", str(folder / "server.log"), "start"]
            (folder / "server.log").touch()
            if as_user:
                os.chown(folder / "server.log", owner.pw_uid, owner.pw_gid)
            subprocess.run(start, cwd=folder, check=True, stdout=log, stderr=log, **as_user)
        try:
            tool("psql", "-h", str(folder), "-p", str(port), "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-q", input=setup)
            yield port
        finally:
            tool("pg_ctl", "-D", "data", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
