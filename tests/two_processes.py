"""Two processes of one training, as torchrun starts them."""

import os
import socket
import subprocess


def run_two(command, timeout):
    """Runs the command as ranks 0 and 1, to the end of both; each has `timeout` seconds, and must end well."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    places = [
        {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        for rank in ("0", "1")
    ]
    processes = [
        subprocess.Popen(command, env={**os.environ, **place}, stderr=subprocess.PIPE, text=True) for place in places
    ]
    try:
        for process in processes:
            said = process.communicate(timeout=timeout)[1]
            assert process.returncode == 0, said
    finally:
        for process in processes:
            process.kill()
