"""`influxdb3-python`, the client of InfluxDB 3: writes over HTTP, queries over Flight."""
import pyarrow as pa
from influxdb_client_3 import InfluxDBClient3, Point, WriteOptions, WriteType, write_client_options
from influxdb_client_3.exceptions import InfluxDB3ClientError, InfluxDBError, InfluxDBPartialWriteError

import data
from arrow_flight import LARGE, TYPED, decoded, large_table
from expect import case, equal, refused
from flaky import forwarder


def connect(server, database, token=None, precision="ns", older=False, **more):
    """A client that writes to /api/v3/write_lp, or to the older endpoint, which is its default."""
    options = WriteOptions(WriteType.synchronous, write_precision=precision, use_v2_api=older)
    return InfluxDBClient3(host=server.url, database=database, token=token or server.token,
                           write_client_options=write_client_options(write_options=options), **more)


def points(rows):
    for row in rows:
        tags = {"place": row["place"]} if "place" in row else {}
        fields = {name: value for name, value in row.items() if name not in ("place", "time")}
        record = {"measurement": "typed", "tags": tags, "fields": fields, "time": row["time"]}
        yield Point.from_dict(record, field_types={"u": "uint"})


@case
def every_type_and_null(server):
    rows = data.typed_rows()
    with connect(server, "v3_types") as client:
        client.write(list(points(rows)))
        table = client.query("SELECT * FROM typed ORDER BY time")
    equal(table.schema.remove_metadata(), pa.schema([pa.field(*field) for field in TYPED]))
    equal(decoded(table), rows)
    return f"{len(rows)} rows"


@case
def the_older_endpoint(server):
    rows = data.typed_rows()
    with connect(server, "v3_older", older=True) as client:
        client.write(list(points(rows)))
        equal(decoded(client.query("SELECT * FROM typed ORDER BY time")), rows)
    return "/api/v2/write"


@case
def unicode_names(server):
    with connect(server, "v3_names") as client:
        client.write(Point(data.TABLE).tag(data.TAG, data.PLACE).field(data.FIELD, data.TEXT).time(data.START))
        table = client.query(f'SELECT * FROM "{data.TABLE}"')
    equal(decoded(table), [{data.TAG: data.PLACE, data.FIELD: data.TEXT, "time": data.START}])
    return "a table, a tag and a field"


@case
def precisions(server):
    units = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}
    for unit, size in units.items():
        with connect(server, "v3_precisions", precision=unit) as client:
            client.write(f"{unit} v=1i {data.START // size}")
            got = decoded(client.query(f"SELECT * FROM {unit}"))
        equal(got, [{"v": 1, "time": data.START}], unit)
    return " ".join(units)


@case
def ways_to_read(server):
    with connect(server, "v3_ways") as client:
        client.write([f"cpu,host=h{at % 3} v={at}i {at}" for at in range(1000)])
        query = "SELECT v FROM cpu ORDER BY v"
        want = list(range(1000))
        equal(client.query(query)["v"].to_pylist(), want)
        reader = client.query(query, mode="reader")
        equal([v for batch in reader for v in batch["v"].to_pylist()], want)
        chunks = client.query(query, mode="chunk")
        equal([v for chunk in chunks for v in chunk.data["v"].to_pylist()], want)
        equal(client.query(query, mode="schema").field("v").type, pa.int64())
        some = client.query("SELECT v FROM cpu WHERE host = $host AND v < $below ORDER BY v",
                            query_parameters={"host": "h1", "below": 8})
        equal(some["v"].to_pylist(), [1, 4, 7])
    return "all, reader, chunk, schema, parameters"


@case
def gzip_may_be_off(server):
    with connect(server, "v3_plain", disable_grpc_compression=True) as client:
        client.write("cpu v=1i 1")
        equal(decoded(client.query("SELECT * FROM cpu")), [{"v": 1, "time": 1}])
    return "answers without compression"


@case
def bad_lines_are_named_and_good_ones_kept(server):
    with connect(server, "v3_partial") as client:
        write = lambda: client.write(["cpu v=1 1", "cpu v=x 2", "cpu v=3 3"])
        error = refused(InfluxDBPartialWriteError, write, "cpu v=x 2")
        equal([(line.line_number, line.original_line) for line in error.line_errors], [(2, "cpu v=x 2")])
        equal([row["time"] for row in decoded(client.query("SELECT * FROM cpu ORDER BY time"))], [1, 3])
    with connect(server, "v3_partial", older=True) as client:
        older = refused(InfluxDBError, lambda: client.write(["cpu v=1 1", "cpu v=x 2"]), "cpu v=x 2")
        equal(older.response.status, 422)
    return type(error).__name__


@case
def bad_queries_are_refused(server):
    with connect(server, "v3_bad") as client:
        client.write("cpu v=1i 1")
        errors = (InfluxDB3ClientError, pa.ArrowException)
        refused(errors, lambda: client.query("SELECT nothing FROM cpu"), "nothing")
        refused(errors, lambda: client.query("SELECT 1", database="v3_none"), "v3_none")
        refused(errors, lambda: client.query("SHOW TABLES", language="influxql"))
    return "SQL, database, language"


@case
def batches_are_tried_again(server):
    rows = min(server.rows, 20_000)
    options = WriteOptions(batch_size=2_500, flush_interval=200, retry_interval=50, max_retries=5,
                           max_retry_delay=1_000)
    failed = []
    with forwarder(server, ["pass", "busy", "lost", "pass"]) as flaky:
        writing = write_client_options(write_options=options, error_callback=lambda *what: failed.append(what))
        with InfluxDBClient3(host=flaky.url, database="v3_batches", token=server.token, enable_gzip=True,
                             write_client_options=writing) as client:
            for at in range(rows):
                client.write(data.large_line(at))
        equal(failed, [])
        assert flaky.did["busy"] > 0 and flaky.did["lost"] > 0, flaky.did
    equal(server.sql("v3_batches", data.LARGE_SUMS), data.large_sums(rows))
    return f"{rows} rows; {flaky.did}"


@case
def many_rows(server):
    with connect(server, "v3_large", enable_gzip=True) as client:
        for lines in data.large_batches(server.rows):
            client.write(lines)
        table = client.query("SELECT * FROM large ORDER BY time")
    want = large_table(server.rows)
    equal(table.schema.remove_metadata(), LARGE)
    assert table.replace_schema_metadata().cast(LARGE).equals(want), "not the rows that were written"
    return f"{server.rows} rows, gzip; the same over Flight"


@case
def wrong_tokens_are_refused(server):
    if not server.needs_token:
        return "not asked: the server wants no token"
    with connect(server, "v3_denied", token="wrong" * 8) as client:
        equal(refused(InfluxDBError, lambda: client.write("cpu v=1 1")).response.status, 401)
        refused((InfluxDB3ClientError, pa.flight.FlightUnauthenticatedError), lambda: client.query("SELECT 1"))
    return "401, UNAUTHENTICATED"
