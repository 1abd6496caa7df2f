"""What the cases of schemathesis were answered, counted into the file that ANSWERS names."""
import atexit
import collections
import json
import os

import schemathesis

COUNTED = collections.Counter()


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
