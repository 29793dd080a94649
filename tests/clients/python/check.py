#!/usr/bin/env python3
"""Checks a server with real clients of Python. Prints each case with what it covered; ends non-zero if one failed.

The token, if the server wants one, is in the environment: OCHRE_TOKEN.
"""
import argparse
import logging
import os
import sys
import time
import traceback

import expect
from server import Server

# Each file registers its cases.
import influxdb_v1  # noqa: F401
import influxdb_v2  # noqa: F401
import influxdb_v3  # noqa: F401
import arrow_flight  # noqa: F401


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("url", help="where the server is: http://host:port")
    arguments.add_argument("--rows", type=int, default=50_000, help="rows of the large checks (default 50,000)")
    arguments.add_argument("--only", default="", help="cases whose names begin so, separated by commas")
    chosen = arguments.parse_args()
    server = Server(chosen.url, os.environ.get("OCHRE_TOKEN"), chosen.rows)
    cases = [(name, run) for name, run in expect.CASES if name.startswith(tuple(chosen.only.split(",")))]
    if not cases:
        sys.exit(f"no case begins with {chosen.only}")
    # The clients warn whenever they try again, which some cases want them to.
    logging.disable(logging.WARNING)
    failed = []
    for name, run in cases:
        begun = time.monotonic()
        try:
            said = run(server)
        except Exception:  # a failure of any kind is this case's; the others still count
            failed.append(name)
            print(f"FAILED {name}\n{traceback.format_exc()}", flush=True)
        else:
            print(f"ok     {name}: {said} ({time.monotonic() - begun:.1f} s)", flush=True)
    print(f"{len(cases) - len(failed)} of {len(cases)} cases passed")
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
