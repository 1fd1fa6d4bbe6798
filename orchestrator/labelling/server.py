"""The page's server: on 127.0.0.1 alone, and for nobody who has not been given its address, which holds a random token."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import re
import secrets
import sys
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

from orchestrator.errors import InputError
from orchestrator.json_text import parse_json
from orchestrator.labelling.session import RaterSession
from orchestrator.storage import StorageError
from orchestrator.untrusted import visible

_LOG = logging.getLogger(__name__)
HOST = "127.0.0.1"
BODY_BYTES = 65_536
IDLE_SECONDS = 60.0
"""After so long without a byte a connection is closed."""


class LabelServer(ThreadingHTTPServer):
    """Serves the page of one rater's ``session`` at ``url``, on a free port."""

    daemon_threads = True

    def __init__(self, session: RaterSession) -> None:
        self.session = session
        self.token = secrets.token_urlsafe(24)
        super().__init__((HOST, 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that goes away says nothing to the rater; whatever else ends a request is logged in a line."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):
            _LOG.warning(
                "a request to the page failed: %s", visible(f"{type(error).__name__}: {error}").replace(self.token, "***")
            )

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"


class _Handler(BaseHTTPRequestHandler):
    server: LabelServer
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS

    def do_GET(self) -> None:
        asked = self._asked()
        if asked == "":
            page, policy = _page()
            self._send(HTTPStatus.OK, page, "text/html; charset=utf-8", policy)
        elif asked == "state":
            self._tell(HTTPStatus.OK, self.server.session.state())
        elif asked is not None:
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")

    def do_POST(self) -> None:
        asked, body = self._asked(), None
        if asked is not None:
            body = self._body()
        if body is None:
            return
        try:
            if asked == "undo":
                self._tell(HTTPStatus.OK, self.server.session.undo())
            elif asked == "rate":
                item, label, comment = body.get("item"), body.get("label"), body.get("comment", "")
                if not (type(item) is int and isinstance(label, str) and isinstance(comment, str)):
                    raise InputError.because("it names no response and label")
                self._tell(HTTPStatus.OK, self.server.session.rate(item, label, comment))
            else:
                self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")
        except StorageError as error:
            self._refuse(HTTPStatus.INSUFFICIENT_STORAGE, str(error))
        except InputError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))

    def _asked(self) -> str | None:
        """What is asked for below the token; None when the request was refused: another page may have made it."""
        host, port = self.headers.get("Host", ""), self.server.server_port
        own = {f"{HOST}:{port}", f"localhost:{port}"}
        token, slash, asked = self.path.removeprefix("/").partition("/")
        if host not in own:  # a name of somebody else's that leads here (DNS rebinding)
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "this is another host's address")
        elif not hmac.compare_digest(token.encode(), self.server.token.encode()) or not slash:
            self._refuse(HTTPStatus.FORBIDDEN, "the address is not the one that was printed")
        elif asked and not self._is_own(host):
            self._refuse(HTTPStatus.FORBIDDEN, "another site asks")
        else:
            return asked
        return None

    def _is_own(self, host: str) -> bool:
        """Whether a browser, which says so, asks on behalf of this page; what else asks has the token."""
        site = self.headers.get("Sec-Fetch-Site", "same-origin")
        return self.headers.get("Origin", f"http://{host}") == f"http://{host}" and site == "same-origin"

    def _body(self) -> dict[str, Any] | None:
        """The JSON object that was sent; None when the request was refused."""
        length = self.headers.get("Content-Length", "")
        if self.headers.get_content_type() != "application/json":
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "JSON is expected")
        elif not re.fullmatch(r"\d{1,9}", length) or int(length) > BODY_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too much, or of no known length")
        else:
            try:
                body = parse_json(self.rfile.read(int(length)), keys_once=True)
                if isinstance(body, dict):
                    return body
            except ValueError:
                pass
            self._refuse(HTTPStatus.BAD_REQUEST, "a JSON object is expected")
        return None

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self.close_connection = True  # what was sent along has not been read
        self._tell(status, {"error": why})

    def _tell(self, status: HTTPStatus, content: Mapping[str, object]) -> None:
        self._send(status, json.dumps(content).encode(), "application/json", "default-src 'none'; frame-ancestors 'none'")

    def _send(self, status: HTTPStatus, content: bytes, kind: str, policy: str) -> None:
        self.send_response_only(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Content-Security-Policy": policy,
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a request's line holds the token."""


@cache
def _page() -> tuple[bytes, str]:
    """The page, and what it may do: run its own script and style, told by their digests, and ask this server; no more."""
    page = files("orchestrator.labelling").joinpath("page.html").read_bytes()
    script, style = (_digest(page, name) for name in (b"script", b"style"))
    policy = f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'"
    return page, f"{policy}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def _digest(page: bytes, name: bytes) -> str:
    found = re.findall(rb"<%s>(.*?)</%s>" % (name, name), page, flags=re.DOTALL)
    (content,) = found
    return f"'sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}'"
