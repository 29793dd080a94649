"""A server of the benchmark's own: started on a free port of loopback, asked, measured, stopped."""
import http.client
import json
import os
import re
import resource
import secrets
import signal
import subprocess
import time

import pyarrow as pa
from pyarrow import flight

DATABASE = "bench"
STOP_SECONDS = 600


class Server:
    """One run of the binary on a data directory. What it used is known while it runs, and for good once it ended."""

    def __init__(self, binary, directory, arguments=()):
        self.binary, self.directory, self.arguments = binary, directory, list(arguments)
        self.flight = None
        self.log = os.path.join(directory, "server.log")
        os.makedirs(directory, exist_ok=True)

    def __enter__(self):
        begun = time.perf_counter()
        command = [self.binary, "serve", "--listen", "127.0.0.1:0", "--without-auth", "--data-dir", self.directory]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command + self.arguments, stdout=subprocess.PIPE, stderr=log)
        # One line, or the end: the server says when it is ready.
        line = self.process.stdout.readline().decode()
        ready = re.match(r"ready .*listen=127\.0\.0\.1:(\d+)", line)
        if not ready:
            self.process.kill()
            self.process.wait()
            raise SystemExit(f"the server did not become ready: {line.strip()!r}; see {self.log}")
        self.port = int(ready[1])
        self.start_seconds = time.perf_counter() - begun
        return self

    def __exit__(self, *_):
        if self.process.returncode is None:
            self.stop()

    def stop(self):
        """Stops it as an operator does, which puts everything into Parquet. What that took, in seconds, and of CPU."""
        cpu, begun = self.cpu_seconds(), time.perf_counter()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise SystemExit(f"the server did not stop within {STOP_SECONDS} seconds; see {self.log}") from None
        # All that the child used in its life is added when it is waited for.
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        whole = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        self.process.stdout.close()
        return {"seconds": time.perf_counter() - begun, "cpu_seconds": max(0.0, whole - cpu)}

    def cpu_seconds(self):
        """CPU seconds of the process so far, its own and the system's for it."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            words = file.read().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mib(self):
        """The most memory that it had resident so far, in MiB."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(int(line.split()[1]) // 1024 for line in file if line.startswith("VmHWM"))

    @property
    def write_url(self):
        return f"http://127.0.0.1:{self.port}/api/v3/write_lp?db={DATABASE}&precision=nanosecond"

    def over_http(self, sql):
        """The answer to a query as a table, by HTTP as an Arrow stream."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        body = json.dumps({"db": DATABASE, "q": sql, "format": "arrow"})
        connection.request("POST", "/api/v3/query_sql", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{sql}: {answer.status} {content[:300]!r}")
        return pa.ipc.open_stream(content).read_all()

    def over_flight(self, sql, native=False, gzip=False):
        """The same by Flight, over a connection that is made once, as clients do."""
        if self.flight is None:
            self.flight = flight.connect(f"grpc+tcp://127.0.0.1:{self.port}")
        ticket = flight.Ticket(json.dumps({"database": DATABASE, "sql_query": sql}).encode())
        headers = [(b"ochre-native-types", b"true")] if native else []
        headers += [(b"ochre-accept-gzip", b"true")] if gzip else []
        return self.flight.do_get(ticket, flight.FlightCallOptions(headers=headers)).read_all()

    def stored(self):
        """Bytes on disk by kind. Of everything, only what is in Parquet stays."""
        sizes = {}
        for folder, _, files in os.walk(self.directory):
            for name in files:
                path = os.path.join(folder, name)
                parts = os.path.relpath(path, self.directory).split(os.sep)
                kind = "parquet" if name.endswith(".parquet") else parts[0]
                sizes[kind] = sizes.get(kind, 0) + os.stat(path).st_size
        sizes.pop("server.log", None)
        return sizes


def new_directory(parent, name):
    """A folder that nobody has used."""
    return os.path.join(parent, f"{name}-{secrets.token_hex(4)}")
