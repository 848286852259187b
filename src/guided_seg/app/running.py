"""Run the server: open what the command names, print the address, and open the browser."""

from __future__ import annotations

import secrets
import socket
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from threading import Lock, Thread, Timer
from urllib.parse import quote

import uvicorn
from omegaconf import DictConfig
from rich.console import Console

from guided_seg.app.desk import Desk
from guided_seg.app.guards import LOOPBACK, is_loopback
from guided_seg.app.messages import LONGEST
from guided_seg.app.opening import (
    LABEL_STUDIO,
    SAMPLES,
    SESSION,
    add_all,
    check_openable,
    collection_of,
    existing,
    work_folder,
)
from guided_seg.app.server import Desks, make_app
from guided_seg.app.uploads import Limits
from guided_seg.errors import UserError
from guided_seg.release import DEFAULT
from guided_seg.release.load import check_network
from guided_seg.session import Session
from guided_seg.session.answering import check_settings
from guided_seg.session.file import check_saved

FIRST_LABEL = "object"


class Opening:
    """Opens the desks of a server; all of them share one network, and the second one if two are compared.

    Args:
        cfg: the config of the command.
        paths: images, folders, videos, or one saved session.

    Raises:
        UserError: there is nothing to show, or a network or setting cannot be used.
    """

    def __init__(self, cfg: DictConfig, paths: Sequence[Path]) -> None:
        check_settings(cfg.device, cfg.precision, cfg.cache_mb, compiled=False)
        self.cfg, self.paths, self.lock = cfg, list(paths) or [SAMPLES], Lock()
        saved = [path for path in paths if path.suffix == SESSION and path.is_file()]
        if saved and len(paths) > 1:
            raise UserError(f"{saved[0]} is a saved session; open it alone, and add images on the page.")
        self.saved = saved[0] if saved else None
        if self.saved:
            check_saved(self.saved)
        else:
            check_openable(self.paths)
        for name in filter(None, (cfg.checkpoint, cfg.compare)):
            check_network(name)
        folder = Path(cfg.state).expanduser() if cfg.state else None
        self.folder = folder or work_folder(self.paths, str(cfg.checkpoint or DEFAULT))
        self.refused: list[str] = []

    @cached_property
    def first(self) -> Session:
        """A session whose network the others share: that of the saved session, unless another is asked for."""
        cfg = self.cfg
        if self.saved and not cfg.checkpoint:
            return Session.open(self.saved, cfg.device, cfg.precision, cfg.cache_mb)
        return self._load(cfg.checkpoint or DEFAULT)

    @cached_property
    def second(self) -> Session | None:
        """The same with the network that is compared; None if there is none."""
        return self._load(self.cfg.compare) if self.cfg.compare else None

    def _load(self, checkpoint: str) -> Session:
        cfg = self.cfg
        return Session.load(checkpoint, cfg.device, cfg.precision, cfg.k_way, cfg.cache_mb)

    def new(self, like: Session) -> Session:
        """A session without images, with the network of another."""
        cfg = self.cfg
        return Session(like.network, cfg.device, cfg.precision, cfg.cache_mb, like.model)

    def reopen(self, file: Path) -> Session:
        """A saved session, with the network of this server."""
        cfg = self.cfg
        session = Session.open(file, cfg.device, cfg.precision, cfg.cache_mb, self.first.network)
        session.model = self.first.model
        return session

    def desk(self, name: str) -> Desk:
        """The desk of a page: as it was left, or with what the command names."""
        other = self.new(self.second) if self.second else None
        file = self.saved if self.saved and name == "main" else self.folder / f"{name}{SESSION}"
        if file.exists():
            try:
                session = self.reopen(file)
            except UserError as error:
                if file == self.saved:
                    raise
                aside = file.with_suffix(".unreadable")
                file.replace(aside)
                self.refused.append(f"{error} The work of this page was set aside as {aside}, and a new one begun.")
                session = self.new(self.first)
        elif self.saved and name == LABEL_STUDIO:
            session = self.reopen(self.saved)
        else:
            session = self.new(self.first)
        if not self.saved:
            self.refused += add_all(session, self.paths)
        if len(session.labels) == 1 and name != LABEL_STUDIO:  # there, labels come with the requests
            session.add_label(FIRST_LABEL)
        desk = Desk(name, session, file, self.lock, self.reopen, other)
        for sentence in self.refused:
            desk.warn(sentence)
        self.refused.clear()
        return desk


def serve(cfg: DictConfig, words: Sequence[str]) -> None:
    """Serve pages until Ctrl-C.

    Args:
        cfg: the config of the command.
        words: paths as they were written.

    Raises:
        UserError: a path, the checkpoint or the port cannot be used.
    """
    opening = Opening(cfg, existing(words))
    listening = listen(cfg.host, cfg.port)
    desks = Desks(opening.desk)
    port = listening.getsockname()[1]
    token = None if is_loopback(cfg.host) else cfg.token or secrets.token_urlsafe(24)
    hosts = [*LOOPBACK, *([] if is_loopback(cfg.host) else names_of(cfg.host)), *cfg.names]
    app = make_app(desks, Limits(**cfg.limits), hosts, token, collection_of(opening.paths))
    shown = "127.0.0.1" if is_loopback(cfg.host) else names_of(cfg.host)[0]
    address = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/" + (f"?token={quote(token)}" if token else "")
    Console(markup=False).print(f"{address}  (Ctrl-C ends it)", soft_wrap=True, highlight=False)
    if cfg.open:
        timer = Timer(0.5, partial(webbrowser.open, address))
        timer.daemon = True
        timer.start()
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, ws_max_size=2 * LONGEST, timeout_graceful_shutdown=2, lifespan="on"
    )
    server, failures = uvicorn.Server(config), list[Exception]()

    def load() -> None:
        """Load the network while the browser opens: a page waits for its session."""
        try:
            desks.get("main")
        except Exception as error:  # noqa: BLE001  (raised below, in the main thread)
            failures.append(error)
            server.should_exit = True

    Thread(target=load, daemon=True).start()
    server.run(sockets=[listening])
    for failure in failures:
        raise failure


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 is any free one.

    Raises:
        UserError: the address is taken or not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise UserError(
            f"The address {host}:{port} cannot be used ({error.strerror or error}); choose another with port=..., or "
            "port=0 for any free one."
        ) from error
    return listening


def names_of(host: str) -> list[str]:
    """The names by which a server on ``host`` is called: all of this machine if it listens everywhere."""
    if host not in ("0.0.0.0", "::"):
        return [host]
    name = socket.gethostname()
    found = [name.lower()]
    with suppress(OSError):
        found = [str(each[4][0]) for each in socket.getaddrinfo(name, None)] + found
    return list(dict.fromkeys(found))
