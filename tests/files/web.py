"""A web server on 127.0.0.1 that misbehaves as it is told."""

import contextlib
import http.server
import threading
import time


class Site:
    """What a server has, and how it behaves.

    Attributes:
        files: by path, such as /a/b.tar.
        cut_after: bytes of a body after which the connection is cut; 0: never.
        cuts: how many times it still does so.
        ranges: whether it gives parts of files.
        conditions: whether it looks at If-Range.
        most: bytes of a part that it gives at most, whatever is asked; 0: all.
        codes: by path, codes that are answered first, one each time.
        wrong: by path, how many answers still have wrong bytes.
        delay: seconds before each block of 10,000 bytes.
        asked: (path, Range header) of every request.
    """

    def __init__(self, files):
        self.files = dict(files)
        self.cut_after, self.cuts = 0, 0
        self.ranges = self.conditions = True
        self.most = 0
        self.codes, self.wrong = {}, {}
        self.delay = 0.0
        self.asked = []
        self.url = ""
        self._versions = {}
        self.lock = threading.Lock()

    def etag(self, path):
        return f'"{hash(self.files[path])}"'


def handler(site):
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            wanted = self.headers.get("Range")
            with site.lock:
                site.asked.append((self.path, wanted))
                codes = site.codes.get(self.path)
                code = codes.pop(0) if codes else 200
                if self.path not in site.files and code == 200:
                    code = 404
                wrong = site.wrong.get(self.path, 0) > 0
                if wrong:
                    site.wrong[self.path] -= 1
            if code != 200:
                self.send_error(code)
                return
            body, start = site.files[self.path], 0
            end = len(body)
            same = self.headers.get("If-Range") in (None, site.etag(self.path))
            same = same or not site.conditions
            if wanted and site.ranges and same:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                if start >= len(body):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(body)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                end = min(end, start + site.most) if site.most else end
                self.send_response(206)
                self.send_header(
                    "Content-Range", f"bytes {start}-{end - 1}/{len(body)}"
                )
            else:
                self.send_response(200)
            self.send_header("ETag", site.etag(self.path))
            self.send_header("Content-Length", str(end - start))
            self.end_headers()
            if wrong:
                body = bytes(len(body))
            self._send(body[start:end])

        def _send(self, body):
            with site.lock:
                cut = site.cuts > 0 and len(body) > site.cut_after > 0
                site.cuts -= cut
            body = body[: site.cut_after] if cut else body
            with contextlib.suppress(ConnectionError):
                for i in range(0, len(body), 10_000):
                    time.sleep(site.delay)
                    self.wfile.write(body[i : i + 10_000])
            if cut:
                self.close_connection = True

    return Handler


@contextlib.contextmanager
def served(files):
    """Serves files, by path, on a free port of 127.0.0.1."""
    site = Site(files)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(site))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
