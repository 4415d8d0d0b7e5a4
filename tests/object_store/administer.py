"""Makes what an object store has for a test, as its administrator: a provider, roles and buckets. One JSON object on the
standard input, and the roles' ARNs on the standard output."""

import json
import sys

import boto3

asked = json.load(sys.stdin)
keys = {"aws_access_key_id": asked["key"], "aws_secret_access_key": asked["secret"]}
about = {"endpoint_url": asked["endpoint"], "region_name": "us-east-1", **keys}
iam = boto3.client("iam", **about)


def text(policy):
    # Ceph's gateway reads a plus for what it is, not for a space.
    return json.dumps(policy, separators=(",", ":"))


def policy(actions, resources):
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": resources}]}


host = asked["issuer"].split("://")[1].rstrip("/")
federated = f"arn:aws:iam:::oidc-provider/{host}"
if asked.get("thumbprint"):
    iam.create_open_id_connect_provider(
        Url=asked["issuer"], ClientIDList=asked["audiences"], ThumbprintList=[asked["thumbprint"]]
    )
trust = {
    "Version": "2012-10-17",
    "Statement": [{
        "Effect": "Allow",
        "Principal": {"Federated": [federated]},
        "Action": ["sts:AssumeRoleWithWebIdentity"],
        "Condition": {"StringEquals": {f"{host}:app_id": asked["audiences"]}},
    }],
}
made = {}
for name, buckets in asked["roles"].items():
    role = iam.create_role(RoleName=name, Path="/", AssumeRolePolicyDocument=text(trust))
    resources = [f"arn:aws:s3:::{bucket}{rest}" for bucket in buckets for rest in ("", "/*")]
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=text(policy(["s3:*"], resources)))
    made[name] = role["Role"]["Arn"]
s3 = boto3.client("s3", **about)
for bucket in asked["buckets"]:
    s3.create_bucket(Bucket=bucket)
print(json.dumps(made))
