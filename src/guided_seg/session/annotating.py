"""Annotating the images of a session: labels, dots and masks, undo and redo."""

from __future__ import annotations

from collections.abc import Iterable

from numpy.typing import ArrayLike

from guided_seg.errors import UserError
from guided_seg.session.arguments import entries, marked, pair, text, whole_number
from guided_seg.session.marks import Pixel
from guided_seg.session.store import NEGATIVE, Store
from guided_seg.session.strokes import along, around, inside


class Annotating(Store):
    """A store whose images and frames can be annotated with dots and masks.

    Pass a label by its name, or by its number in label maps. An invalid argument raises a `UserError` and changes
    nothing.
    """

    def dot(self, image_id: str, row: int, column: int, label: str | int) -> None:
        """Annotate a pixel with a label, which may be `NEGATIVE`. An earlier dot there is replaced.

        Args:
            image_id: id of an image or a `frame`.
            row: row of the pixel, from 0 at the top.
            column: column of the pixel, from 0 at the left.
            label: name, or number in `labels`.

        Raises:
            UserError: there is no such image or label, or the pixel lies outside the image.
        """
        self._annotations.dot(image_id, self._pixel(image_id, row, column), self._number(label))

    def scribble(self, image_id: str, points: Iterable[tuple[int, int]], label: str | int) -> None:
        """Annotate a line with a label: dots along it, as one step to undo.

        Args:
            image_id: id of an image or a `frame`.
            points: (row, column) of the corners of the line, one or more. The line is straight between them.
            label: name, or number in `labels`.

        Raises:
            UserError: there is no such image or label, no point, or a point lies outside the image.
        """
        size, number = self.picture(image_id).size, self._number(label)
        found = entries(points, "A scribble is a list of points (row, column), one or more")
        corners = [self._pixel(image_id, *pair(point, "A point of a scribble")) for point in found]
        self._annotations.dots(image_id, dict.fromkeys(along(corners, size), number))

    def box(self, image_id: str, box: tuple[int, int, int, int], label: str | int) -> None:
        """Annotate the object in a box: dots with its label inside, and `NEGATIVE` ones around, as one step to undo.

        Args:
            image_id: id of an image or a `frame`.
            box: first row, first column, last row and last column of the object: (top, left, bottom, right).
            label: name, or number in `labels`; not `NEGATIVE`.

        Raises:
            UserError: there is no such image or label, the label is `NEGATIVE`, or the box is not in the image.
        """
        number = self._number(label)
        if not number:
            raise UserError("A box is drawn around an object, so it needs a label other than negative; choose one.")
        top, left, bottom, right = entries(box, "A box is (top, left, bottom, right)", 4)
        first, last = self._pixel(image_id, top, left), self._pixel(image_id, bottom, right)
        if last[0] < first[0] or last[1] < first[1]:
            raise UserError(
                f"The box ends at row {last[0]}, column {last[1]}, before it begins at row {first[0]}, column "
                f"{first[1]}; give its first row and column, then its last ones."
            )
        size, ends = self.picture(image_id).size, (*first, *last)
        dots = dict.fromkeys(around(ends, size), 0) | dict.fromkeys(inside(ends), number)
        self._annotations.dots(image_id, dots)

    def move(self, image_id: str, start: tuple[int, int], end: tuple[int, int]) -> None:
        """Move a dot from one (row, column) to another, replacing any dot there.

        Raises:
            UserError: there is no such image, no dot at ``start``, or ``end`` lies outside the image.
        """
        old, new = (self._pixel(image_id, *pair(at, what)) for at, what in ((start, "start"), (end, "end")))
        if old not in {dot[:2] for dot in self.dots(image_id)}:
            raise UserError(f"There is no dot at row {old[0]}, column {old[1]} of {image_id!r} to move.")
        self._annotations.move(image_id, old, new)

    def remove(self, image_id: str, row: int, column: int) -> None:
        """Remove the dot at a pixel, if there is one.

        Raises:
            UserError: there is no such image, or the pixel lies outside it.
        """
        self._annotations.dot(image_id, self._pixel(image_id, row, column), None)

    def mask(self, image_id: str, pixels: ArrayLike, label: str | int) -> None:
        """Annotate all pixels of a mask with a label, replacing earlier annotations of these pixels.

        Args:
            image_id: id of an image or a `frame`.
            pixels: ``[H, W]``, true or nonzero at the pixels to label.
            label: name, or number in `labels`.

        Raises:
            UserError: there is no such image or label, or the sizes of mask and image differ.
        """
        where = marked(pixels, image_id, self.picture(image_id).size)
        self._annotations.paint(image_id, where, self._number(label))

    def forget_history(self) -> None:
        """Clear the undo history."""
        self._annotations.forget_history()

    def clear(self, image_id: str | None = None) -> None:
        """Remove all dots and masks of an image, or of all images.

        Raises:
            UserError: there is no such image.
        """
        if image_id is not None:
            self.picture(image_id)
        self._annotations.clear([image_id] if image_id is not None else self._annotations.images())

    def rename_label(self, old: str | int, new: str) -> None:
        """Give a label another name. Its number and its annotations stay.

        Args:
            old: name, or number in `labels`; not `NEGATIVE`.
            new: a name that no other label has.

        Raises:
            UserError: there is no such label, it is `NEGATIVE`, or the name is taken.
        """
        number = self._positive(old, "renamed")
        if text(new, "The name of a label") != self._labels[number]:
            self._annotations.rename(number, self._new_label(new))

    def remove_label(self, label: str | int) -> None:
        """Remove a label with all its dots and masks. The labels behind it move up by one number.

        Args:
            label: name, or number in `labels`; not `NEGATIVE`, and not the only other one.

        Raises:
            UserError: there is no such label, it is `NEGATIVE`, or it is the last one.
        """
        number = self._positive(label, "removed")
        if len(self._labels) == 2:
            raise UserError(
                f"{self._labels[number]!r} is the last label and cannot be removed; rename it, or add another first."
            )
        self._annotations.remove_label(number)

    def undo(self) -> bool:
        """Undo the last change of dots, masks and labels; False if there is none.

        That a label was added is no change to undo. But where an earlier change gives its name back to another label,
        it goes, until redo brings it again.
        """
        return self._annotations.undo()

    def redo(self) -> bool:
        """Redo the change undone last; False if there is none."""
        return self._annotations.redo()

    def _positive(self, label: object, what: str) -> int:
        """The number of a label that is not `NEGATIVE`."""
        number = self._number(label)
        if not number:
            raise UserError(f"The label {NEGATIVE!r} is the background and cannot be {what}; name another label.")
        return number

    def _pixel(self, image_id: str, row: object, column: object) -> Pixel:
        height, width = self.picture(image_id).size
        row, column = whole_number(row, "The row of a dot"), whole_number(column, "The column of a dot")
        if not (0 <= row < height and 0 <= column < width):
            raise UserError(
                f"The dot at row {row}, column {column} lies outside its {height} x {width} image {image_id!r}; "
                f"rows go from 0 to {height - 1} and columns from 0 to {width - 1}."
            )
        return row, column
