"""Messages of the page: the right ones are read, and the others are refused in a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pages import MESSAGES

from guided_seg.app.messages import LONGEST, parse
from guided_seg.errors import UserError

DOT = {"n": 1, "do": "dot", "image": "a", "row": 1, "column": 2, "label": 1}
BAD = [
    *("", " ", "null", "[]", "7", '"dot"', "{", "{}", "dot", "\x00", "\ud800", '{"n": 1}', '{"n": 1, "do": "dance"}'),
    *("[" * 100_000, '{"n": ' * 1_000, "x" * (LONGEST + 1), '{"n": 1, "do": "look", "image": NaN}'),
    *(json.dumps(DOT | change) for change in ({"row": -1}, {"row": 1.5}, {"row": "1"}, {"row": None}, {"row": True})),
    *(json.dumps(DOT | change) for change in ({"row": 2**31}, {"row": 10**400}, {"label": []}, {"image": ""})),
    *(json.dumps(DOT | change) for change in ({"image": 3}, {"image": "a" * 1025}, {"more": 1}, {"n": -1}, {"n": "1"})),
    *(json.dumps({key: value for key, value in DOT.items() if key != lost}) for lost in DOT),
    json.dumps(DOT | {"do": "move", "start": [1], "end": [1, 2]}),
    json.dumps({"n": 1, "do": "scribble", "image": "a", "points": [], "label": 1}),
    json.dumps({"n": 1, "do": "scribble", "image": "a", "points": [[1, 2]] * 10_001, "label": 1}),
    json.dumps({"n": 1, "do": "box", "image": "a", "box": [1, 2, 3], "label": 1}),
    json.dumps({"n": 1, "do": "label", "name": ""}),
    json.dumps({"n": 1, "do": "label", "name": "a" * 101}),
    json.dumps({"n": 1, "do": "play", "video": "v", "memory": "elephant"}),
    json.dumps({"n": 1, "do": "view", "image": "a", "what": "x-ray", "label": 1}),
]


@pytest.mark.parametrize("content", MESSAGES, ids=lambda content: content["do"])
def test_a_message_is_read(content: dict[str, Any]) -> None:
    message = parse(json.dumps({"n": 7, **content}))
    assert (message.n, message.do) == (7, content["do"])


@pytest.mark.parametrize("text", BAD, ids=lambda text: ascii(text[:40]))
def test_anything_else_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(text)
    sentence = str(caught.value)
    assert len(sentence.split()) >= 5
    assert "\n" not in sentence
    assert len(sentence) < 400


@given(text=st.text() | st.recursive(st.none() | st.integers() | st.text(), lambda x: st.dictionaries(st.text(), x)))
def test_no_text_does_anything_else(text: object) -> None:
    with pytest.raises(UserError):
        parse(text if isinstance(text, str) else json.dumps(text))
