"""An sshd on loopback, as this user, on a port of its own, and a cluster file that reaches it."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

ROOT = Path(__file__).parents[2]
PACKAGES = {"sshd": "openssh-server", "rsync": "rsync"}

RELAY = """
import os, select, socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as there:
    while True:
        ready, _, _ = select.select([0, there], [], [])
        if there in ready:
            data = there.recv(65536)
            if not data:
                break
            os.write(1, data)
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                break
            there.sendall(data)
"""
"""ssh's proxy command: Ray's cluster files have no field for a port."""


@dataclass(frozen=True)
class Loopback:
    """Where the sshd listens, and the key that opens it."""

    folder: Path
    port: int
    key: Path

    def cluster(self, ray_folder: Path, port: int) -> Path:
        """``cluster-local.yaml`` for this machine alone: other folders and ports, and the environment that is there already."""
        text = (ROOT / "cluster-local.yaml").read_text(encoding="utf-8")
        for old, new in {
            "[/]tmp/steering-ray": f"[/]{str(ray_folder).lstrip('/')}",
            "/tmp/steering-ray": str(ray_folder),
            "~/steering": str(self.folder / "steering"),
            "~/.ray": str(self.folder / "token"),
            "6389": str(port),
            "8275": str(port + 1),
            "10011": str(port + 2),
            "RAY_AUTH_MODE=token": f"RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH={self.folder}/token/auth_token",
            "make setup": f"ln -sfn {Path(sys.prefix)} .venv",
        }.items():
            text = text.replace(old, new)
        data = yaml.safe_load(text)
        data["provider"] |= {"head_ip": "127.0.0.1", "worker_ips": []}
        data["max_workers"] = 0
        relay = self.folder / "relay.py"
        relay.write_text(RELAY)
        data["auth"] = {
            "ssh_user": getpass.getuser(),
            "ssh_private_key": str(self.key),
            "ssh_proxy_command": f"{sys.executable} {relay} {self.port}",
        }
        data["file_mounts"] = {str(self.folder / "steering"): str(ROOT), str(self.folder / "token/auth_token"): str(self.token())}
        path = self.folder / "cluster.yaml"
        path.write_text(yaml.safe_dump(data))
        return path

    def token(self) -> Path:
        """A token for this cluster alone."""
        path = self.folder / "token-of-the-launcher"
        if not path.exists():
            path.write_text(os.urandom(32).hex())
        return path


def install_what_is_missing() -> None:
    """sshd and rsync from the system's packages; FileNotFoundError when that cannot be done here."""
    missing = [package for program, package in PACKAGES.items() if shutil.which(program, path=_path()) is None]
    if missing and (os.geteuid() != 0 or shutil.which("apt-get") is None):
        raise FileNotFoundError(f"needs {' and '.join(missing)}")
    if missing:
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(["apt-get", "install", "-y", "-qq", *missing], check=True)


@contextmanager
def sshd(folder: Path) -> Iterator[Loopback]:
    """A running sshd that knows one key; its files lie in ``folder``."""
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    port = free_port()
    options = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "user.pub",
        "PidFile": folder / "pid",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "yes",
    }
    (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in options.items()))
    program = shutil.which("sshd", path=_path()) or "sshd"
    with subprocess.Popen([program, "-D", "-f", str(folder / "sshd_config"), "-E", str(folder / "sshd.log")]) as server:
        try:
            _wait_for_port(port)
            yield Loopback(folder, port, folder / "user")
        finally:
            server.terminate()


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processes_with(text: str) -> list[psutil.Process]:
    """Live processes that have ``text`` in their command line, this one and its parents apart."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = [one for one in psutil.process_iter(["cmdline", "status"]) if text in " ".join(one.info["cmdline"] or ())]
    return [one for one in found if one.pid not in own and one.info["status"] != psutil.STATUS_ZOMBIE]


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _wait_for_port(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError("sshd did not start")
