"""`influxdb`, the client of InfluxDB 1: writes; what was written is read through SQL."""
import contextlib

from influxdb import InfluxDBClient
from influxdb.exceptions import InfluxDBClientError

import data
from expect import case, equal, refused
from flaky import forwarder


@contextlib.contextmanager
def connect(server, database, token=None, **options):
    client = InfluxDBClient(host=server.host, port=options.pop("port", server.port), username="any",
                            password=token or server.token, database=database, **options)
    client._session.trust_env = False
    with contextlib.closing(client):
        yield client


@case
def every_type_and_null(server):
    with connect(server, "v1_types") as client:
        client.create_database("v1_types")
        assert {"name": "v1_types"} in client.get_list_database()
        rows = data.typed_rows()
        for row in rows:
            # The client has no unsigned integers of its own; they go as lines below.
            fields = {name: value for name, value in row.items() if name in "fibs"}
            if fields:
                tags = {"place": row["place"]} if "place" in row else {}
                points = [{"measurement": "typed", "tags": tags, "time": row["time"], "fields": fields}]
                assert client.write_points(points, time_precision="n")
        unsigned = [row for row in rows if "u" in row]
        # These rows exist already with the other fields: the same key is the same row.
        place = data.PLACE.replace(",", "\\,").replace(" ", "\\ ").replace("=", "\\=")
        lines = [f"typed,place={place if row['place'] == data.PLACE else row['place']} u={row['u']}u {row['time']}"
                 for row in unsigned if "place" in row]
        lines += [f"typed u={row['u']}u {row['time']}" for row in unsigned if "place" not in row]
        assert client.write_points(lines, protocol="line", time_precision="n")
        equal(server.table("v1_types", "typed"), rows)
        return f"{len(rows)} rows"


@case
def unicode_names(server):
    with connect(server, "v1_names") as client:
        point = {"measurement": data.TABLE, "tags": {data.TAG: data.PLACE}, "time": data.START,
                 "fields": {data.FIELD: data.TEXT}}
        client.write_points([point], time_precision="n")
        want = [{data.TAG: data.PLACE, data.FIELD: data.TEXT, "time": data.START}]
        equal(server.table("v1_names", data.TABLE), want)
        return "a table, a tag and a field"


@case
def precisions(server):
    units = {"n": 1, "u": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
    with connect(server, "v1_precisions") as client:
        for unit, size in units.items():
            client.write_points([f"{unit} v=1 {data.START // size}"], protocol="line", time_precision=unit)
            want = [{"v": 1.0, "time": data.START // size * size}]
            equal(server.table("v1_precisions", unit), want, unit)
        return " ".join(units)


@case
def bad_lines_are_named_and_good_ones_kept(server):
    with connect(server, "v1_partial") as client:
        write = lambda: client.write_points(["cpu v=1 1", "cpu v=x 2", "cpu v=3 3"], protocol="line")
        error = refused(InfluxDBClientError, write, "partial write", "cpu v=x 2")
        equal(error.code, 400)
        equal([row["time"] for row in server.table("v1_partial", "cpu")], [1, 3])
        return f"{error.code}"


@case
def lost_answers_are_sent_again(server):
    with forwarder(server, ["lost", "pass"]) as flaky, connect(server, "v1_lost", port=flaky.port, retries=5) as client:
        for lines in data.large_batches(2_000, 500):
            client.write_points(lines, protocol="line")
        equal(flaky.did, {"pass": 4, "busy": 0, "lost": 4})
    equal(server.sql("v1_lost", data.LARGE_SUMS), data.large_sums(2_000))
    return "4 of 8 answers"


@case
def many_rows(server):
    with connect(server, "v1_large", gzip=True) as client:
        for lines in data.large_batches(server.rows):
            client.write_points(lines, protocol="line", batch_size=5_000)
    equal(server.sql("v1_large", data.LARGE_SUMS), data.large_sums(server.rows))
    return f"{server.rows} rows, gzip"


@case
def wrong_tokens_are_refused(server):
    if not server.needs_token:
        return "not asked: the server wants no token"
    with connect(server, "v1_denied", token="wrong" * 8) as client:
        error = refused(InfluxDBClientError, lambda: client.write_points(["cpu v=1 1"], protocol="line"))
        equal(error.code, 401)
    return "401"
