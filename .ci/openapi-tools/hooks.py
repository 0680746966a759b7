"""What a request that is called valid lacks to be so: an Idempotency-Key of its own, as that one stands for one request
is not in the document; an If-Match that fits its pattern, in whose place comes a text that is one longer than allowed,
or an empty one; and an id in the path, where it is taken from a field of an answer that is null."""

import re
import uuid

import schemathesis

TAGS = re.compile(r'\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*')


@schemathesis.hook
def before_call(context, case, **_):
    headers = case.headers or {}
    if case.meta is not None and not case.meta.generation.mode.is_positive:
        return
    if "Idempotency-Key" in headers:
        headers["Idempotency-Key"] = str(uuid.uuid4())
    if "If-Match" in headers and not TAGS.fullmatch(headers["If-Match"]):
        headers["If-Match"] = "*"
    for name, value in (case.path_parameters or {}).items():
        if value in (None, "None"):
            case.path_parameters[name] = str(uuid.uuid4())
