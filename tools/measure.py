"""Runs a program and says what it took: CPU seconds, wall seconds, most memory at once. Linux."""

import contextlib
import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RELEASE = Path(os.environ.get("BIN", ROOT / "target" / "release"))
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Spent:
    """Since the program began. `peak_mb` is the largest resident set, code pages of the binary included."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float = 0.0


@dataclass
class Ran:
    all: Spent
    code: int
    stdout: str
    stderr: str
    # What was spent when each mark was first seen.
    marks: dict = field(default_factory=dict)


def spent_now(pid, begun):
    """Of a program that runs; None when it has just ended."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        status = Path(f"/proc/{pid}/status").read_text()
    except (OSError, IndexError):
        return None
    peak = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    if not peak:
        return None
    # Fields 14 and 15 of the line: user and system ticks.
    ticks = int(after_name[11]) + int(after_name[12])
    return Spent(time.monotonic() - begun, ticks / TICKS, int(peak[0]) / 1024)


def run(command, cwd, env=None, marks=None):
    """`marks`: name -> function that tells whether a point was passed; looked at every 10 ms."""
    begun = time.monotonic()
    child = subprocess.Popen(
        [str(c) for c in command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    seen, waiting, over = {}, dict(marks or {}), threading.Event()

    def watch():
        while waiting and not over.wait(0.01):
            for name, passed in list(waiting.items()):
                if passed() and (now := spent_now(child.pid, begun)):
                    seen[name] = now
                    del waiting[name]

    errors = []
    threads = [threading.Thread(target=watch), threading.Thread(target=lambda: errors.append(child.stderr.read()))]
    for thread in threads:
        thread.start()
    out = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    over.set()
    for thread in threads:
        thread.join()
    whole = Spent(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
    return Ran(whole, child.returncode, out, "".join(errors), seen)


@contextlib.contextmanager
def company(folder, *options):
    """The simulated company serving; gives its JSON line and its process id."""
    command = [RELEASE / "company", "serve", "--crm-rps", "0", "--metrika-rps", "0", "--no-truth", *options]
    server = subprocess.Popen([str(c) for c in command], cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        line = server.stdout.readline()
        if not line:
            raise SystemExit("the company did not start")
        yield json.loads(line), server.pid
    finally:
        server.terminate()
        server.wait()


def throughline(folder, *arguments, marks=None, env=None):
    """A run that must succeed; its report as a dict and what it took."""
    ran = run([RELEASE / "throughline", "--json", *arguments], folder, env, marks)
    if ran.code != 0:
        raise SystemExit(f"throughline {' '.join(map(str, arguments))}: exit code {ran.code}\n{ran.stdout[-4000:]}{ran.stderr[-4000:]}")
    return json.loads(ran.stdout), ran


def machine():
    """What figures must never be quoted without."""
    model = "unknown processor"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores of {model}, load before the run {load:.1f}, {time.strftime('%Y-%m-%d')}"
