"""The REST interface of the store, as far as kubectl, kopf, kr8s and the Dask operator use it."""

import asyncio
import copy
import functools
import json

from aiohttp import web
from kubernetes_store import PODS, Refused

# the newest that kr8s knows
_VERSION = "v1.35.0"
_OPENAPI_CORE = {"serverRelativeURL": "/openapi/v3/api/v1"}
_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


def application(store, logs):
    """An aiohttp application over a `Store`; pods' logs are files in a folder."""
    app = web.Application(client_max_size=2**24, middlewares=[_refusals])
    handler = _Handler(store, logs)
    for end in ("", "/"):
        app.router.add_get(f"/version{end}", handler.version)
        app.router.add_get(f"/api{end}", handler.versions)
        app.router.add_get(f"/apis{end}", handler.groups)
    app.router.add_get("/openapi/v3", handler.openapi_index)
    for prefix in ("/api/{version}", "/apis/{group}/{version}"):
        app.router.add_get(prefix, handler.resources)
        app.router.add_get(f"/openapi/v3{prefix}", handler.openapi)
        # the longer first: "namespaces" might be taken for a plural
        for place in ("/namespaces/{namespace}", ""):
            path = f"{prefix}{place}/{{plural}}"
            app.router.add_get(path, handler.list)
            app.router.add_post(path, handler.create)
            for suffix in ("", "/{subresource}"):
                app.router.add_get(f"{path}/{{name}}{suffix}", handler.get)
                app.router.add_put(f"{path}/{{name}}{suffix}", handler.replace)
                app.router.add_patch(f"{path}/{{name}}{suffix}", handler.patch)
            app.router.add_delete(f"{path}/{{name}}", handler.delete)
    return app


@web.middleware
async def _refusals(request, handler):
    try:
        response = await handler(request)
        if not response.prepared:
            # kr8s leaves connections that are kept to the garbage collector
            response.force_close()
        return response
    except Refused as error:
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        status |= {"message": str(error), "reason": error.reason, "code": error.status}
        refusal = web.json_response(status, status=error.status)
        refusal.force_close()
        return refusal


class _Handler:
    def __init__(self, store, logs):
        self.store, self.logs = store, logs

    async def version(self, request):
        return web.json_response({"major": "1", "minor": "35", "gitVersion": _VERSION})

    async def versions(self, request):
        return web.json_response({"kind": "APIVersions", "versions": ["v1"]})

    async def groups(self, request):
        served = {r.group: r.version for r in self.store.resources.values() if r.group}
        groups = []
        for group, version in served.items():
            known = {"groupVersion": f"{group}/{version}", "version": version}
            groups.append({"name": group, "versions": [known], "preferredVersion": known})
        return web.json_response({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})

    async def resources(self, request):
        group, version = request.match_info.get("group", ""), request.match_info["version"]
        found = []
        for resource in self.store.resources.values():
            if (resource.group, resource.version) != (group, version):
                continue
            entry = {"name": resource.plural, "singularName": resource.kind.lower()}
            entry |= {"namespaced": resource.namespaced, "kind": resource.kind, "verbs": _VERBS}
            found += [entry, entry | {"name": f"{resource.plural}/status"}]
        if not found:
            raise Refused(404, "NotFound", "no such group")
        place = f"{group}/{version}" if group else version
        body = {"kind": "APIResourceList", "apiVersion": "v1"}
        return web.json_response(body | {"groupVersion": place, "resources": found})

    async def openapi_index(self, request):
        places = {f"apis/{r.api_version}" for r in self.store.resources.values() if r.group}
        paths = {place: {"serverRelativeURL": f"/openapi/v3/{place}"} for place in places}
        return web.json_response({"paths": paths | {"api/v1": _OPENAPI_CORE}})

    async def openapi(self, request):
        """All that kubectl looks for: that the server checks the fields of what it is given."""
        group, version = request.match_info.get("group", ""), request.match_info["version"]
        paths = {}
        for resource in self.store.resources.values():
            if (resource.group, resource.version) == (group, version):
                kind = {"group": group, "version": version, "kind": resource.kind}
                patch = {"parameters": [{"name": "fieldValidation", "in": "query"}]}
                patch |= {"x-kubernetes-group-version-kind": kind, "responses": {}}
                paths[f"/{resource.plural}/{{name}}"] = {"patch": patch}
        info = {"title": "Kubernetes", "version": _VERSION}
        return web.json_response({"openapi": "3.0.0", "info": info, "paths": paths})

    def _target(self, request):
        found = request.match_info
        key = (found.get("group", ""), found["version"], found["plural"])
        if key not in self.store.resources:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        return self.store.resources[key], found.get("namespace"), found.get("name")

    async def list(self, request):
        resource, namespace, _ = self._target(request)
        chosen = functools.partial(_selected, request.query, namespace)
        if request.query.get("watch") in ("1", "true"):
            return await self._watch(request, resource, chosen)
        items = [body for body in self.store.list(resource, namespace) if chosen(body)]
        metadata = {"resourceVersion": str(self.store.version)}
        body = {"kind": f"{resource.kind}List", "apiVersion": resource.api_version}
        return web.json_response(body | {"metadata": metadata, "items": items})

    async def _watch(self, request, resource, chosen):
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        since = int(request.query.get("resourceVersion") or self.store.version)
        try:
            async with asyncio.timeout(float(request.query.get("timeoutSeconds", 3600))):
                async for change, body in self.store.watch(resource, since):
                    if chosen(body):
                        event = {"type": change, "object": body}
                        await response.write(json.dumps(event).encode() + b"\n")
        except (TimeoutError, ConnectionError):
            pass
        return response

    async def create(self, request):
        resource, namespace, _ = self._target(request)
        body = self.store.create(resource, namespace, await request.json())
        return web.json_response(body, status=201)

    async def get(self, request):
        resource, namespace, name = self._target(request)
        body = self.store.get(resource, namespace, name)
        if resource is PODS and request.match_info.get("subresource") == "log":
            return await self._log(request, namespace, name)
        return web.json_response(body)

    async def _log(self, request, namespace, name):
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        follow = request.query.get("follow") in ("1", "true")
        read = 0
        while True:
            key = (PODS, namespace, name)
            over = key not in self.store.objects or (
                self.store.objects[key]["status"]["phase"] in ("Succeeded", "Failed")
            )
            text = (self.logs / f"{namespace}.{name}.log").read_bytes()
            await response.write(text[read:])
            read = len(text)
            if over or not follow:
                return response
            await asyncio.sleep(0.2)

    async def replace(self, request):
        resource, namespace, name = self._target(request)
        body = await request.json()
        old = self.store.get(resource, namespace, name)
        given = body["metadata"].get("resourceVersion")
        if given and given != old["metadata"]["resourceVersion"]:
            raise Refused(409, "Conflict", "the object has been modified")
        return web.json_response(self.store.replace(resource, namespace, name, body))

    async def patch(self, request):
        resource, namespace, name = self._target(request)
        changes = await request.json()
        body = copy.deepcopy(self.store.get(resource, namespace, name))
        if "json-patch" in request.content_type:
            _apply_operations(body, changes)
        else:
            _merge(body, changes)
        return web.json_response(self.store.replace(resource, namespace, name, body))

    async def delete(self, request):
        resource, namespace, name = self._target(request)
        options = await request.json() if request.can_read_body else {}
        grace = options.get("gracePeriodSeconds", request.query.get("gracePeriodSeconds"))
        grace = None if grace is None else int(grace)
        return web.json_response(self.store.delete(resource, namespace, name, grace))


def _selected(query, namespace, body):
    if namespace is not None and body["metadata"].get("namespace") not in (namespace, None):
        return False
    labels = body["metadata"].get("labels") or {}

    def field(path):
        return functools.reduce(lambda inner, key: (inner or {}).get(key), path.split("."), body)

    return _matches(query.get("labelSelector"), labels.get) and _matches(
        query.get("fieldSelector"), field
    )


def _matches(selector, value):
    for term in filter(None, (selector or "").split(",")):
        if "!=" in term:
            key, unwanted = term.split("!=")
            holds = value(key) != unwanted
        elif "=" in term:
            key, wanted = term.replace("==", "=").split("=")
            holds = value(key) == wanted
        else:
            holds = value(term) is not None
        if not holds:
            return False
    return True


def _merge(body, changes):
    """A merge patch (RFC 7396); strategic ones are taken for such."""
    for key, value in changes.items():
        if value is None:
            body.pop(key, None)
        elif isinstance(value, dict):
            inner = body.get(key)
            body[key] = _merge(inner if isinstance(inner, dict) else {}, value)
        else:
            body[key] = value
    return body


def _apply_operations(body, operations):
    """A JSON patch (RFC 6902): what kopf and kr8s send of it."""
    for operation in operations:
        steps = operation["path"].strip("/").split("/")
        *path, last = [step.replace("~1", "/").replace("~0", "~") for step in steps]
        place = body
        for step in path:
            place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
        kind = operation["op"]
        if isinstance(place, list) and last != "-":
            last = int(last)
        if kind == "test":
            if place[last] != operation["value"]:
                raise Refused(422, "Invalid", f"test of {operation['path']} failed")
        elif kind == "remove":
            del place[last]
        elif isinstance(place, list) and kind == "add":
            place.insert(len(place) if last == "-" else last, operation["value"])
        else:
            place[last] = operation["value"]
