"""What is measured, one thing after the other. Each phase returns a record of plain numbers."""
import glob
import json
import os
import statistics
import subprocess
import threading
import time

import duckdb
import pyarrow as pa
from pyarrow import flight

import answers
import queries
import server as servers

# Of the rows' tags, as Flight must be told.
TAGS = "hostname,region,datacenter,rack,os,arch,team,service,service_version,service_environment"
MB = 1e6


def generate(setup):
    """The rows as a file of line protocol."""
    path = os.path.join(setup.directory, "rows.lp")
    with open(path, "wb") as file:
        words = ["generate", "--hosts", setup.hosts, "--seconds", setup.seconds, "--floats", int(setup.floats)]
        subprocess.run([setup.loader, *map(str, words)], stdout=file, check=True)
    return path


def ingest_http(setup, server, path):
    """Line protocol over HTTP. `settled` counts what it takes until all is in Parquet, which stopping does."""
    cpu = server.cpu_seconds()
    words = ["send", "--url", server.write_url, "--file", path, "--batch", setup.batch, "--connections",
             setup.connections]
    sent = json.loads(subprocess.run([setup.loader, *map(str, words)], stdout=subprocess.PIPE, check=True).stdout)
    if sent["given_up"]:
        raise SystemExit(f"{sent['given_up']} batches were refused: {sent['first_error']}")
    return {**sent, **_rates(sent["lines"], sent["bytes"], sent["seconds"], server.cpu_seconds() - cpu),
            "peak_mib": server.peak_mib()}


def ingest_flight(setup, server, table):
    """The same rows by DoPut, each batch acknowledged before the next of its connection."""
    batches = table.combine_chunks().to_batches(setup.batch)
    lock, latencies, acknowledged, failed = threading.Lock(), [], [], []
    waiting = iter(batches)
    headers = flight.FlightCallOptions(headers=[(b"ochre-tags", TAGS.encode()), (b"ochre-time", b"time")])
    path = flight.FlightDescriptor.for_path(servers.DATABASE, "cpu")

    def work():
        try:
            with flight.connect(f"grpc+tcp://127.0.0.1:{server.port}") as client:
                writer, acks = client.do_put(path, table.schema, headers)
                with writer:
                    while True:
                        with lock:
                            batch = next(waiting, None)
                        if batch is None:
                            break
                        begun = time.perf_counter()
                        writer.write_batch(batch)
                        said = json.loads(acks.read().to_pybytes())
                        with lock:
                            latencies.append((time.perf_counter() - begun) * 1e3)
                            acknowledged.append(said["rows"])
                    writer.done_writing()
        except (pa.ArrowException, flight.FlightError, OSError) as error:
            failed.append(error)

    cpu, begun = server.cpu_seconds(), time.perf_counter()
    threads = [threading.Thread(target=work) for _ in range(setup.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begun
    if failed or sum(acknowledged) != table.num_rows:
        raise SystemExit(f"{sum(acknowledged)} of {table.num_rows} rows were acknowledged: {failed[:1]}")
    latencies.sort()
    return {"lines": table.num_rows, "bytes": table.nbytes, "batches": len(batches), "connections": setup.connections,
            "seconds": round(seconds, 4), **_rates(table.num_rows, table.nbytes, seconds, server.cpu_seconds() - cpu),
            "p50_ms": statistics.median(latencies), "p99_ms": latencies[int(len(latencies) * 0.99)],
            "max_ms": latencies[-1], "peak_mib": server.peak_mib()}


def settle(server, ingest):
    """Stops the server, which persists everything; what all of it took, and what lies on disk then."""
    stop = server.stop()
    cpu = ingest["cpu_seconds"] + stop["cpu_seconds"]
    stored = server.stored()
    return {"seconds": round(stop["seconds"], 3), "cpu_seconds": round(stop["cpu_seconds"], 3),
            "rows_per_cpu_s_settled": round(ingest["lines"] / cpu), "bytes_by_kind": stored,
            "parquet_bytes_per_row": round(stored.get("parquet", 0) / ingest["lines"], 3)}


def ask(setup, dialect, run_sql):
    """Each query with its sets of parameters; milliseconds, and the answer of the last run."""
    found, last = {}, {}
    for query in queries.QUERIES:
        times = []
        for run in range(setup.runs + 1):
            sql = queries.render(query, run, setup.hosts, setup.seconds, dialect)
            begun = time.perf_counter()
            last[query.name] = run_sql(sql)
            times.append((time.perf_counter() - begun) * 1e3)
        # The first run also pays for what later ones find in caches.
        later = sorted(times[1:])
        found[query.name] = {"first_ms": round(times[0], 3), "median_ms": round(statistics.median(later), 3),
                             "p95_ms": round(later[min(len(later) - 1, int(len(later) * 0.95))], 3),
                             "rows": last[query.name].num_rows}
    return found, last


def bulk_out(read):
    """Everything into memory as Arrow, once to warm up and three times to measure: the best, and the rows."""
    best, table = None, None
    for _ in range(4):
        begun = time.perf_counter()
        table = read()
        took = time.perf_counter() - begun
        best = took if best is None else min(best, took)
    size = table.nbytes
    return {"rows": table.num_rows, "arrow_bytes": size, "seconds": round(best, 4),
            "rows_per_s": round(table.num_rows / best), "mb_per_s": round(size / MB / best, 1)}, table


def duck(setup, directory):
    """DuckDB over the Parquet files that the server left, as a connection with the table `cpu`."""
    files = glob.glob(os.path.join(directory, "objects", "**", "*.parquet"), recursive=True)
    if not files:
        raise SystemExit(f"there is no Parquet below {directory}")
    connection = duckdb.connect(config={"threads": setup.threads})
    columns = [row[0] for row in connection.execute("DESCRIBE SELECT * FROM read_parquet($1)", [files]).fetchall()]
    # Rows that were written once need no folding, so the stamp that it would go by is left out.
    kept = ", ".join(f'"{name}"' for name in columns if not name.startswith("_"))
    listed = ", ".join(f"'{path}'" for path in files)
    connection.execute(f"CREATE VIEW cpu AS SELECT {kept} FROM read_parquet([{listed}])")
    return connection, len(files)


def duck_rewrite(setup, connection, rows):
    """Bytes a row if DuckDB writes the same rows, in the same order, as one zstd Parquet file."""
    path = os.path.join(setup.directory, "duckdb.parquet")
    ordered = "SELECT * FROM cpu ORDER BY hostname, time"
    connection.execute(f"COPY ({ordered}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
    return round(os.path.getsize(path) / rows, 3)


def compare(one, other):
    """Fails unless two databases gave the same answers."""
    for name in one:
        where = answers.difference(one[name], other[name])
        if where:
            raise SystemExit(f"the answers to {name} differ: {where}")


def _rates(rows, size, seconds, cpu):
    return {"cpu_seconds": round(cpu, 3), "rows_per_s": round(rows / seconds),
            "rows_per_cpu_s": round(rows / max(cpu, 0.01)), "mb_per_s": round(size / MB / seconds, 1)}
