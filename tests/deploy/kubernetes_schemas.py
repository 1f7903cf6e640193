"""What a Kubernetes server would refuse: built-in kinds by its own JSON schemas, Dask's by CRDs.

Both come from packages, nothing is loaded: kubernetes-validate and dask-kubernetes.
"""

import json
from functools import cache
from pathlib import Path

import dask_kubernetes
import jsonschema
import kubernetes_validate
import referencing
import yaml

_CRDS = Path(dask_kubernetes.__file__).parent.joinpath(
    "operator", "deployment", "helm", "dask-kubernetes-operator", "crds"
)
_SCHEMAS = Path(kubernetes_validate.__file__).with_name("kubernetes-json-schema")


@cache
def crds():
    """The operator's CustomResourceDefinitions."""
    documents = []
    for file in sorted(_CRDS.glob("*.yaml")):
        # a megabyte: the parser in C, where PyYAML has it
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        documents += [found for found in yaml.load_all(file.read_text(), loader) if found]
    return documents


def errors(resource):
    """What is wrong with a resource, one line a fault; fields that no schema knows are."""
    group, _, _ = resource["apiVersion"].rpartition("/")
    if group == "kubernetes.dask.org":
        validator, checked = _custom(resource["kind"]), _without_nulls(resource)
    else:
        validator, checked = _built_in(resource["apiVersion"], resource["kind"]), resource
    return [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message[:300]}"
        for error in validator.iter_errors(checked)
    ]


@cache
def _built_in(api_version, kind):
    newest = kubernetes_validate.latest_version().removeprefix("v")
    [folder] = _SCHEMAS.glob(f"v{newest}*-local-strict")
    group, _, version = api_version.rpartition("/")
    name = f"{group.partition('.')[0]}-{version}" if group else version
    schema = json.loads((folder / f"{kind.lower()}-{name}.json").read_text())
    return jsonschema.Draft202012Validator(schema, registry=_definitions(folder))


@cache
def _definitions(folder):
    contents = json.loads((folder / "_definitions.json").read_text())
    return referencing.Resource.from_contents(contents) @ referencing.Registry()


@cache
def _custom(kind):
    [crd] = [crd for crd in crds() if crd["spec"]["names"]["kind"] == kind]
    [version] = crd["spec"]["versions"]
    schema = _closed(version["schema"]["openAPIV3Schema"])
    schema["properties"].update(apiVersion={}, kind={}, metadata={})
    return jsonschema.Draft7Validator(schema)


def _closed(schema):
    """A structural schema as one that refuses unknown fields, as strict validation does."""
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    schema = dict(schema)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            schema[key] = _closed(schema[key])
    if "properties" in schema:
        schema["properties"] = {key: _closed(value) for key, value in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
    return schema


def _without_nulls(value):
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value
