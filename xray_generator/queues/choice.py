"""Which queue a server has: one process that does all, or one that gives its orders to workers through a broker."""

from __future__ import annotations

import logging
from collections.abc import Callable

from xray_generator.jobs import JobQueue
from xray_generator.orders import Store, open_store
from xray_generator.studio import Studio
from xray_generator.types import StudioError

VARIABLE = "STUDIO_BROKER"
LOST_AFTER_S = 30.0  # without a sign of life a worker is lost, and another one does its order
NO_PACKAGES = (
    "A broker needs the packages celery and redis, which are not installed: "
    "pip install -r requirements-broker.txt, or the extra [broker] of this package."
)

logger = logging.getLogger(__name__)


def open_queue(
    studio: Studio, broker: str = "", door: str = "api", is_here: Callable[[str], bool] = lambda _: True
) -> JobQueue:
    """The queue of a server.

    Args:
        studio: does the work.
        broker: redis://HOST:6379/0, where workers wait for orders; empty: this process does all, and keeps its orders
            in a file.
        door: names the server at the broker, which keeps the orders of one server of each name.
        is_here: as for `JobQueue`.

    Raises:
        StudioError: it is no address of a broker, none answers there, or the packages for it are missing.
    """
    if not broker:
        return JobQueue(is_here, studio.carry_out, open_store(studio.queue_path))
    check_packages()
    from xray_generator.queues.connection import connect
    from xray_generator.queues.sending import CeleryWorkers
    from xray_generator.queues.store import BrokerStore

    client = connect(broker)
    store: Store | None = None
    try:
        store = BrokerStore(client, door)
    except StudioError as error:
        logger.warning("jobs end with this server: %s", error)
    return JobQueue(is_here, studio.carry_out, store, CeleryWorkers(broker, client))


def check_packages() -> None:
    """Do nothing where a broker can be used; StudioError: its packages are not installed."""
    try:
        import celery  # noqa: F401 - whether it is there
        import redis  # noqa: F401
    except ImportError:
        raise StudioError(NO_PACKAGES) from None
