"""Edits of the annotations of an image, from the messages of a page."""

from __future__ import annotations

from guided_seg.app import messages, transport
from guided_seg.session import Session


def apply(message: messages.Edit, session: Session) -> None:
    """Do what a message says. Raises `UserError` if that is not possible; nothing is changed then."""
    image = message.image
    match message:
        case messages.Dot():
            session.dot(image, message.row, message.column, message.label)
        case messages.Move():
            session.move(image, message.start, message.end)
        case messages.Remove():
            session.remove(image, message.row, message.column)
        case messages.Scribble():
            session.scribble(image, message.points, message.label)
        case messages.Box():
            session.box(image, message.box, message.label)
        case messages.Paint():
            pixels = transport.mask_of(message.runs, session.picture(image).size)
            session.mask(image, pixels, message.label)
