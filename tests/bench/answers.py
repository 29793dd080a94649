"""Whether two databases gave the same answer: by values, whatever the types, the order of columns, or equal rows."""
import math

import pyarrow as pa

# Means are sums that were added in another order.
TOLERANCE = 1e-9


def rows(table):
    """The rows, sorted, with columns by name, times as nanoseconds and numbers as floats."""
    columns = []
    for name in sorted(table.column_names):
        column = table[name]
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("ns")).cast(pa.int64())
        elif pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        columns.append(column.to_pylist())
    return sorted(zip(*columns), key=lambda row: [(value is None, value if value is not None else 0) for value in row])


def difference(one, other):
    """Where two tables differ; None if nowhere."""
    if sorted(one.column_names) != sorted(other.column_names):
        return f"columns {sorted(one.column_names)} and {sorted(other.column_names)}"
    if one.num_rows != other.num_rows:
        return f"{one.num_rows} and {other.num_rows} rows"
    for left, right in zip(rows(one), rows(other)):
        if not all(map(_same, left, right)):
            return f"{left} and {right}"
    return None


def _same(one, other):
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=TOLERANCE)
    return one == other
