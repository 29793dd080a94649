"""The records of one run as tables for people."""
import queries


def table(title, header, rows):
    """Prints a Markdown table whose columns are aligned."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[at]) for row in cells) for at in range(len(header))]
    print(f"\n{title}\n")
    for at, row in enumerate(cells):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |")
        if at == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")


def show(found):
    """Everything that a run found, by phase."""
    limits = found["limits"]
    table("The machine", ["memcpy MiB/s", "disk MiB/s", "fdatasync p50 / p99 ms", "loopback MiB/s"],
          [[limits["memcpy_mib_s"], limits["disk_mib_s"],
            f"{limits['fdatasync_p50_ms']} / {limits['fdatasync_p99_ms']}", limits["loopback_mib_s"]]])
    _ingest(found)
    _rest(found)
    _queries(found)
    _bulk(found)


def _ingest(found):
    rows = []
    for way in ("http", "flight"):
        if f"ingest_{way}" not in found:
            continue
        ingest, settled = found[f"ingest_{way}"], found[f"settle_{way}"]
        rows.append([way, f"{ingest['rows_per_s']:,}", f"{ingest['mb_per_s']:.0f}", f"{ingest['rows_per_cpu_s']:,}",
                     f"{settled['rows_per_cpu_s_settled']:,}", f"{ingest['p50_ms']:.1f} / {ingest['p99_ms']:.1f}",
                     f"{ingest['p50_ms'] / found['limits']['fdatasync_p50_ms']:.0f}", ingest["peak_mib"]])
    table("Ingest", ["way", "rows/s", "MB/s", "rows per CPU s", "until in Parquet", "p50 / p99 ms", "p50 in fdatasyncs",
                     "peak MiB"], rows)


def _rest(found):
    rows = []
    sent = found["ingest_http"]["bytes"] / found["ingest_http"]["lines"]
    for way in ("http", "flight"):
        if f"settle_{way}" in found:
            size = found[f"settle_{way}"]["parquet_bytes_per_row"]
            by_duck = found["duckdb"]["bytes_per_row"]
            rows.append([way, f"{size:.2f}", f"{by_duck:.2f}", f"{size / by_duck:.2f}", f"{sent / size:.0f}"])
    table("Bytes a row at rest", ["written over", "Parquet", "rewritten by DuckDB (zstd)", "ratio",
                                  "times smaller than line protocol"], rows)


def _queries(found):
    rows = []
    for query in queries.QUERIES:
        phases = ("buffered", "persisted", "duckdb")
        buffered, persisted, duck = (found[phase]["queries"][query.name] for phase in phases)
        rows.append([query.name, _time(buffered), _time(persisted), _time(duck), _ratio(buffered, persisted),
                     _ratio(persisted, duck), persisted["rows"]])
    table("Queries: median (p95) ms; the answers are the same",
          ["query", "buffered", "persisted", "DuckDB", "buffered / persisted", "persisted / DuckDB", "rows"], rows)


def _time(query):
    return f"{query['median_ms']:.1f} ({query['p95_ms']:.1f})"


def _ratio(one, other):
    return f"{one['median_ms'] / max(other['median_ms'], 0.001):.2f}"


def _bulk(found):
    rows = []
    for name, bulk in found["bulk"].items():
        against = bulk["mb_per_s"] * 1e6 / (1 << 20) / found["limits"]["loopback_mib_s"]
        rows.append([name, f"{bulk['rows_per_s']:,}", f"{bulk['mb_per_s']:.0f}", f"{against:.2f}",
                     f"{bulk['arrow_bytes'] / bulk['rows']:.0f}"])
    table("Everything out", ["way", "rows/s", "MB/s of Arrow", "share of loopback", "bytes a row"], rows)
