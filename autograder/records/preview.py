"""`publish --serve`: the built site on a loopback address, for the person who publishes it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from autograder.errors import CourseError

HOST = "127.0.0.1"


class _Handler(SimpleHTTPRequestHandler):
    """Files of one folder, quietly, and never from the browser's cache: the next publish shall be seen at once."""

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *_arguments: object) -> None:
        return


@dataclass(frozen=True)
class Preview:
    """A running preview; `url` of its first page."""

    url: str
    thread: threading.Thread

    def wait(self) -> None:
        """Return on Ctrl-C."""
        with contextlib.suppress(KeyboardInterrupt):
            self.thread.join()


@contextlib.contextmanager
def preview(folder: Path, port: int) -> Iterator[Preview]:
    """Serve `folder` while the context lasts; port 0 takes any free one.

    The folder is looked up anew for each request, so a site that is published meanwhile is shown at once.

    Raises:
        CourseError: the port is taken or not allowed.
    """
    handler = partial(_Handler, directory=str(folder))
    try:
        server = ThreadingHTTPServer((HOST, port), handler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CourseError(f"no preview on port {port}: {reason}; give another --port") from None
    thread = threading.Thread(target=server.serve_forever, name="preview", daemon=True)
    thread.start()
    try:
        yield Preview(f"http://{HOST}:{server.server_address[1]}/", thread)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
