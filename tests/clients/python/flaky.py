"""A forwarder that now and then refuses a request, or loses the answer to one that was carried out."""
import contextlib
import http.client
import http.server
import threading


class Forwarder(http.server.ThreadingHTTPServer):
    """Counts what it did. `faults` is a pattern that is gone through again and again: pass, busy or lost."""

    daemon_threads = True

    def __init__(self, server, faults):
        self.upstream, self.faults = (server.host, server.port), faults
        self.lock, self.seen = threading.Lock(), 0
        self.did = {"pass": 0, "busy": 0, "lost": 0}
        super().__init__(("127.0.0.1", 0), Handler)

    def next_fault(self):
        with self.lock:
            fault = self.faults[self.seen % len(self.faults)]
            self.seen += 1
            self.did[fault] += 1
            return fault


class Handler(http.server.BaseHTTPRequestHandler):
    """Forwards POST."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fault = self.server.next_fault()
        if fault == "busy":
            return self.answer(503, {"Retry-After": "0"}, b'{"error":"busy"}')
        upstream = http.client.HTTPConnection(*self.server.upstream, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        upstream.request("POST", self.path, body, headers)
        answer = upstream.getresponse()
        content = answer.read()
        upstream.close()
        if fault == "lost":
            self.close_connection = True
            return None
        return self.answer(answer.status, {}, content)

    def answer(self, status, headers, content):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Says nothing."""


@contextlib.contextmanager
def forwarder(server, faults):
    """A forwarder to the server, with its URL in `url`."""
    with Forwarder(server, faults) as flaky:
        flaky.port = flaky.server_address[1]
        flaky.url = f"http://127.0.0.1:{flaky.port}"
        thread = threading.Thread(target=flaky.serve_forever, daemon=True)
        thread.start()
        try:
            yield flaky
        finally:
            flaky.shutdown()
            thread.join()
