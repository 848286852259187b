"""What checks types and shapes in the tests: beartype, agreeing with mypy that an int is a float."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

checker = beartype(conf=BeartypeConf(is_pep484_tower=True))
