"""The websocket of a page: messages in both directions, until the page is gone."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from contextlib import suppress

from starlette.websockets import WebSocket, WebSocketDisconnect

from guided_seg.app.desk import Desk

WAITING = 64
"""Messages to a page that may wait before background work pauses."""


class SocketOutbox:
    """Messages to a websocket, put in from any thread and sent in order.

    Args:
        socket: an accepted websocket.

    Attributes:
        replaced: set when another page takes over; the socket is closed once everything is sent.
    """

    def __init__(self, socket: WebSocket) -> None:
        self._socket, self._loop = socket, asyncio.get_running_loop()
        self._messages: deque[str | bytes] = deque()
        self._wake = asyncio.Event()
        self.replaced = False

    def send(self, message: str | bytes) -> None:
        """See `guided_seg.app.replies.Outbox`."""
        self._messages.append(message)
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._wake.set)

    @property
    def full(self) -> bool:
        """See `guided_seg.app.replies.Outbox`."""
        return len(self._messages) > WAITING

    async def deliver(self) -> None:
        """Send what is put in, until the task is cancelled or another page replaces this one."""
        while True:
            self._wake.clear()
            while self._messages:
                message = self._messages.popleft()
                if isinstance(message, str):
                    await self._socket.send_text(message)
                else:
                    await self._socket.send_bytes(message)
            if self.replaced:
                await self._socket.close(1000)
                return
            await self._wake.wait()


async def talk(socket: WebSocket, desk: Desk) -> None:
    """Pass messages between a page and its desk until the page is gone. A page that was there before is replaced."""
    outbox = SocketOutbox(socket)
    earlier = desk.outbox
    desk.connect(outbox)
    if isinstance(earlier, SocketOutbox):
        earlier.replaced = True
        earlier.send(bye("This page was opened in another tab."))
    delivering = asyncio.create_task(outbox.deliver())
    try:
        while (message := await socket.receive())["type"] != "websocket.disconnect":
            text = message.get("text")
            if text is None:
                desk.refuse("A message of bytes came; messages are JSON text. Reload the page.")
            else:
                desk.receive(text)
    finally:
        desk.disconnect(outbox)
        delivering.cancel()
        with suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
            await delivering


async def taken(desk: Desk) -> bool:
    """Whether a desk has a page that stays: a tab that opens the address again closes its old page first."""
    for _ in range(20):
        if desk.outbox is None:
            return False
        await asyncio.sleep(0.025)
    return True


def elsewhere(address: str) -> str:
    """The message that sends a page to another address, as its own is open in another tab."""
    return json.dumps({"type": "elsewhere", "address": address})


def bye(text: str) -> str:
    """The message after which a page does not connect again."""
    return json.dumps({"type": "bye", "text": text})
