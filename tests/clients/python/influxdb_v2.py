"""`influxdb-client`, the client of InfluxDB 2: writes, at once and in batches; read through SQL."""
from datetime import datetime, timezone

from influxdb_client import InfluxDBClient, Point, WriteOptions, WritePrecision
from influxdb_client.client.write.retry import WritesRetry
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

import data
from expect import case, equal, refused
from flaky import forwarder


def connect(server, url=None, token=None, **options):
    return InfluxDBClient(url=url or server.url, token=token or server.token, org="any", **options)


def point(row):
    """A row of `data.typed_rows` as this client writes it."""
    tags = {"place": row["place"]} if "place" in row else {}
    fields = {name: value for name, value in row.items() if name not in ("place", "time")}
    record = {"measurement": "typed", "tags": tags, "fields": fields, "time": row["time"]}
    return Point.from_dict(record, WritePrecision.NS, field_types={"u": "uint"})


@case
def every_type_and_null(server):
    rows = data.typed_rows()
    with connect(server) as client, client.write_api(SYNCHRONOUS) as api:
        api.write("v2_types", record=[point(row) for row in rows])
    equal(server.table("v2_types", "typed"), rows)
    return f"{len(rows)} rows"


@case
def unicode_names(server):
    with connect(server) as client, client.write_api(SYNCHRONOUS) as api:
        named = Point(data.TABLE).tag(data.TAG, data.PLACE).field(data.FIELD, data.TEXT).time(data.START)
        api.write("v2_names", record=named)
    want = [{data.TAG: data.PLACE, data.FIELD: data.TEXT, "time": data.START}]
    equal(server.table("v2_names", data.TABLE), want)
    return "a table, a tag and a field"


@case
def precisions(server):
    units = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}
    with connect(server) as client, client.write_api(SYNCHRONOUS) as api:
        for unit, size in units.items():
            at = datetime.fromtimestamp(data.SECOND, timezone.utc)
            api.write("v2_precisions", record=Point(unit).field("v", 1).time(at, unit), write_precision=unit)
            api.write("v2_precisions", record=f"{unit} v=2i {data.START // size + 1}", write_precision=unit)
            want = [{"v": 1, "time": data.START}, {"v": 2, "time": data.START + size}]
            equal(server.table("v2_precisions", unit), want, unit)
    return " ".join(units)


@case
def bad_lines_are_named_and_good_ones_kept(server):
    with connect(server) as client, client.write_api(SYNCHRONOUS) as api:
        write = lambda: api.write("v2_partial", record=["cpu v=1 1", "cpu v=x 2", "cpu v=3 3"])
        error = refused(ApiException, write, "cpu v=x 2")
        equal(error.status, 422)
    equal([row["time"] for row in server.table("v2_partial", "cpu")], [1, 3])
    return f"{error.status}"


@case
def a_synchronous_writer_tries_again(server):
    retries = WritesRetry(total=5, retry_interval=0.05, exponential_base=2, max_retry_delay=1,
                          allowed_methods=["POST"])
    with forwarder(server, ["busy", "lost", "pass"]) as flaky:
        with connect(server, flaky.url, retries=retries) as client, client.write_api(SYNCHRONOUS) as api:
            for lines in data.large_batches(2_000, 500):
                api.write("v2_sync_retries", record=lines)
        equal(flaky.did, {"pass": 4, "busy": 4, "lost": 4})
    equal(server.sql("v2_sync_retries", data.LARGE_SUMS), data.large_sums(2_000))
    return "8 of 12 requests failed"


@case
def batches_are_tried_again(server):
    rows = min(server.rows, 20_000)
    options = WriteOptions(batch_size=2_500, flush_interval=200, retry_interval=50, max_retries=5,
                           max_retry_delay=1_000)
    failed = []
    with forwarder(server, ["pass", "busy", "lost", "pass"]) as flaky:
        with connect(server, flaky.url, enable_gzip=True) as client:
            with client.write_api(options, error_callback=lambda *what: failed.append(what)) as api:
                for at in range(rows):
                    api.write("v2_batches", record=data.large_line(at))
        equal(failed, [])
        assert flaky.did["busy"] > 0 and flaky.did["lost"] > 0, flaky.did
    equal(server.sql("v2_batches", data.LARGE_SUMS), data.large_sums(rows))
    return f"{rows} rows; {flaky.did}"


@case
def many_rows(server):
    with connect(server, enable_gzip=True) as client, client.write_api(SYNCHRONOUS) as api:
        for lines in data.large_batches(server.rows):
            api.write("v2_large", record=lines)
    equal(server.sql("v2_large", data.LARGE_SUMS), data.large_sums(server.rows))
    return f"{server.rows} rows, gzip"


@case
def wrong_tokens_are_refused(server):
    if not server.needs_token:
        return "not asked: the server wants no token"
    with connect(server, token="wrong" * 8) as client, client.write_api(SYNCHRONOUS) as api:
        error = refused(ApiException, lambda: api.write("v2_denied", record="cpu v=1 1"))
        equal(error.status, 401)
    return "401"
