"""The rows that are written through each client, and what must come back."""

SECOND = 1_700_000_000
START = SECOND * 1_000_000_000

# Everything that has to be escaped somewhere, and characters of one to four bytes.
TEXT = 'a,b c=d "quoted" back\\slash \\" tail\\\\ ß é 漢字 \U0001f389'
PLACE = "Zürich, Süd=1 \U0001f3d4"
# Names of a table, a tag and a field that need the same; no `=` in the table's: clients disagree whether to escape it.
TABLE, TAG, FIELD = "mérés, 測定 1", "hely =, ég", "hő, °C = \U0001f321"

FLOATS = [1.5, -0.1, 0.0, 1.7976931348623157e308, 5e-324, 123456789.123456789, 3.0]
INTS = [0, -1, 2**63 - 1, -(2**63), 2**53 + 1, 42, -7]
UINTS = [0, 1, 2**64 - 1, 2**63, 2**53 + 1, 42, 7]
BOOLS = [True, False, True, False, True, False, True]
TEXTS = [TEXT, "", " ", "0", "true", "漢", "x" * 10_000]


def typed_rows():
    """Rows with a value of each type, the extremes among them; then one row with each column alone."""
    rows = []
    for at, (f, i, u, b, s) in enumerate(zip(FLOATS, INTS, UINTS, BOOLS, TEXTS)):
        rows.append({"place": PLACE, "f": f, "i": i, "u": u, "b": b, "s": s, "time": START + at})
    alone = [("f", 2.5), ("i", 2**62), ("u", 2**64 - 2), ("b", False), ("s", "alone")]
    for at, (name, value) in enumerate(alone):
        row = {name: value, "time": START + 1000 + at}
        rows.append(row if at % 2 else {"place": "alone", **row})
    return rows


def large_line(at):
    """Line `at` of the large table."""
    return f'large,host={large_host(at)} n={at}i,x={at * 0.5},s="row {at}" {START + at * 1_000_000}'


def large_host(at):
    """The host of row `at` of the large table."""
    return f"höst-{at % 100}"


def large_batches(rows, size=10_000):
    """The large table as lists of lines."""
    for start in range(0, rows, size):
        yield [large_line(at) for at in range(start, min(start + size, rows))]


def large_sums(rows):
    """What `LARGE_SUMS` must answer. All sums are small enough to be exact."""
    total = rows * (rows - 1) // 2
    return [{"rows": rows, "sum": total, "halves": total * 0.5, "hosts": min(rows, 100), "texts": rows,
             "last": START + (rows - 1) * 1_000_000}]


LARGE_SUMS = ("SELECT count(*) AS rows, sum(n) AS sum, sum(x) AS halves, count(DISTINCT host) AS hosts, "
              "count(DISTINCT s) AS texts, CAST(max(time) AS BIGINT) AS last FROM large WHERE s = concat('row ', n)")
