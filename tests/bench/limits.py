"""What the machine itself does at best, in the same run: measured figures mean little without it."""
import os
import socket
import statistics
import threading
import time

import numpy

MIB = 1 << 20
COPIED = 512 * MIB
WRITTEN = 256 * MIB
SENT = 1024 * MIB
SYNCS = 100


def measure(directory):
    """All limits; the disk's are those of `directory`."""
    return {"memcpy_mib_s": memcpy(), **disk(directory), "loopback_mib_s": loopback()}


def memcpy():
    """MiB a second that one core copies, of memory that was touched before; the best of five."""
    source, target = numpy.ones(COPIED // 8), numpy.ones(COPIED // 8)
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        numpy.copyto(target, source)
        times.append(time.perf_counter() - begun)
    return round(COPIED / MIB / min(times))


def disk(directory):
    """MiB a second written and synced, and how long it takes to sync 4 KiB, in milliseconds."""
    path = os.path.join(directory, "limits.tmp")
    block = os.urandom(MIB)
    file = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    try:
        begun = time.perf_counter()
        for _ in range(WRITTEN // MIB):
            os.write(file, block)
        os.fdatasync(file)
        written = time.perf_counter() - begun
        times = []
        for at in range(SYNCS):
            begun = time.perf_counter()
            os.pwrite(file, block[:4096], at * 4096)
            os.fdatasync(file)
            times.append((time.perf_counter() - begun) * 1e3)
    finally:
        os.close(file)
        os.unlink(path)
    times.sort()
    return {"disk_mib_s": round(WRITTEN / MIB / written), "fdatasync_p50_ms": round(statistics.median(times), 3),
            "fdatasync_p99_ms": round(times[int(SYNCS * 0.99) - 1], 3)}


def loopback():
    """MiB a second through one connection of loopback."""
    listener = socket.create_server(("127.0.0.1", 0))
    block = bytes(MIB)

    def send():
        with socket.create_connection(listener.getsockname()) as connection:
            for _ in range(SENT // MIB):
                connection.sendall(block)

    sender = threading.Thread(target=send)
    sender.start()
    connection, _ = listener.accept()
    room = bytearray(MIB)
    begun = time.perf_counter()
    while connection.recv_into(room):
        pass
    took = time.perf_counter() - begun
    sender.join()
    connection.close()
    listener.close()
    return round(SENT / MIB / took)
