"""Each valid request has an Idempotency-Key of its own: that one stands for one request is not in the document."""

import uuid

import schemathesis


@schemathesis.hook
def before_call(context, case, **_):
    is_valid = case.meta is None or case.meta.generation.mode.is_positive
    if is_valid and "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
