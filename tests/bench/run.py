#!/usr/bin/env python3
"""Measures a server: rows in over HTTP and Flight, bytes at rest, nine queries beside DuckDB, everything out.

Prints tables, and appends one JSON line a phase to --out. See docs/benchmarks.md.
"""
import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time

import duckdb
import pyarrow as pa

import limits
import phases
import queries
import report
from server import Server, new_directory

HOSTS_OF_A_SCALE = 100


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ochre", required=True, help="the binary to measure")
    parser.add_argument("--loader", required=True, help="the program that makes and sends rows")
    parser.add_argument("--scale", type=float, default=1, help="hundreds of hosts (default 1: 468,000 rows; TSBS: 5)")
    parser.add_argument("--hours", type=int, default=13, help="of data, a row a host and ten seconds (default 13)")
    parser.add_argument("--floats", action="store_true", help="fields with four decimals instead of integers")
    parser.add_argument("--runs", type=int, default=20, help="parameter sets of each query (default 20)")
    parser.add_argument("--batch", type=int, default=10_000, help="rows of a request or record batch (default 10,000)")
    parser.add_argument("--connections", type=int, default=4, help="that write at once (default 4)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of DuckDB (default: all cores)")
    parser.add_argument("--http-only", action="store_true", help="leave Flight out, also for queries")
    parser.add_argument("--serve-option", action="append", default=[], metavar="OPTION",
                        help="for the server, such as --serve-option=--memory=4GiB; can be repeated")
    parser.add_argument("--dir", help="where its data goes (default: a folder of its own, removed at the end)")
    parser.add_argument("--out", default="target/bench/results.jsonl", help="JSON lines (default %(default)s)")
    parser.add_argument("--note", default="", help="stands in every record")
    setup = parser.parse_args()
    setup.hosts, setup.seconds = max(8, round(setup.scale * HOSTS_OF_A_SCALE)), setup.hours * 3600
    if setup.hours < 12:
        parser.error("the queries span 12 hours: --hours 12 or more")
    return setup


def machine():
    """What the figures were measured on."""
    with open("/proc/cpuinfo") as file:
        models = (line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
        model = next(models, platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpu": model, "cores": os.cpu_count(), "memory_gib": round(memory / (1 << 30), 1),
            "kernel": platform.release()}


def commit():
    """The commit of the checkout, marked if something was changed since."""
    said = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True)
    return said.stdout.strip() or "unknown"


class Records:
    """Writes each phase's record down as soon as there is one, and keeps it for the tables."""

    def __init__(self, setup):
        kept = ("hosts", "hours", "floats", "runs", "batch", "connections", "threads", "http_only", "serve_option",
                "note")
        settings = {name: getattr(setup, name) for name in kept}
        self.about = {"commit": commit(), "machine": machine(), "settings": settings,
                      "versions": {"duckdb": duckdb.__version__, "pyarrow": pa.__version__}}
        self.found = {}
        os.makedirs(os.path.dirname(os.path.abspath(setup.out)), exist_ok=True)
        self.file = open(setup.out, "a")

    def add(self, phase, record):
        self.found[phase] = record
        line = {"phase": phase, "at": int(time.time()), "load_average": os.getloadavg()[0], **record, **self.about}
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
        return record


def say(what):
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


def measure(setup, records):
    say("what the machine does at best")
    records.add("limits", limits.measure(setup.directory))
    say(f"making rows of {setup.hosts} hosts")
    path = phases.generate(setup)
    directory = new_directory(setup.directory, "http")
    buffered = written_over_http(setup, records, directory, path)
    os.unlink(path)
    say("DuckDB over the same Parquet")
    duck, files = phases.duck(setup, directory)
    rows = records.found["ingest_http"]["lines"]
    asked, by_duck = phases.ask(setup, queries.DUCKDB, lambda sql: duck.sql(sql).to_arrow_table())
    records.add("duckdb", {"queries": asked, "files": files, "bytes_per_row": phases.duck_rewrite(setup, duck, rows)})
    phases.compare(by_duck, buffered)
    table = persisted(setup, records, directory, by_duck)
    if not setup.http_only:
        written_over_flight(setup, records, table)


def asking(setup, server):
    return server.over_http if setup.http_only else server.over_flight


def written_over_http(setup, records, directory, path):
    """Writes, asks what is still in memory, and stops."""
    say("line protocol over HTTP")
    with Server(setup.ochre, directory, setup.serve_option) as server:
        ingest = records.add("ingest_http", phases.ingest_http(setup, server, path))
        say("queries over what is in memory")
        asked, answers = phases.ask(setup, queries.OCHRE, asking(setup, server))
        records.add("buffered", {"queries": asked, "chunks": stages(server)})
        say("persisting everything")
        records.add("settle_http", phases.settle(server, ingest))
    return answers


def persisted(setup, records, directory, by_duck):
    """Asks again, now that everything is in Parquet; returns all rows."""
    say("queries over Parquet")
    with Server(setup.ochre, directory, setup.serve_option) as server:
        asked, answers = phases.ask(setup, queries.OCHRE, asking(setup, server))
        records.add("persisted", {"queries": asked, "chunks": stages(server), "peak_mib": server.peak_mib(),
                                  "start_seconds": round(server.start_seconds, 3)})
        phases.compare(by_duck, answers)
        say("everything out")
        everything = "SELECT * FROM cpu"
        bulk = {}
        bulk["HTTP, Arrow stream"], table = phases.bulk_out(lambda: server.over_http(everything))
        if not setup.http_only:
            bulk["Flight, gzip"], table = phases.bulk_out(lambda: server.over_flight(everything, gzip=True))
            flat = lambda native: server.over_flight(everything, native)
            bulk["Flight"], _ = phases.bulk_out(lambda: flat(native=False))
            bulk["Flight, native types"], _ = phases.bulk_out(lambda: flat(native=True))
        records.add("bulk", bulk)
    return table


def written_over_flight(setup, records, table):
    """The same rows in the order of time, as they come over HTTP, into a server of their own."""
    say("Arrow batches over Flight")
    table = table.replace_schema_metadata().sort_by([("time", "ascending"), ("hostname", "ascending")])
    with Server(setup.ochre, new_directory(setup.directory, "flight"), setup.serve_option) as server:
        ingest = records.add("ingest_flight", phases.ingest_flight(setup, server, table))
        records.add("settle_flight", phases.settle(server, ingest))


def stages(server):
    """How many chunks there are of each stage: what was really measured."""
    counted = server.over_http("SELECT stage, count(*) AS n FROM system.chunks GROUP BY stage ORDER BY stage")
    return dict(zip(counted["stage"].to_pylist(), counted["n"].to_pylist()))


def main():
    setup = options()
    setup.ochre, setup.loader = os.path.abspath(setup.ochre), os.path.abspath(setup.loader)
    if not sys.platform.startswith("linux"):
        sys.exit("a server's CPU and memory are read from /proc: this runs on Linux only")
    setup.directory = os.path.abspath(setup.dir) if setup.dir else tempfile.mkdtemp(prefix="ochre-bench-", dir="target")
    os.makedirs(setup.directory, exist_ok=True)
    records = Records(setup)
    try:
        measure(setup, records)
    finally:
        if not setup.dir:
            shutil.rmtree(setup.directory)
    report.show(records.found)
    print(f"\nThe records are in {setup.out}; commit {records.about['commit']}, load average {os.getloadavg()[0]:.1f}.")


if __name__ == "__main__":
    main()
