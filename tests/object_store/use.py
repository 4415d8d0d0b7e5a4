"""What people write in labs: programs of AWS without any configuration. Arguments: what to use, for how many seconds, and
a bucket. Says as JSON how often it worked, what was refused, and the names of the keys it had."""

import json
import sys
import time

kind, seconds, bucket = sys.argv[1], float(sys.argv[2]), sys.argv[3]
keys, refused, done = set(), [], 0

if kind == "boto3":
    import boto3

    session = boto3.Session()
    client = session.client("s3")

    def round_trip(number):
        body = f"{number}".encode()
        client.put_object(Bucket=bucket, Key="boto3/object", Body=body)
        assert client.get_object(Bucket=bucket, Key="boto3/object")["Body"].read() == body
        keys.add(session.get_credentials().get_frozen_credentials().access_key)

elif kind == "s3fs":
    import s3fs

    system = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)

    def round_trip(number):
        with system.open(f"{bucket}/s3fs/object", "wb") as file:
            file.write(f"{number}".encode())
        assert system.cat(f"{bucket}/s3fs/object") == f"{number}".encode()

elif kind == "rclone":
    import os
    import re
    import subprocess
    import tempfile
    import urllib.error
    import urllib.request

    # One process for the whole time, asked over HTTP: each command anew would get keys anew. The fourth argument is the
    # program.
    folder = tempfile.TemporaryDirectory()
    serving = [sys.argv[4], "rcd", "--rc-no-auth", "--rc-addr=127.0.0.1:0", "--retries=1", "--low-level-retries=1"]
    process = subprocess.Popen(serving, stderr=subprocess.PIPE, text=True, env={**os.environ, "HOME": folder.name})
    said = ""
    while not (found := re.search(r"http://127\.0\.0\.1:\d+", said)):
        line = process.stderr.readline()
        assert line, said
        said += line

    def ask(command, **arguments):
        body = json.dumps(arguments).encode()
        question = urllib.request.Request(f"{found[0]}/{command}", body, {"Content-Type": "application/json"})
        try:
            return json.load(urllib.request.urlopen(question))
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from None

    def copy(source, target):
        ask("operations/copyfile", srcFs=source[0], srcRemote=source[1], dstFs=target[0], dstRemote=target[1])

    def round_trip(number):
        there, sent, back = (f"main:{bucket}", "rclone/object"), (folder.name, "sent"), (folder.name, f"back-{number}")
        with open(f"{folder.name}/sent", "w") as file:
            file.write(f"{number}")
        copy(sent, there)
        copy(there, back)
        with open(f"{folder.name}/{back[1]}") as file:
            assert file.read() == f"{number}"

elif kind == "whoami":
    import boto3

    # The fourth argument is where identities are told.
    print(json.dumps(boto3.client("sts", endpoint_url=sys.argv[4]).get_caller_identity()["Arn"]))
    sys.exit(0)

end = time.monotonic() + seconds
while time.monotonic() < end or done + len(refused) == 0:
    try:
        round_trip(done)
        done += 1
    except Exception as error:
        refused.append(f"{type(error).__name__}: {error}")
        if len(refused) > 5:
            break
    # As often as a machine with other work can do.
    time.sleep(0.05)
if kind == "rclone":
    process.kill()
print(json.dumps({"done": done, "refused": refused, "keys": sorted(keys)}))
