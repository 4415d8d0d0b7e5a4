"""Somebody who is asked to start servers, notes each question and starts none."""

import json
import pathlib
import sys

question = json.load(sys.stdin)
with pathlib.Path(sys.argv[1]).open("a") as notes:
    notes.write(json.dumps(question) + "\n")
answers = {
    "start": {"refuse": "It is noted only."},
    "look": {"sight": "absent"},
    "list": {"servers": []},
}
print(json.dumps(answers.get(question["call"], {})))
