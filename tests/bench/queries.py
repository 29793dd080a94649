"""The nine queries of TSBS's devops case that are usually compared, each with many sets of parameters."""
import random
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

BEGIN = datetime(2024, 1, 1, tzinfo=timezone.utc)
FIELDS = ["usage_user", "usage_system", "usage_idle", "usage_nice", "usage_iowait", "usage_irq", "usage_softirq",
          "usage_steal", "usage_guest", "usage_guest_nice"]
SEED = 7


@dataclass(frozen=True)
class Query:
    """A query: how many hosts it names (0: all), how many fields it reads, and how many hours it spans."""

    name: str
    hosts: int
    fields: int
    hours: int


QUERIES = [
    Query("single-groupby-1-1-1", 1, 1, 1),
    Query("single-groupby-1-1-12", 1, 1, 12),
    Query("single-groupby-5-8-1", 5, 8, 1),
    Query("cpu-max-all-8", 8, 10, 8),
    Query("double-groupby-1", 0, 1, 12),
    Query("double-groupby-all", 0, 10, 12),
    Query("high-cpu-all", 0, 10, 12),
    Query("lastpoint", 0, 10, 0),
    Query("groupby-orderby-limit", 0, 1, 1),
]


@dataclass(frozen=True)
class Dialect:
    """What two SQL databases write differently: a time cut down to a unit, and a time of its own."""

    bucket: callable
    literal: callable


OCHRE = Dialect(lambda unit: f"date_bin(INTERVAL '1 {unit}', time)", lambda time: f"'{time:%Y-%m-%dT%H:%M:%SZ}'")
DUCKDB = Dialect(lambda unit: f"date_trunc('{unit}', time)", lambda time: f"TIMESTAMP '{time:%Y-%m-%d %H:%M:%S}'")


def render(query, run, hosts, seconds, dialect):
    """The SQL of a query's run, over data of so many hosts and seconds: the same in each dialect, but for its words."""
    chance = random.Random(f"{SEED}/{query.name}/{run}")
    begin = BEGIN + timedelta(seconds=chance.randrange(max(1, seconds - query.hours * 3600 + 1)))
    end = begin + timedelta(hours=query.hours)
    fields = FIELDS[:query.fields]
    within = f"time >= {dialect.literal(begin)} AND time < {dialect.literal(end)}"
    if query.hosts:
        names = ", ".join(f"'host_{host}'" for host in chance.sample(range(hosts), min(query.hosts, hosts)))
        within = f"hostname IN ({names}) AND {within}"
    each = lambda function: ", ".join(f"{function}({field}) AS {function}_{field}" for field in fields)
    minute, hour = dialect.bucket("minute"), dialect.bucket("hour")
    return {
        "single-groupby-1-1-1": lambda: f"SELECT {minute} AS t, {each('max')} FROM cpu WHERE {within} "
                                        "GROUP BY t ORDER BY t",
        "cpu-max-all-8": lambda: f"SELECT {hour} AS t, {each('max')} FROM cpu WHERE {within} GROUP BY t ORDER BY t",
        "double-groupby-1": lambda: f"SELECT {hour} AS t, hostname, {each('avg')} FROM cpu WHERE {within} "
                                    "GROUP BY t, hostname ORDER BY t, hostname",
        "high-cpu-all": lambda: f"SELECT * FROM cpu WHERE usage_user > 90 AND {within}",
        "lastpoint": lambda: "SELECT DISTINCT ON (hostname) * FROM cpu ORDER BY hostname, time DESC",
        "groupby-orderby-limit": lambda: f"SELECT {minute} AS t, max(usage_user) AS high FROM cpu "
                                         f"WHERE time < {dialect.literal(end)} GROUP BY t ORDER BY t DESC LIMIT 5",
    }[_shape(query.name)]()


def _shape(name):
    """Queries that differ only in how much they read are written alike."""
    if name.startswith("single-groupby"):
        return "single-groupby-1-1-1"
    return "double-groupby-1" if name.startswith("double-groupby") else name
