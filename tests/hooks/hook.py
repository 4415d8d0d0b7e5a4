"""A hook for tests: notes what it is asked in the file that is named first, and answers as the file beside it says.

The file `NAME.answer` holds the answer as JSON; a line of `exit N`, `hang` or `flood` instead says how to misbehave.
"""

import json
import pathlib
import sys
import time

notes = pathlib.Path(sys.argv[1])
question = json.load(sys.stdin)
with notes.open("a") as file:
    file.write(json.dumps(question) + "\n")
answer = notes.with_suffix(".answer")
text = answer.read_text().strip() if answer.exists() else "{}"
if text.startswith("exit "):
    print("the disk is full", file=sys.stderr)
    sys.exit(int(text.removeprefix("exit ")))
if text == "hang":
    time.sleep(3600)
while text == "flood":
    print("x" * 65536)
print(text)
