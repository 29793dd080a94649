#!/usr/bin/env python3
"""Writes metrics-sample.lp.gz: one hour of ten hosts, as Telegraf's plugins would send it.

Seven tables (cpu, disk, diskio, mem, net, processes, system), one reading every ten seconds from
2026-11-01T00:00:00Z on, times in nanoseconds, 43,200 lines in the order of time. As with the real agent, a reading
of `system` comes as three lines with one key and different fields; so the file holds 36,000 rows.

Standard library only, seeded: the same file on every run.

    python3 examples/make-metrics-sample.py            # writes beside this script
    python3 examples/make-metrics-sample.py -          # plain text to standard output
"""

import gzip
import io
import pathlib
import random
import sys

SEED = 20261101
START_NS = 1_793_491_200 * 1_000_000_000  # 2026-11-01T00:00:00Z
INTERVAL_S = 10
READINGS = 360
GIB = 1 << 30
KIB = 1 << 10

DATACENTERS = ["berlin", "oslo"]
ROLES = ["web", "web", "web", "db", "cache"]


def fields(values):
    """The field section: integers with their `i`, floats in shortest form, strings quoted."""
    parts = []
    for name, value in values.items():
        if isinstance(value, str):
            text = '"' + value + '"'
        elif isinstance(value, int):
            text = f"{value}i"
        else:
            text = repr(value)
        parts.append(f"{name}={text}")
    return ",".join(parts)


class Host:
    """One machine: counters that only grow, gauges that wander."""

    CPUS = 2

    def __init__(self, number, rng):
        self.rng = rng
        role = ROLES[number % len(ROLES)]
        self.name = f"{role}-{number + 1:02}"
        self.tags = f"dc={DATACENTERS[number % len(DATACENTERS)]},host={self.name}"
        self.mem_total = (8 if role == "web" else 16) * GIB
        self.load = rng.uniform(0.05, 0.45)
        self.used = rng.uniform(0.25, 0.60)
        self.cached = int(self.mem_total * rng.uniform(0.15, 0.25)) // 4096 * 4096
        self.disks = [("vda1", "ext4", "/", 40 * GIB, rng.randrange(6, 20) * GIB, 2_621_440, rng.randrange(90_000, 260_000)),
                      ("vdb1", "xfs", "/var/lib", 200 * GIB, rng.randrange(20, 120) * GIB, 104_857_600, rng.randrange(2_000, 90_000))]
        self.io = dict.fromkeys(("reads", "writes", "read_bytes", "write_bytes", "read_time", "write_time", "io_time",
                                 "weighted_io_time", "merged_reads", "merged_writes"), 0)
        self.net = dict.fromkeys(("bytes_recv", "bytes_sent", "packets_recv", "packets_sent"), 0)
        self.uptime = rng.randrange(86_400, 40 * 86_400)
        self.loads = [self.load * self.CPUS] * 3
        self.threads = rng.randrange(220, 420)

    def step(self):
        """Ten seconds pass."""
        rng = self.rng
        self.load = min(0.97, max(0.02, self.load + rng.gauss(0, 0.02)))
        self.used = min(0.90, max(0.15, self.used + rng.gauss(0, 0.002)))
        self.uptime += INTERVAL_S
        for i, weight in enumerate((0.15, 0.03, 0.01)):
            self.loads[i] += (self.load * self.CPUS - self.loads[i]) * weight

    def cpu(self):
        """Shares of the 1,000 ticks that a CPU has in ten seconds."""
        rng, rows, total = self.rng, [], [0] * 5
        for cpu in range(self.CPUS):
            busy = min(990, max(5, int(rng.gauss(self.load, 0.03) * 1000)))
            system = busy * 3 // 10
            iowait = rng.choice((0, 0, 0, 1, 1, 2, 5))
            softirq = rng.choice((0, 0, 1, 2))
            ticks = [busy - system, system, max(0, 1000 - busy - iowait - softirq), iowait, softirq]
            total = [a + b for a, b in zip(total, ticks)]
            rows.append((f"cpu{cpu}", ticks, 1000))
        rows.append(("cpu-total", total, 1000 * self.CPUS))
        for name, (user, system, idle, iowait, softirq), of in rows:
            share = lambda ticks: ticks * 100 / of
            yield f"cpu,cpu={name},{self.tags}", {
                "usage_guest": 0.0, "usage_guest_nice": 0.0, "usage_idle": share(idle), "usage_iowait": share(iowait),
                "usage_irq": 0.0, "usage_nice": 0.0, "usage_softirq": share(softirq), "usage_steal": 0.0,
                "usage_system": share(system), "usage_user": share(user)}

    def mem(self):
        self.cached += self.rng.randrange(-8, 10) * 4096
        used = int(self.mem_total * self.used) // 4096 * 4096
        buffered = 96 << 20
        free = max(0, self.mem_total - used - self.cached - buffered)
        available = free + self.cached * 9 // 10
        yield f"mem,{self.tags}", {
            "active": used * 3 // 4, "available": available, "available_percent": available * 100 / self.mem_total,
            "buffered": buffered, "cached": self.cached, "commit_limit": self.mem_total // 2,
            "dirty": self.rng.randrange(0, 64) * 4096, "free": free, "huge_pages_total": 0, "inactive": self.cached // 2,
            "slab": 320 << 20, "swap_free": 0, "swap_total": 0, "total": self.mem_total, "used": used,
            "used_percent": used * 100 / self.mem_total}

    def disk(self):
        for i, (device, fstype, path, total, used, inodes, inodes_used) in enumerate(self.disks):
            if self.rng.random() < 0.15 * (i + 1):
                used += self.rng.randrange(1, 64) * 4 * KIB
                inodes_used += self.rng.choice((0, 0, 1))
                self.disks[i] = (device, fstype, path, total, used, inodes, inodes_used)
            yield f"disk,{self.tags},device={device},fstype={fstype},mode=rw,path={path}", {
                "free": total - used, "inodes_free": inodes - inodes_used, "inodes_total": inodes,
                "inodes_used": inodes_used, "total": total, "used": used, "used_percent": used * 100 / total}

    def diskio(self):
        rng, io_ = self.rng, self.io
        reads, writes = rng.randrange(0, 4), int(20 + 200 * self.load) + rng.randrange(0, 16)
        io_["reads"] += reads
        io_["writes"] += writes
        io_["read_bytes"] += reads * 16 * KIB
        io_["write_bytes"] += writes * 8 * KIB
        io_["read_time"] += reads
        io_["write_time"] += writes * 2
        io_["io_time"] += writes
        io_["weighted_io_time"] += writes * 2 + reads
        io_["merged_writes"] += writes // 3
        yield f"diskio,{self.tags},name=vda", {**io_, "iops_in_progress": 0}

    def network(self):
        packets_in = int(self.load * 9_000) + self.rng.randrange(0, 256)
        packets_out = packets_in * 9 // 10
        net = self.net
        net["packets_recv"] += packets_in
        net["packets_sent"] += packets_out
        net["bytes_recv"] += packets_in * 412
        net["bytes_sent"] += packets_out * 1_024
        yield f"net,{self.tags},interface=eth0", {**net, "drop_in": 0, "drop_out": 0, "err_in": 0, "err_out": 0}

    def processes(self):
        self.threads += self.rng.choice((-1, 0, 0, 0, 1))
        running = self.rng.choice((0, 0, 1, 1, 2))
        sleeping = self.threads // 3
        yield f"processes,{self.tags}", {
            "blocked": 0, "dead": 0, "idle": 48, "paging": 0, "running": running, "sleeping": sleeping, "stopped": 0,
            "total": running + sleeping + 48, "total_threads": self.threads, "unknown": 0, "zombies": 0}

    def system(self):
        load1, load5, load15 = (round(load, 2) for load in self.loads)
        key = f"system,{self.tags}"
        days, rest = divmod(self.uptime, 86_400)
        yield key, {"load1": load1, "load15": load15, "load5": load5, "n_cpus": self.CPUS, "n_users": 1}
        yield key, {"uptime": self.uptime}
        yield key, {"uptime_format": f"{days} day{'' if days == 1 else 's'}, {rest // 3600:2}:{rest % 3600 // 60:02}"}

    def readings(self):
        for plugin in (self.cpu, self.disk, self.diskio, self.mem, self.network, self.processes, self.system):
            yield from plugin()


def lines():
    rng = random.Random(SEED)
    hosts = [Host(number, rng) for number in range(10)]
    for reading in range(READINGS):
        time = START_NS + reading * INTERVAL_S * 1_000_000_000
        for host in hosts:
            host.step()
            for key, values in host.readings():
                yield f"{key} {fields(values)} {time}\n"


def main():
    text = "".join(lines()).encode()
    if sys.argv[1:] == ["-"]:
        sys.stdout.buffer.write(text)
        return
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as out:
        out.write(text)
    target = pathlib.Path(__file__).with_name("metrics-sample.lp.gz")
    target.write_bytes(packed.getvalue())
    print(f"{target}: {text.count(10)} lines, {len(text)} bytes, {len(packed.getvalue())} compressed")


if __name__ == "__main__":
    main()
