"""What checks types and shapes in the tests: beartype, agreeing with mypy that an int is a float."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import wraps
from inspect import isgeneratorfunction
from types import CellType, CodeType, FunctionType
from typing import Any, get_type_hints

import jaxtyping
from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintException

checker = beartype(conf=BeartypeConf(is_pep484_tower=True))
_shape_checker = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=jaxtyping.TypeCheckError))
_jaxtyped = jaxtyping.jaxtyped
_ARRAYS = {name for name, kind in vars(jaxtyping).items() if isinstance(kind, type)}
_FUNCTION = "__beartype_func"
"""The keyword by which what beartype makes of a function finds the function."""

_checks: dict[CodeType, tuple[bool, Any]] = {}
"""Whether functions of a code take arrays and, once one was called, what checks them: see `_checking`."""


def _takes_arrays(function: Callable[..., Any]) -> bool:
    """Whether an annotation has a shape, written there or behind a name such as `Weights`."""
    words = {word for hint in function.__annotations__.values() for word in re.findall(r"\w+", str(hint))}
    named = (function.__globals__.get(word) for word in words)
    return bool(words & _ARRAYS) or any("jaxtyping" in repr(kind) for kind in named)


def _checked(function: Any, *, typechecker: Any) -> Any:
    """Check shapes where there are any, each once: jaxtyping would check those of arguments again with the result."""
    if isinstance(function, type):
        if is_dataclass(function) and not hasattr(function.__init__, "__wrapped__"):
            function.__init__ = _checked(function.__init__, typechecker=typechecker)  # type: ignore[misc]
        return function
    arrays, check = _checks.get(function.__code__, (False, None))
    chosen = check and _checking(function, check)

    def choose() -> Any:  # only when it is called has the module all the names of its hints
        nonlocal arrays, chosen
        arrays = _takes_arrays(function)
        check = _by_shapes(function) if arrays else _by_types(function, checker)
        _checks[function.__code__] = arrays, check
        chosen = (check and _checking(function, check)) or _jaxtyped(function, typechecker=typechecker)
        return chosen

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        if jaxtyping.config.jaxtyping_disable:
            return function(*args, **options)
        checked = chosen or choose()
        if not arrays:
            return checked(*args, **options)
        with _jaxtyped("context"):  # one name is one length in arguments and result
            return checked(*args, **options)

    return call


def _checking(function: Any, check: Any) -> Any:
    """The function, checked by what `_by_types` gives for any function of its code; None where beartype has changed.

    A function inside another one is a new one in each call of the outer, and to make a check takes milliseconds.
    """
    if check.__code__ is function.__code__:  # there is nothing to check
        return function
    if _FUNCTION not in (check.__kwdefaults__ or {}):
        return None
    made = FunctionType(check.__code__, check.__globals__, check.__name__)
    made.__kwdefaults__ = check.__kwdefaults__ | {_FUNCTION: function}
    return made


def _by_shapes(function: Any) -> Any:
    """What checks its shapes; None where jaxtyping has to, as what a generator yields is of no call."""
    return None if isgeneratorfunction(function) else _by_types(function, _shape_checker)


def _by_types(function: Any, decorate: Any) -> Any:
    """What checks its types; None where beartype cannot, as of names that only mypy has.

    It is made of a twin that holds none of the variables of the outer function, which would be kept for ever.
    """
    cells = tuple(CellType() for _ in function.__code__.co_freevars) or None
    twin = FunctionType(function.__code__, function.__globals__, function.__name__, None, cells)
    for name in ("__annotations__", "__defaults__", "__kwdefaults__", "__module__", "__qualname__"):
        setattr(twin, name, getattr(function, name))
    try:
        get_type_hints(function)
        return decorate(twin)
    except (NameError, BeartypeDecorHintException):
        return None


def check_shapes_only_where_there_are_any() -> None:
    """Let the plugin of jaxtyping, which decorates every function, leave those without arrays to beartype alone."""

    def jaxtyped(*, typechecker: Any) -> Callable[[Any], Any]:
        return lambda function: _checked(function, typechecker=typechecker)

    jaxtyping.jaxtyped = jaxtyped
