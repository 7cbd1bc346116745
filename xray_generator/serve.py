"""`python -m xray_generator.serve`: the studio for programs, an HTTP API on this machine or for those who have a token.

    python -m xray_generator.serve --port 8000
    python -m xray_generator.serve --new_token anna --token_file tokens.txt
    python -m xray_generator.serve --host 0.0.0.0 --token_file tokens.txt
    python -m xray_generator.serve --tunnel --token_file tokens.txt
    python -m xray_generator.serve --broker redis://HOST:6379/0

Its description is at /openapi.json. Prints its address, then a line for each request and job, without prompts.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from xray_generator.api.app import create_app
from xray_generator.api.tokens import HASHED, hash_token, is_loopback, make_token, read_tokens
from xray_generator.checkpoints import check_name
from xray_generator.console import exit_code
from xray_generator.queues.choice import VARIABLE as BROKER
from xray_generator.queues.choice import open_queue
from xray_generator.studio import Studio
from xray_generator.types import StudioError, normalize_text

VARIABLE = "STUDIO_TOKENS"
MAX_CONNECTIONS = 128
PATIENCE_S = 2  # for requests that are open when the server ends
NO_TUNNEL = (
    "--tunnel needs the package pyngrok, which is not installed: pip install pyngrok, and an account with ngrok."
)

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a message on a fault."""
    options = _parser().parse_args(arguments)
    if options.new_token is not None:
        return exit_code(lambda: _add_token(options.new_token, options.token_file))
    return exit_code(lambda: _serve(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m xray_generator.serve", description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1", help="another than this machine's own needs tokens")
    parser.add_argument("--port", type=int, default=8000, help="0: any that is free")
    parser.add_argument(
        "--token_file", type=Path, help=f"words NAME:TOKEN or NAME:{HASHED}HASH, which may also be in {VARIABLE}"
    )
    parser.add_argument(
        "--tunnel", action="store_true", help="also open an address on the internet, by ngrok; needs tokens"
    )
    parser.add_argument("--new_token", metavar="NAME", help="print a new token, and add its hash to the token file")
    parser.add_argument(
        "--broker",
        default=os.environ.get(BROKER, ""),
        help=f"redis://HOST:6379/0, where `xray-studio worker` draws; or {BROKER}",
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1; default: CUDA where there is one")
    parser.add_argument("--num_threads", type=int, help="CPU threads")
    parser.add_argument("--log_prompts", action="store_true", help="also say in the log what is asked for")
    return parser


def _add_token(name: str, path: Path | None) -> None:
    check_name(name)
    if path is None:
        raise StudioError("Say where tokens are kept: --token_file FILE.")
    token = make_token()
    with path.open("a+b") as file:
        file.seek(0)
        gap = "" if file.read()[-1:] in (b"", b"\n") else "\n"  # an editor may have left the last line open
        file.write(f"{gap}{name}:{HASHED}{hash_token(token)}\n".encode())
    print(token)  # noqa: T201


def _serve(options: argparse.Namespace) -> None:
    written = options.token_file.read_text(encoding="utf-8", errors="replace") if options.token_file else ""
    tokens = read_tokens(f"{os.environ.get(VARIABLE, '')}\n{written}")
    if not tokens.hashes and (options.tunnel or not is_loopback(options.host)):
        place = "Through a tunnel" if options.tunnel else f"On {options.host}"
        raise StudioError(
            f"{place} other machines reach the server, so it needs tokens: --token_file FILE, or {VARIABLE}."
        )
    if not 0 <= options.port < 2**16:
        raise StudioError(f"A port is a number from 0 to 65,535, not {options.port}.")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    with socket.create_server((options.host, options.port), family=family) as listener:
        host, port = f"[{options.host}]" if ":" in options.host else options.host, listener.getsockname()[1]
        addresses = [f"http://{host}:{port}"]
        if options.tunnel:
            addresses.append(_open_tunnel(f"{host}:{port}"))
        studio = Studio(device=options.device, num_threads=options.num_threads)
        queue = open_queue(studio, options.broker)
        app = create_app(studio, queue, tokens, log_prompts=options.log_prompts)
        print(*addresses, sep="\n", flush=True)  # noqa: T201
        make_server(app).run(sockets=[listener])


def _open_tunnel(address: str) -> str:
    """The address on the internet of a tunnel to this server, which ends with the process.

    Raises:
        StudioError: pyngrok is not installed, or ngrok opens no tunnel.
    """
    try:
        ngrok, faults = import_module("pyngrok.ngrok"), import_module("pyngrok.exception")
    except ImportError:
        raise StudioError(NO_TUNNEL) from None
    try:
        public = str(ngrok.connect(address).public_url)
    except faults.PyngrokError as error:
        raise StudioError(f"ngrok opens no tunnel: {normalize_text(str(error))}") from error
    logger.warning(
        "Anyone on the internet who has a token reaches this server at %s until it ends, and ngrok, whose servers are "
        "in between, can read all that passes.",
        public,
    )
    return public


def make_server(app: FastAPI) -> uvicorn.Server:
    """What serves the API; its log is ours, with the requests' ids."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=PATIENCE_S,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
