"""How servers and workers reach the broker, and the names of what they write there.

An order is one hash of Redis: what is asked for and how it stands, as JSON. Celery carries its id to a worker, and
gives it to another one where the first is lost.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from celery import Celery
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from xray_generator.queues.choice import LOST_AFTER_S
from xray_generator.types import StudioError, quote

PREFIX = "xray_studio"  # begins all names in Redis
QUEUE, TASK = PREFIX, f"{PREFIX}.draw"
UNACKED = f"{PREFIX}:unacked_index"  # of Celery: a message's tag -> when a worker that has it last gave a sign of life
WORKERS = f"{PREFIX}:workers"  # a worker's name -> when it last gave one, by the broker's clock
ORDER, SENT, CANCEL, ATTEMPTS, REPORT, PREVIEW = "order", "sent", "cancel", "attempts", "report", "preview"

SOCKET_S = 5.0
KEPT_S = 7 * 24 * 3_600  # an order that no server asks about any more, and the name of a worker that was killed


def order_key(job_id: str) -> str:
    """The name of an order's hash."""
    return f"{PREFIX}:order:{job_id}"


def connect(url: str) -> Redis:
    """A client of the broker. Safe to share between threads.

    Raises:
        StudioError: it is no address of one, or none answers there.
    """
    shown = hide_password(url)
    if not _is_address(url):
        raise StudioError(f"The address of a broker looks like redis://127.0.0.1:6379/0, not {quote(shown)}.")
    client = Redis.from_url(
        url,
        socket_timeout=SOCKET_S,
        socket_connect_timeout=SOCKET_S,
        retry=Retry(NoBackoff(), 1),
        health_check_interval=25,
    )
    try:
        client.ping()
    except RedisError as error:
        raise StudioError(f"No broker answers at {shown}: {str(error).rstrip('.')}.") from error
    return client


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    is_database = re.fullmatch(r"/?\d{0,4}", parts.path, re.ASCII)
    return bool(parts.scheme in ("redis", "rediss") and parts.hostname and is_port and is_database)


def hide_password(url: str) -> str:
    """An address without who asks for it, and without options, which may hold a password too."""
    return re.sub(r"//.*@", "//", url).partition("?")[0]


def make_celery(url: str, lost_after_s: float = LOST_AFTER_S) -> Celery:
    """Celery at the broker: messages in JSON alone, one at a time, which a worker gives back when it is lost.

    The broker hides a message that a worker has for `lost_after_s` after the worker's last sign of life.
    """
    app = Celery(PREFIX, broker=url, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        event_serializer="json",
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": lost_after_s,
            "unacked_key": f"{PREFIX}:unacked",
            "unacked_index_key": UNACKED,
            "unacked_mutex_key": f"{PREFIX}:unacked_mutex",
            "unacked_mutex_expire": 10,  # seconds, where a worker is lost while it looks for lost messages
            "unacked_restore_interval": min(lost_after_s / 4, 5.0),
            "unacked_restore_throttle": 1,
            "socket_timeout": 2 * SOCKET_S,
            "socket_connect_timeout": SOCKET_S,
        },
    )
    return app
