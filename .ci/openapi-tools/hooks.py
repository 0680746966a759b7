"""Each request has an Idempotency-Key of its own: that one stands for one request is not in the document."""

import uuid

import schemathesis


@schemathesis.hook
def before_call(context, case, **_):
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and 1 <= len(key) <= 255 and all("!" <= letter <= "~" for letter in key):
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
