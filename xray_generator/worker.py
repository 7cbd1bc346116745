"""`python -m xray_generator.worker`: draw what servers ask for through a broker, on one device of this machine.

    python -m xray_generator.worker --broker redis://HOST:6379/0
    python -m xray_generator.worker --broker redis://HOST:6379/0 --device cuda:1

One process a device, on any number of machines that share OUTPUT_DIR. Servers are started with the same --broker.
SIGTERM or Ctrl+C ends it after the order that it does. What a killed worker did, another one does.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import sys
from collections.abc import Sequence

from xray_generator.console import exit_code
from xray_generator.queues.choice import LOST_AFTER_S, VARIABLE, check_packages
from xray_generator.studio import Studio
from xray_generator.types import StudioError

LEAST_S, MOST_S = 1.0, 3_600.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a message on a fault."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _work(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m xray_generator.worker", description=__doc__.splitlines()[0])
    parser.add_argument("--broker", default=os.environ.get(VARIABLE, ""), help=f"redis://HOST:6379/0; or {VARIABLE}")
    parser.add_argument("--device", help="cpu, cuda, cuda:1; default: CUDA where there is one")
    parser.add_argument("--num_threads", type=int, help="CPU threads")
    parser.add_argument(
        "--lost_after",
        type=float,
        default=LOST_AFTER_S,
        help="seconds without a sign of life after which another worker does its order; the same for all workers",
    )
    return parser


def _work(options: argparse.Namespace) -> int:
    if not options.broker:
        raise StudioError(f"Say where orders wait: --broker redis://HOST:6379/0, or {VARIABLE}.")
    if not LEAST_S <= options.lost_after <= MOST_S:
        raise StudioError(f"--lost_after must be from {LEAST_S:g} to {MOST_S:g} seconds, not {options.lost_after:g}.")
    check_packages()
    from xray_generator.queues.carrying import Carrier
    from xray_generator.queues.connection import connect, hide_password, make_celery

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    client = connect(options.broker)
    studio = Studio(device=options.device, num_threads=options.num_threads)
    device = studio.runtime()["device"]
    carrier, app = Carrier(studio, client, options.lost_after), make_celery(options.broker, options.lost_after)
    carrier.register(app)
    worker = app.Worker(
        pool="solo",  # this very process: one model in memory, and nothing forks once CUDA runs
        concurrency=1,
        hostname=f"{carrier.name[:8]}@{platform.node()}",
        loglevel="INFO",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    with carrier.present():
        print(f"waiting for orders of {hide_password(options.broker)} on {device}", flush=True)  # noqa: T201
        worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main())
