"""A connection to Ray (Moritz et al. 2018): started on this machine, or to an existing cluster."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from ...tasks.errors import RedoneError
from ..machine import cores
from .base import first_line

STORE = 128 << 20
"""Bytes of shared memory for Ray's objects: requests and answers are small."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # no messages about workers that died, which we report
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray's own switch for machines without a cluster: everything listens on loopback only."""


class RaySession:
    """A connection to Ray; an existing one of this process is used, and left open.

    Args:
        address: `HOST:PORT` of a cluster, or `auto` for the one that this machine belongs to; None
            starts Ray on this machine, for this process only.

    Raises:
        RedoneError: Ray is not installed, or there is no such cluster.
    """

    def __init__(self, address: str | None) -> None:
        if find_spec("ray") is None:
            raise RedoneError(
                "--workers needs Ray, which is not installed: pip install 'redone[ray]'. Without "
                "--workers one process does the same work."
            )
        if address is not None:
            _reach(address)
        for name, value in (QUIET if address else QUIET | ALONE).items():
            os.environ.setdefault(name, value)
        import ray

        self._folder: str | None = None
        self._ours = not ray.is_initialized()
        if not self._ours:
            return
        options: dict[str, Any] = {
            "address": address or "local",
            "log_to_driver": False,
            "logging_level": logging.CRITICAL,
        }
        if address is None:
            # Ray's sockets are in this folder, and a socket's path has 107 bytes at most.
            short = len(tempfile.gettempdir()) < 20
            self._folder = tempfile.mkdtemp(prefix="redone-ray-", dir=None if short else "/tmp")
            options |= {
                "include_dashboard": False,
                "num_cpus": cores(),
                "object_store_memory": STORE,
                "_temp_dir": self._folder,
            }
        try:
            ray.init(**options)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            self.close()
            where = f"No Ray cluster at {address}" if address else "Ray cannot start"
            raise RedoneError(
                f"{where}: {first_line(error)}. `ray start --head` starts a cluster and prints its "
                "address (one with tokens needs RAY_AUTH_MODE=token here, too); without "
                "--ray-address the workers run on this machine."
            ) from error

    @staticmethod
    def nodes() -> list[tuple[float, float]]:
        """CPUs and GPUs of every machine."""
        import ray

        alive = [n["Resources"] for n in ray.nodes() if n["Alive"]]
        return [(r.get("CPU", 0.0), r.get("GPU", 0.0)) for r in alive]

    def close(self) -> None:
        """Shut Ray down if it was started here, else disconnect."""
        import ray

        if self._ours:
            ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def _reach(address: str) -> None:
    """Raise if nothing listens at a cluster's address: Ray itself would try for minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise RedoneError(
            f"--ray-address {address!r}: run redone eval on a machine of the cluster and pass "
            "HOST:PORT of its head (6379 by default), or auto."
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise RedoneError(
            f"No answer from --ray-address {address} ({error}). `ray start --head` starts a "
            "cluster and prints its address; without --ray-address the workers run on this "
            "machine."
        ) from None


def cpus_each(nodes: Sequence[tuple[float, float]], workers: int, gpus: float) -> int:
    """The most CPUs that each worker can have so that all of them fit.

    Args:
        nodes: CPUs and GPUs of every machine.
        workers: How many.
        gpus: GPUs that each takes.

    Returns:
        0 if there are more workers than CPUs, which they then share.

    Raises:
        RedoneError: There are not as many GPUs.
    """

    def places(cpus: int) -> float:
        by_cpu = [n // cpus if cpus else float("inf") for n, _ in nodes]
        by_gpu = [int(n / gpus + 1e-9) if gpus else float("inf") for _, n in nodes]
        return sum(map(min, by_cpu, by_gpu))

    if places(0) < workers:
        have = sum(n for _, n in nodes)
        raise RedoneError(
            f"{workers} workers with {gpus:g} GPUs each need more than the {have:g} GPUs of the "
            "Ray cluster. Lower --workers or --gpus-per-worker (0.5: two workers share a GPU; 0: "
            "CPU only)."
        )
    most = int(max(n for n, _ in nodes))
    return next((k for k in range(most, 0, -1) if places(k) >= workers), 0)
