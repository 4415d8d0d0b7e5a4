"""Reads Prometheus' text and tells its families as JSON: type, label names, buckets, and the samples' labels."""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

families = {}
for family in text_string_to_metric_families(sys.stdin.read()):
    told = families.setdefault(family.name, {"type": family.type, "labels": [], "buckets": [], "samples": []})
    for sample in family.samples:
        labels = dict(sample.labels)
        bound = labels.pop("le", None)
        if bound is not None and bound not in told["buckets"]:
            told["buckets"].append(bound)
        for name in labels:
            if name not in told["labels"]:
                told["labels"].append(name)
        told["samples"].append([sample.name, labels, sample.value])
    told["labels"].sort()
json.dump(families, sys.stdout, allow_nan=False, default=str)
