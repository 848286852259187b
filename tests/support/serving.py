"""A web server for tests of downloads, which can ignore ranges and break off."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Served:
    """A running web server: its address, and the file and first byte of each request."""

    url: str
    asked: list[tuple[str, int]] = field(default_factory=list)


@contextmanager
def served(
    folder: Path, ranges: bool = True, breaks_after: int | None = None, kind: str = "application/x-tar"
) -> Iterator[Served]:
    """Serve the files of ``folder`` at http://127.0.0.1.

    Args:
        folder: the folder to serve.
        ranges: answer a request for a part of a file with that part.
        breaks_after: close every connection after this many bytes.
        kind: the content type given for every file.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    state = Served(f"http://127.0.0.1:{server.server_address[1]}")
    server.RequestHandlerClass = _handler(folder, ranges, breaks_after, kind, state.asked.append)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(
    folder: Path, ranges: bool, breaks_after: int | None, kind: str, asked: Callable[[tuple[str, int]], None]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked_range = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(asked_range[1]) if asked_range else 0
            asked((self.path[1:], start))
            path = folder / self.path[1:]
            if not path.is_file():
                self.send_error(404)
                return
            content = path.read_bytes()
            if ranges and start and start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return
            rest = content[start:] if ranges else content
            self.send_response(206 if ranges and start else 200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            self.wfile.write(rest[:breaks_after])

        def log_message(self, *_: object) -> None:
            pass

    return Handler
