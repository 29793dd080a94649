"""The server under test, as the checks see it without any client library: SQL over HTTP and nothing else."""
import json
import urllib.error
import urllib.parse
import urllib.request

# What clients that insist on a token send to a server that asks for none.
NO_TOKEN = "no-token-is-needed"
ANSWER_SECONDS = 120


class Server:
    """Where it is, the token that it wants (None: it wants none), and how many rows the large checks write."""

    def __init__(self, url, token, rows):
        self.url = url.rstrip("/")
        self.needs_token = token is not None
        self.token = token or NO_TOKEN
        self.rows = rows
        place = urllib.parse.urlsplit(self.url)
        self.host, self.port = place.hostname, place.port
        self.flight_url = f"grpc+tcp://{self.host}:{self.port}"

    def sql(self, database, query):
        """The rows of an answer as dictionaries, without what is null."""
        body = json.dumps({"db": database, "q": query, "format": "json"}).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(f"{self.url}/api/v3/query_sql", body, headers)
        # No proxy of the environment may come between.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=ANSWER_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{query}: {error.code} {error.read().decode()}") from error

    def table(self, database, table):
        """All rows of a table in the order of time, which stands as whole nanoseconds under `time`."""
        rows = self.sql(database, f'SELECT *, CAST(time AS BIGINT) AS _ns FROM "{table}" ORDER BY _ns')
        return [{name: value for name, value in row.items() if name != "_ns"} | {"time": row["_ns"]} for row in rows]
