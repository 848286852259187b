"""What checks types and shapes in the tests: beartype, agreeing with mypy that an int is a float."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, get_type_hints

import jaxtyping
from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintException

checker = beartype(conf=BeartypeConf(is_pep484_tower=True))
_shapes_and_types = jaxtyping.jaxtyped
_ARRAYS = {name for name, kind in vars(jaxtyping).items() if isinstance(kind, type)}


def _takes_arrays(function: Callable[..., Any]) -> bool:
    """Whether an annotation has a shape, written there or behind a name such as `Weights`."""
    words = {word for hint in function.__annotations__.values() for word in re.findall(r"\w+", str(hint))}
    named = (function.__globals__.get(word) for word in words)
    return bool(words & _ARRAYS) or any("jaxtyping" in repr(kind) for kind in named)


def _checked(function: Any, *, typechecker: Any) -> Any:
    """Check shapes where there are any. What checks them costs a call thirty times as much as types alone do."""
    if isinstance(function, type) or _takes_arrays(function):
        return _shapes_and_types(function, typechecker=typechecker)
    chosen: Callable[..., Any] | None = None

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        nonlocal chosen
        if jaxtyping.config.jaxtyping_disable:
            return function(*args, **options)
        if chosen is None:  # only now has the module all the names of its hints
            chosen = _by_types(function) or _shapes_and_types(function, typechecker=typechecker)
        return chosen(*args, **options)

    return call


def _by_types(function: Any) -> Any:
    """The function with its types checked; None where beartype cannot, as of names that only mypy has."""
    try:
        get_type_hints(function)
        return checker(function)
    except (NameError, BeartypeDecorHintException):
        return None


def check_shapes_only_where_there_are_any() -> None:
    """Let the plugin of jaxtyping, which decorates every function, leave those without arrays to beartype alone."""

    def jaxtyped(*, typechecker: Any) -> Callable[[Any], Any]:
        return lambda function: _checked(function, typechecker=typechecker)

    jaxtyping.jaxtyped = jaxtyped
