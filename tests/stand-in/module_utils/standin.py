# What the modules of this folder share: writing files whole, running programs, keeping a systemd service as wanted.
"""Standard library only; runs on the guests."""
import hashlib
import json
import os
import pwd
import subprocess
import tempfile
import time

STATE = "/var/lib/kube-standin"
PROGRAMS = "/usr/local/lib/kube-standin"


class Trouble(Exception):
    """Something that the person who runs the playbook must read."""


def run(argv, timeout=120, check=True, text=None):
    """Run a program, bounded; its output, or a `Trouble` with what it said."""
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Trouble(f"{argv[0]}: {error}") from error
    if check and done.returncode != 0:
        raise Trouble(f"{' '.join(argv)}: exit code {done.returncode}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def put(path, content, mode="0644", owner="root"):
    """Make a file have this content, mode and owner, whole or not at all; whether anything changed.

    A content that is no text is written as JSON."""
    data = (content if isinstance(content, str) else json.dumps(content, indent=2, sort_keys=True) + "\n").encode()
    mode = int(mode, 8)
    account = pwd.getpwnam(owner)
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    try:
        with open(path, "rb") as file:
            have = os.fstat(file.fileno())
            if file.read() == data and (have.st_mode & 0o7777, have.st_uid, have.st_gid) == (mode, account.pw_uid, account.pw_gid):
                return False
    except FileNotFoundError:
        pass
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".standin-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            os.fchown(handle, account.pw_uid, account.pw_gid)
            os.fchmod(handle, mode)
            file.flush()
            os.fsync(handle)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return True


def put_all(files):
    """`put` for {path: {content, mode, owner}}; the paths that changed."""
    return [path for path, file in sorted(files.items()) if put(path, **file)]


def read(path):
    """A file's bytes; empty when it is not there."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


MARKS = ("# Cluster hosts begin", "# Cluster hosts end")


def hosts_block(text, lines):
    """The text of /etc/hosts with our block replaced by these lines, or taken out when there are none."""
    kept, ours = [], False
    for line in text.splitlines():
        ours = ours or line == MARKS[0]
        if not ours:
            kept.append(line)
        ours = ours and line != MARKS[1]
    return "".join(line + "\n" for line in kept + ([MARKS[0], *lines, MARKS[1]] if lines else []))


def active(name):
    """Whether systemd has the service up, or is bringing it up."""
    return run(["systemctl", "is-active", name], check=False).strip() in ("active", "activating")


def service(name, unit, files, watch):
    """Have a service run with this unit, these files and what lies at `watch`; whether it had to be (re)started.

    What it was last started with is noted after the start, so that an interrupted run is made up for by the next."""
    path = f"/etc/systemd/system/{name}.service"
    put_all({**files, path: {"content": unit}})
    parts = [read(item) for item in sorted([path, *files, *watch])]
    wanted = hashlib.sha256(json.dumps([part.decode("latin-1") for part in parts]).encode()).hexdigest()
    note = f"{STATE}/{name}.started"
    if read(note).decode() == wanted and active(name):
        return False
    run(["systemctl", "daemon-reload"])
    run(["systemctl", "enable", "--quiet", name])
    run(["systemctl", "restart", "--no-block", name])
    put(note, wanted, "0600")
    return True


def wait(what, seconds, probe):
    """Call `probe` until it returns None (its return says what is missing); a `Trouble` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        missing = probe()
        if missing is None:
            return
        if time.monotonic() > deadline:
            raise Trouble(f"{what}: not within {seconds} s: {missing}")
        time.sleep(1)


def journal(name):
    """The last lines a service said, for an error."""
    return run(["journalctl", "-u", name, "-n", "12", "--no-pager", "-o", "cat"], check=False)[-1500:]
