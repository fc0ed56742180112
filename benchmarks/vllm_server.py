"""A vLLM server on this machine, for the duration of a measurement."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redone.tasks.errors import RedoneError

PATIENCE = 600.0
"""Seconds until the server must answer."""


@contextmanager
def serving(setup: dict[str, Any]) -> Iterator[str]:
    """The URL of a server of the setup's model.

    Args:
        setup: `model`, `dtype`, `engine` (arguments of vLLM's engine), `vllm_python`.

    Raises:
        RedoneError: It ends or does not answer; its messages are in this process's output.
    """
    import httpx

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    engine = [
        part
        for name, value in setup["engine"].items()
        for part in (f"--{name.replace('_', '-')}", str(value))
    ]
    command = [
        setup["vllm_python"], "-m", "vllm.entrypoints.openai.api_server",
        "--model", setup["model"], "--dtype", setup["dtype"],
        "--host", "127.0.0.1", "--port", str(port),
        "--generation-config", "vllm", *engine,
    ]  # fmt: skip
    # A session of its own: its engine is another process, and both must end.
    server = subprocess.Popen(command, start_new_session=True, env=environment())
    url = f"http://127.0.0.1:{port}/v1"
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RedoneError(f"vllm serve does not answer: {' '.join(command)}")
            try:
                httpx.get(f"{url}/models", timeout=5).raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.5)
        yield url
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def environment() -> dict[str, str]:
    """Variables of processes that run vLLM: quiet, offline, a modest cache where it is a CPU's.

    On a CPU it would leave a core to its front end, and every other side has all of them.
    """
    return {
        "VLLM_CPU_KVCACHE_SPACE": "4",
        "VLLM_CPU_OMP_THREADS_BIND": f"0-{(os.cpu_count() or 1) - 1}",
        "VLLM_LOGGING_LEVEL": "WARNING",
        "VLLM_NO_USAGE_STATS": "1",
        **os.environ,
        "HF_HUB_OFFLINE": "1",
    }
