"""What a request that is called valid lacks to be so: an Idempotency-Key of its own, as that one stands for one request
is not in the document; an If-Match or If-None-Match that fits its pattern, in whose place comes a text that is one longer than allowed,
or an empty one; and an id in the path, where it is taken from a field of an answer that is null. An update of an API key
does not end it, as it may be the key that all requests come with. And texts of the document's own formats, which are
described in its introduction."""

import re
import uuid

import schemathesis
from hypothesis import strategies as st

TAG = r'(W/)?"(0|[1-9][0-9]{0,8})((--?|;)(gzip|br|zstd|deflate|identity))?"'
TAGS = re.compile(rf"\*|{TAG}( *, *{TAG})*")

# Letters, marks, numbers, punctuation and symbols are visible; the service trims spaces and rejects controls.
VISIBLE = st.characters(categories=("L", "N", "P", "S"), exclude_characters="\u115f\u1160\u3164\uffa0\u2800\U0001d159")
INNER = st.one_of(VISIBLE, st.sampled_from(" \u0301\u200c\u200d\ufe0f"))
LINE = st.one_of(
    st.text(VISIBLE, min_size=1),
    st.builds("{}{}{}".format, VISIBLE, st.text(INNER), VISIBLE),
)
PART = st.text(VISIBLE.filter(lambda c: c != "@"), min_size=1, max_size=60)
schemathesis.openapi.format("line", LINE)
schemathesis.openapi.format("lines", st.one_of(LINE, st.builds("{}\n\t{}".format, LINE, LINE)))
schemathesis.openapi.format("email-address", st.builds("{}@{}".format, PART, PART))


@schemathesis.hook
def before_call(context, case, **_):
    headers = case.headers or {}
    if case.meta is not None and not case.meta.generation.mode.is_positive:
        return
    if "Idempotency-Key" in headers:
        headers["Idempotency-Key"] = str(uuid.uuid4())
    for name in ("If-Match", "If-None-Match"):
        if name in headers and not TAGS.fullmatch(headers[name]):
            headers[name] = "*"
    if case.path == "/v1/api-keys/{api_key_id}" and isinstance(case.body, dict):
        case.body.pop("expires_at", None)
    for name, value in (case.path_parameters or {}).items():
        if value in (None, "None"):
            case.path_parameters[name] = str(uuid.uuid4())
