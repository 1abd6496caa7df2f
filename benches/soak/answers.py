"""What the cases of schemathesis were answered, counted into the file that ANSWERS names; and no case
that changes the user CALLER, who asks: a name that some answer had is tried in later ones."""
import atexit
import collections
import json
import os

import schemathesis

COUNTED = collections.Counter()
CALLER = os.environ.get("CALLER")


@schemathesis.hook
def filter_path_parameters(context, path_parameters):
    return not CALLER or (path_parameters or {}).get("name") != CALLER


@schemathesis.hook
def filter_body(context, body):
    return not CALLER or json.dumps(CALLER) not in json.dumps(body, default=str)


@schemathesis.hook
def after_call(context, case, response):
    if response.status_code == 429:
        # A failed sign-in may well be told to wait; who is signed in must not be here.
        COUNTED["throttled" if "request.throttled" in response.text else "refused"] += 1
    else:
        COUNTED["good" if response.status_code < 400 else "refused"] += 1


@atexit.register
def tell():
    with open(os.environ["ANSWERS"], "w") as out:
        json.dump(COUNTED, out)
