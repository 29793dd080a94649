"""`pyarrow.flight`: batches in by DoPut, answers out by DoGet."""
import json

import pyarrow as pa
from pyarrow import flight

import data
from expect import case, equal, refused

NANOSECONDS = pa.timestamp("ns")
# The columns of a table with a value of every type, as they are on the wire unless native types are asked for.
TYPED = [("b", pa.bool_()), ("f", pa.float64()), ("i", pa.int64()), ("place", pa.string()), ("s", pa.string()),
         ("time", NANOSECONDS, False), ("u", pa.uint64())]
KINDS = {"b": "field::boolean", "f": "field::float", "i": "field::integer", "place": "tag", "s": "field::string",
         "time": "timestamp", "u": "field::uinteger"}
LARGE = pa.schema([("host", pa.string()), ("n", pa.int64()), ("s", pa.string()),
                   pa.field("time", NANOSECONDS, nullable=False), ("x", pa.float64())])
# A role that field metadata gives to a column, under this key and with this before it.
ROLE, ROLES = b"iox::column::type", "iox::column_type::"
PUT_ROWS = 8_192


def connect(server, token=None):
    """A client, and the options of its calls, to which headers can be given."""
    secret = token or server.token
    client = flight.connect(server.flight_url)

    def options(**headers):
        pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        return flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {secret}".encode()), *pairs])

    return client, options


def ticket(database, sql, **more):
    return flight.Ticket(json.dumps({"database": database, "sql_query": sql, **more}).encode())


def ask(server, database, sql, **headers):
    """The whole answer to a query."""
    client, options = connect(server)
    with client:
        return client.do_get(ticket(database, sql), options(**headers)).read_all()


def put(server, path, batches, **headers):
    """Sends batches, one after the other, and returns the acknowledgement of each."""
    client, options = connect(server)
    with client:
        writer, acks = client.do_put(flight.FlightDescriptor.for_path(*path), batches[0].schema, options(**headers))
        said = []
        with writer:
            for batch in batches:
                writer.write_batch(batch)
                said.append(json.loads(acks.read().to_pybytes()))
            writer.done_writing()
        return said


def decoded(table):
    """The rows of a table as `data.typed_rows` has them: no nulls, and the time in nanoseconds."""
    at = table.schema.get_field_index("time")
    table = table.set_column(at, "time", table["time"].cast(pa.int64()))
    return [{name: value for name, value in row.items() if value is not None} for row in table.to_pylist()]


def large_table(rows):
    """The large table of `data` as Arrow."""
    at = range(rows)
    columns = [[data.large_host(n) for n in at], list(at), [f"row {n}" for n in at],
               [data.START + n * 1_000_000 for n in at], [n * 0.5 for n in at]]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, LARGE)]
    return pa.table(arrays, schema=LARGE)


def typed_batch(fields):
    """The typed rows as a batch whose columns have these types."""
    rows = data.typed_rows()
    arrays = [pa.array([row.get(field.name) for row in rows], field.type) for field in fields]
    return pa.record_batch(arrays, schema=pa.schema(fields))


@case
def put_with_roles_in_metadata(server):
    fields = [pa.field(name, kind, metadata={ROLE: ROLES + KINDS[name]}) for name, kind, *_ in TYPED]
    acks = put(server, ["put_types", "typed"], [typed_batch(fields)])
    equal(acks, [{"rows": len(data.typed_rows()), "durable": True}])
    equal(server.table("put_types", "typed"), data.typed_rows())
    return f"{acks[0]['rows']} rows of every type"


@case
def put_with_roles_in_headers(server):
    fields = [pa.field("at" if name == "time" else name, kind) for name, kind, *_ in TYPED]
    batch = typed_batch([pa.field(name, kind) for name, kind, *_ in TYPED]).rename_columns([f.name for f in fields])
    put(server, ["put_headers", "typed"], [batch], ochre_tags="place", ochre_time="at")
    equal(server.table("put_headers", "typed"), data.typed_rows())
    # The path may leave the database to a header.
    put(server, ["typed"], [batch], ochre_tags="place", ochre_time="at", database="put_headers_too")
    equal(server.table("put_headers_too", "typed"), data.typed_rows())
    kinds = server.sql("put_headers", "SELECT \"column\", kind FROM system.columns ORDER BY \"column\"")
    equal([row["kind"] for row in kinds if row["column"] == "place"], ["tag"])
    return "ochre-tags, ochre-time, database"


@case
def put_by_convention(server):
    """The column `time` is the time, dictionaries are tags; types that are narrower or wider are taken as well."""
    batch = pa.record_batch({
        "host": pa.array(["a", None, "é漢"]).dictionary_encode(),
        "small": pa.array([1, None, -128], pa.int8()),
        "unsigned": pa.array([1, None, 65535], pa.uint16()),
        "single": pa.array([0.5, None, -2.0], pa.float32()),
        "wide": pa.array(["x", "", data.TEXT], pa.large_string()),
        "view": pa.array(["y", None, data.TEXT], pa.string_view()),
        "time": pa.array([1, 2, 3], pa.timestamp("ms", tz="Europe/Berlin")),
    })
    put(server, ["put_convention", "t"], [batch])
    want = [
        {"host": "a", "small": 1, "unsigned": 1, "single": 0.5, "wide": "x", "view": "y", "time": 1_000_000},
        {"wide": "", "time": 2_000_000},
        {"host": "é漢", "small": -128, "unsigned": 65535, "single": -2.0, "wide": data.TEXT, "view": data.TEXT,
         "time": 3_000_000},
    ]
    equal(server.table("put_convention", "t"), want)
    return "dictionaries, narrow numbers, large and view strings, milliseconds with a zone"


@case
def unicode_names(server):
    batch = pa.record_batch({data.TAG: pa.array([data.PLACE]).dictionary_encode(), data.FIELD: [data.TEXT],
                             "time": pa.array([data.START], NANOSECONDS)})
    put(server, ["put_names", data.TABLE], [batch])
    want = [{data.TAG: data.PLACE, data.FIELD: data.TEXT, "time": data.START}]
    equal(server.table("put_names", data.TABLE), want)
    equal(decoded(ask(server, "put_names", f'SELECT * FROM "{data.TABLE}"')), want)
    return "a table, a tag and a field"


@case
def plain_and_native_types_and_metadata(server):
    fields = [pa.field(name, kind, metadata={ROLE: ROLES + KINDS[name]}) for name, kind, *_ in TYPED]
    put(server, ["get_types", "typed"], [typed_batch(fields)])
    table = ask(server, "get_types", "SELECT *, f * 2 AS twice FROM typed ORDER BY time")
    types = [column[:2] for column in TYPED] + [("twice", pa.float64())]
    equal([(field.name, field.type) for field in table.schema], types)
    kinds = {field.name: (field.metadata or {}).get(ROLE, b"").decode() for field in table.schema}
    equal(kinds, {name: ROLES + kind for name, kind in KINDS.items()} | {"twice": ""})
    equal(decoded(table.drop_columns("twice")), data.typed_rows())
    native = ask(server, "get_types", "SELECT * FROM typed ORDER BY time", ochre_native_types="true")
    assert pa.types.is_dictionary(native.schema.field("place").type), native.schema
    equal(decoded(native), data.typed_rows())
    return "every type both ways"


@case
def tickets(server):
    put(server, ["get_tickets", "t"], [pa.record_batch({"v": [1, 2], "time": pa.array([1, 2], NANOSECONDS)})])
    client, options = connect(server)
    with client:
        read = lambda bytes_: client.do_get(flight.Ticket(bytes_), options()).read_all()["v"].to_pylist()
        for name in ("database", "namespace_name", "bucket", "bucket-name"):
            asked = {name: "get_tickets", "sql_query": "SELECT v FROM t ORDER BY v"}
            equal(read(json.dumps(asked).encode()), [1, 2], name)
        parameters = ticket("get_tickets", "SELECT v FROM t WHERE v > $low", params={"low": 1}, query_type="sql")
        equal(read(parameters.ticket), [2])
        errors = (pa.ArrowException, flight.FlightError)
        refused(errors, lambda: read(b"{}"))
        refused(errors, lambda: read(b"not a ticket"))
        refused(errors, lambda: read(ticket("get_none", "SELECT 1").ticket), "get_none")
        refused(errors, lambda: read(ticket("get_tickets", "SELECT w FROM t").ticket), "w")
        refused(errors, lambda: read(ticket("get_tickets", "SHOW TABLES", query_type="influxql").ticket))
    return "four names of the database, parameters, five errors"


@case
def batches_that_disagree_are_refused_whole(server):
    first = pa.record_batch({"v": [1.5], "time": pa.array([1], NANOSECONDS)})
    put(server, ["put_refused", "t"], [first])
    errors = (pa.ArrowException, flight.FlightError)
    text = pa.record_batch({"v": ["x"], "time": pa.array([2], NANOSECONDS)})
    refused(errors, lambda: put(server, ["put_refused", "t"], [text]), "v")
    timeless = pa.record_batch({"v": [1.5, 2.5], "time": pa.array([3, None], NANOSECONDS)})
    refused(errors, lambda: put(server, ["put_refused", "t"], [timeless]), "time")
    lists = pa.record_batch({"v": [[1.5]], "time": pa.array([4], NANOSECONDS)})
    refused(errors, lambda: put(server, ["put_refused", "u"], [lists]), "v")
    refused(errors, lambda: put(server, [], [first]))
    equal(server.table("put_refused", "t"), [{"v": 1.5, "time": 1}])
    return "another type, a null time, a list, no path"


@case
def many_rows(server):
    table = large_table(server.rows)
    acks = put(server, ["put_large", "large"], table.to_batches(PUT_ROWS), ochre_tags="host")
    equal(sum(ack["rows"] for ack in acks), server.rows)
    equal(server.sql("put_large", data.LARGE_SUMS), data.large_sums(server.rows))
    got = ask(server, "put_large", "SELECT * FROM large ORDER BY time")
    assert got.replace_schema_metadata().cast(LARGE).equals(table), "not the rows that were put"
    return f"{server.rows} rows in {len(acks)} batches; the same back"


@case
def handshake_and_wrong_tokens(server):
    if not server.needs_token:
        return "not asked: the server wants no token"
    client, _ = connect(server)
    with client:
        name, value = client.authenticate_basic_token("any", server.token)
        equal((name, value), (b"authorization", f"Bearer {server.token}".encode()))
        refused(flight.FlightUnauthenticatedError, lambda: client.authenticate_basic_token("any", "wrong" * 8))
    client, options = connect(server, token="wrong" * 8)
    with client:
        refused(flight.FlightUnauthenticatedError, lambda: client.do_get(ticket("x", "SELECT 1"), options()).read_all())
    return "Basic becomes Bearer; UNAUTHENTICATED"
