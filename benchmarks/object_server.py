"""A small S3 server on loopback whose every answer takes a given time: ``python -m benchmarks.object_server SECONDS``.

It keeps its objects in memory and knows what a results folder needs: put, get, head, list, delete. It checks no key, and is
meant to be measured against, not to be right in corners. It prints its port.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

MISSING = b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>"


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    delay = 0.0
    objects: dict[str, bytes]

    def do_PUT(self) -> None:
        """Keep an object, decoded from what the SDK wraps around it."""
        body = b"".join(self._chunks()) if "chunked" in self.headers.get("Transfer-Encoding", "") else self._body()
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            body = b"".join(_unwrapped(body))
        self.objects[unquote(urlsplit(self.path).path)] = body
        self._answer(200, b"", ETag='"0"')

    def do_GET(self) -> None:
        """An object, or a listing."""
        found = urlsplit(self.path)
        query = parse_qs(found.query, keep_blank_values=True)
        if "list-type" in query:
            self._answer(200, self._listing(query.get("prefix", [""])[0], query.get("delimiter", [""])[0]))
            return
        body = self.objects.get(unquote(found.path))
        self._answer(404, MISSING) if body is None else self._answer(200, body, ETag='"0"')

    do_HEAD = do_GET

    def do_DELETE(self) -> None:
        """Forget an object."""
        self.objects.pop(unquote(urlsplit(self.path).path), None)
        self._answer(204, b"")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _listing(self, prefix: str, delimiter: str) -> bytes:
        bucket = unquote(urlsplit(self.path).path).strip("/")
        keys = [key.removeprefix(f"/{bucket}/") for key in list(self.objects) if key.startswith(f"/{bucket}/{prefix}")]
        inside = [key for key in keys if not delimiter or delimiter not in key.removeprefix(prefix)]
        folders = {prefix + key.removeprefix(prefix).split(delimiter)[0] + delimiter for key in set(keys) - set(inside)}
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{now}</LastModified><ETag>&quot;0&quot;</ETag>"
            f"<Size>{len(self.objects[f'/{bucket}/{key}'])}</Size></Contents>"
            for key in sorted(inside)
        )
        prefixes = "".join(f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>" for one in sorted(folders))
        head = f"<Name>{bucket}</Name><KeyCount>{len(inside) + len(folders)}</KeyCount><IsTruncated>false</IsTruncated>"
        return f"<ListBucketResult>{head}{contents}{prefixes}</ListBucketResult>".encode()

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        time.sleep(self.delay)
        self.send_response_only(status)
        self.send_header("Last-Modified", formatdate(usegmt=True))
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _unwrapped(body: bytes) -> Iterator[bytes]:
    while body:
        head, _, rest = body.partition(b"\r\n")
        size = int(head.split(b";")[0] or b"0", 16)
        if size == 0:
            return
        yield rest[:size]
        body = rest[size + 2 :]


def main(delay: float) -> None:
    """Serve until killed."""
    Handler.delay, Handler.objects = delay, {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(float(sys.argv[1]))
