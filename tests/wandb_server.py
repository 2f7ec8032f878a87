"""A stand-in for W&B's server, on this machine: it is not W&B.

It answers what the SDK's service (wandb-core 0.31) asks while runs are logged online, well enough for the runs to end
well, and keeps what was sent. What it cannot show: that W&B's own server takes the same, its limits, and its pages.
Answers are given by the name of each GraphQL operation, whatever fields are asked for; an operation that is not known
is answered with an error and kept in `unknown`, so that a test notices it.
"""

# ruff: noqa: N802 - methods are named as the operations that they answer

import base64
import contextlib
import gzip
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

KEY = "0123456789abcdef" * 2 + "01234567"
"""A key as W&B's look: 40 characters."""
ENTITY = "team"
LONG_AGO = "2026-01-01T00:00:00Z"


@dataclass
class OnlineRun:
    """A run as the server knows it.

    Args:
        name: its id (the server calls it name).
        said: what was said of it by `UpsertBucket`, the last word on each: `displayName`, `jobType`, `config` …
        history: rows, as they were streamed.
        summary: the last that was streamed.
        files: path -> content of its own files.
        inputs, outputs: artifacts, as `name:vN`.
        exit_code: None until it ended.
    """

    name: str
    project: str
    entity: str
    said: dict = field(default_factory=dict)
    history: list = field(default_factory=list)
    summary: dict = field(default_factory=dict)
    files: dict = field(default_factory=dict)
    inputs: list = field(default_factory=list)
    outputs: list = field(default_factory=list)
    exit_code: int | None = None

    @property
    def config(self):
        """Its settings, without the SDK's own key."""
        told = json.loads(self.said.get("config") or "{}")
        return {key: value["value"] for key, value in told.items() if key != "_wandb"}


@dataclass
class OnlineArtifact:
    """A version of an artifact as the server knows it.

    Args:
        version: None until it is committed.
        manifest: as it was uploaded: `contents` maps each path to its digest, size and reference.
        said: `input` of `CreateArtifact`.
    """

    id: str
    name: str
    version: int | None
    type: str
    digest: str
    project: str
    entity: str
    aliases: list
    said: dict
    state: str = "PENDING"
    manifest: dict = field(default_factory=dict)

    @property
    def spec(self):
        return f"{self.name}:v{self.version}"

    @property
    def metadata(self):
        return json.loads(self.said.get("metadata") or "{}")


class WandbServer:
    """The stand-in; use it in a `with` block.

    Everything it got is in `runs` (id -> `OnlineRun`), `artifacts` (list of `OnlineArtifact`), `blobs` (MD5 in base64
    -> content of an artifact's file) and `calls` (operation, variables). `refuse` sets it to answer with an error.
    """

    def __init__(self):
        self.runs, self.artifacts, self.blobs, self.calls, self.unknown = {}, [], {}, [], []
        self.refusal, self.refused = None, 0
        self._manifests, self._lock = {}, threading.RLock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"owner": self}))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self):
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def environment(self, folder):
        """Environment variables that send the SDK here, with all that it writes in `folder`."""
        places = {f"WANDB_{name}": str(folder / name) for name in ("DATA_DIR", "CACHE_DIR", "CONFIG_DIR")}
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": KEY, "WANDB_MODE": "online", "WANDB_SILENT": "true",
                "WANDB_DIR": str(folder), "NETRC": str(folder / "netrc"), **places}  # fmt: skip

    def refuse(self, status, message="", only=r".*"):
        """Answer every call whose operation (or path) matches `only` with this status; None ends it."""
        self.refusal = (status, message, re.compile(only)) if status else None

    def named(self, *operations):
        """The variables of every call of these operations."""
        return [variables for name, variables in self.calls if name in operations]

    def artifact(self, spec):
        """The artifact `name:vN` or `name:alias` that was committed."""
        return self._find(spec.rpartition("/")[2])

    def content(self, artifact, path):
        """What was uploaded as a file of an artifact."""
        return self.blobs[artifact.manifest["contents"][path]["digest"]]

    def lineage(self):
        """(run's job type, what it read, what it logged) of every run, sorted."""
        return sorted((run.said.get("jobType"), sorted(run.inputs), sorted(run.outputs)) for run in self.runs.values())

    # What the SDK asks

    def graphql(self, query, variables):
        name = re.search(r"\b(?:query|mutation)\s+(\w+)", query)[1]
        with self._lock:
            self.calls.append((name, variables))
            answer = getattr(self, f"_on_{name}", None)
            if answer is None:
                self.unknown.append((name, query))
                return {"errors": [{"message": f"the stand-in does not know {name}"}]}
            return {"data": answer(variables)}

    def stream(self, entity, project, run_id, body):
        """A chunk of a run's history, summary, console, and at the end its exit code."""
        with self._lock:
            self.calls.append(("file_stream", body))
            run = self._run(entity, project, run_id)
            for name, chunk in (body.get("files") or {}).items():
                lines = [json.loads(line) for line in chunk["content"]] if name.endswith((".jsonl", ".json")) else []
                if name == "wandb-history.jsonl":
                    run.history[chunk["offset"] :] = lines
                elif name == "wandb-summary.json":
                    run.summary = lines[-1]
            if body.get("complete"):
                run.exit_code = body.get("exitcode")
            return {"exitcode": None, "limits": {}}

    def upload(self, path, content):
        kind, _, rest = unquote(path).lstrip("/").removeprefix("storage/").partition("/")
        with self._lock:
            self.calls.append((f"PUT {kind}", rest))
            if kind == "run":
                run_id, _, name = rest.partition("/")
                self.runs[run_id].files[name] = content
            elif kind == "manifest":
                self._by_id(self._manifests[rest]).manifest = json.loads(content)
            else:
                self.blobs[base64.b64encode(hashlib.md5(content).digest()).decode()] = content

    def manifest(self, number):
        return self._by_id(self._manifests[number]).manifest

    def _on_Viewer(self, _):
        edges = [{"node": {"name": ENTITY}}]
        return {"viewer": {"id": _id("User", 1), "entity": ENTITY, "username": "someone", "name": "someone",
                           "email": "someone@example.org", "flags": "{}", "admin": False, "deletedAt": None,
                           "apiKeys": {"edges": []}, "teams": {"edges": edges}}}  # fmt: skip

    def _on_ServerFeaturesQuery(self, _):
        return {"serverInfo": {"features": []}}

    def _on_RunResumeStatus(self, asked):
        run = self.runs.get(asked["name"])
        bucket = None if run is None else {
            "id": run.name, "name": run.name, "summaryMetrics": json.dumps(run.summary),
            "displayName": run.said.get("displayName"), "logLineCount": 0, "historyLineCount": len(run.history),
            "eventsLineCount": 0, "historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]]),
            "eventsTail": "[]", "config": run.said.get("config") or "{}", "tags": run.said.get("tags") or [],
            "notes": None, "wandbConfig": json.dumps({"t": 1}),
        }  # fmt: skip
        model = {"id": "model", "name": asked["project"], "entity": {"id": "entity", "name": ENTITY}}
        return {"model": {**model, "bucket": bucket}}

    def _on_UpsertBucket(self, asked):
        entity, project = asked.get("entity") or ENTITY, asked.get("project") or "uncategorized"
        inserted = asked["name"] not in self.runs
        run = self._run(entity, project, asked["name"])
        run.said.update({key: value for key, value in asked.items() if value is not None})
        bucket = {"id": run.name, "name": run.name, "displayName": run.said.get("displayName"), "description": None,
                  "config": run.said.get("config"), "sweepName": run.said.get("sweep"),
                  "historyLineCount": len(run.history),
                  "project": _project(entity, project)}  # fmt: skip
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def _on_CreateRunFiles(self, asked):
        place = f"{self.url}/storage/run/{asked['run']}"
        files = [{"name": name, "uploadUrl": f"{place}/{name}"} for name in asked["files"]]
        return {"createRunFiles": {"runID": asked["run"], "uploadHeaders": [], "files": files}}

    def _on_MarkRunFilesUploaded(self, _):
        return {"markRunFilesUploaded": {"success": True}}

    def _on_OrganizationCoreWeaveOrganizationID(self, _):
        return {"entity": {"organization": None}}

    def _on_ArtifactType(self, asked):
        found = self._find(asked["name"])
        return {"project": {"artifact": {"artifactType": {"name": found.type}} if found else None}}

    def _on_FetchArtifactDigestAlgorithm(self, _):
        return {"project": None}

    def _on_XXHashDigestsEnabled(self, _):
        return {"entity": {"xxhashDigestsEnabled": False}}

    def _on_CreateArtifact(self, asked):
        said = asked["input"]
        name = said["artifactCollectionName"]
        same = [one for one in self.artifacts if (one.name, one.project) == (name, said["projectName"])]
        found = next((one for one in same if one.digest == said["digest"] and one.state == "COMMITTED"), None)
        if found is None:
            found = OnlineArtifact(_id("Artifact", len(self.artifacts) + 1), name, None, said["artifactTypeName"],
                                   said["digest"], said["projectName"], said["entityName"], [], said)  # fmt: skip
            self.artifacts.append(found)
        if found.state == "COMMITTED":  # the same content as before
            self._committed(found, said)
        return {"createArtifact": {"artifact": {"id": found.id, "state": found.state,
                                                "artifactSequence": {"latestArtifact": None}}}}  # fmt: skip

    def _on_CreateArtifactFiles(self, asked):
        nodes = []
        for wanted in asked["input"]["artifactFiles"]:
            place = f"artifact/{wanted['artifactID']}/{wanted['name']}"
            nodes.append({"storagePath": place, "uploadUrl": f"{self.url}/storage/{place}", "uploadHeaders": [],
                          "uploadMultipartUrls": None, "artifact": {"id": wanted["artifactID"]}})  # fmt: skip
        return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}

    def _on_CreateArtifactManifest(self, asked):
        number = str(len(self._manifests))
        self._manifests[number] = asked["artifactID"]
        return {"createArtifactManifest": self._manifest(number)}

    def _on_UpdateArtifactManifest(self, asked):
        return {"updateArtifactManifest": self._manifest(asked["artifactManifestID"])}

    def _manifest(self, number):
        file = {"id": number, "uploadUrl": f"{self.url}/storage/manifest/{number}", "uploadHeaders": []}
        return {"artifactManifest": {"id": number, "file": file}}

    def _on_CommitArtifact(self, asked):
        found = self._by_id(asked["artifactID"])
        same = [one for one in self.artifacts if (one.name, one.project) == (found.name, found.project)]
        found.version, found.state = sum(one.state == "COMMITTED" for one in same), "COMMITTED"
        self._committed(found, found.said)
        return {"commitArtifact": {"artifact": {"id": found.id, "digest": found.digest}}}

    def _committed(self, found, said):
        """Move the aliases to a version that is whole, and note whose output it is."""
        for alias in [one["alias"] for one in said.get("aliases") or []]:
            for other in self.artifacts:
                if (other.name, other.project) == (found.name, found.project):
                    other.aliases = [known for known in other.aliases if known != alias]
            found.aliases.append(alias)
        outputs = self.runs[said["runName"]].outputs if said.get("runName") in self.runs else []
        outputs += [] if found.spec in outputs else [found.spec]

    def _on_UseArtifact(self, asked):
        said = asked.get("input") or asked
        found = self._by_id(said["artifactID"])
        inputs = self.runs[said["runName"]].inputs
        inputs += [] if found.spec in inputs else [found.spec]
        return {"useArtifact": {"artifact": self._artifact(found)}}

    def _on_ClientIDMapping(self, asked):
        found = next((one for one in self.artifacts if one.said.get("clientID") == asked["clientID"]), None)
        return {"clientIDMapping": {"serverID": found.id} if found else None}

    def _on_ArtifactByID(self, asked):
        return {"artifact": self._artifact(self._by_id(asked["id"]))}

    def _on_FetchArtifactManifest(self, asked):
        number = next(number for number, owner in self._manifests.items() if owner == asked["id"])
        return {"artifact": {"currentManifest": {"file": {"directUrl": f"{self.url}/storage/manifest/{number}"}}}}

    def _on_ArtifactMembershipByName(self, asked):
        found = self._find(asked["name"])
        member = None if found is None else {
            "__typename": "ArtifactCollectionMembership", "id": f"m{found.id}", "versionIndex": found.version,
            "createdAt": LONG_AGO, "aliases": self._aliases(found), "artifactCollection": self._collection(found),
            "artifact": self._artifact(found),
        }  # fmt: skip
        return {"project": {"artifactCollectionMembership": member}}

    def _artifact(self, found):
        entries = found.manifest.get("contents", {})
        facts = {
            "__typename": "Artifact", "id": found.id, "artifactSequence": self._collection(found),
            "versionIndex": found.version, "artifactType": {"name": found.type}, "description": None,
            "metadata": found.said.get("metadata"), "ttlDurationSeconds": -2, "ttlIsInherited": True, "tags": [],
            "historyStep": None, "state": found.state, "size": sum(entry.get("size", 0) for entry in entries.values()),
            "digest": found.digest, "commitHash": "", "fileCount": len(entries), "createdAt": LONG_AGO,
            "updatedAt": LONG_AGO,
        }  # fmt: skip
        aliases = [{**alias, "artifactCollection": self._collection(found)} for alias in self._aliases(found)]
        return {**facts, "aliases": aliases}

    def _collection(self, found):
        return {"__typename": "ArtifactSequence", "name": found.name, "project": _project(found.entity, found.project)}

    def _aliases(self, found):
        return [{"__typename": "ArtifactAlias", "id": f"a{alias}", "alias": alias} for alias in found.aliases]

    def _run(self, entity, project, run_id):
        return self.runs.setdefault(run_id, OnlineRun(run_id, project, entity))

    def _by_id(self, artifact_id):
        return next(one for one in self.artifacts if one.id == artifact_id)

    def _find(self, spec):
        name, _, version = spec.partition(":")
        version = version or "latest"
        return next((one for one in reversed(self.artifacts) if one.name == name and one.state == "COMMITTED"
                     and (f"v{one.version}" == version or version in one.aliases)), None)  # fmt: skip


def _project(entity, project):
    return {
        "id": _id("Project", 1),
        "internalId": "1",
        "name": project,
        "entity": {"id": _id("Entity", 1), "name": entity},
    }


def _id(kind, number):
    """As W&B's are: the SDK reads the number out of an artifact's."""
    return base64.b64encode(f"{kind}:{number}".encode()).decode()


class _Handler(BaseHTTPRequestHandler):
    """HTTP to the calls above."""

    protocol_version = "HTTP/1.1"
    owner: WandbServer

    def log_message(self, *_):
        pass

    def handle(self):
        with contextlib.suppress(ConnectionError):  # the SDK hangs up as it likes
            super().handle()

    def do_POST(self):
        path, body = urlsplit(self.path).path, self._body()
        if path == "/graphql":
            asked = json.loads(body)
            name = re.search(r"\b(?:query|mutation)\s+(\w+)", asked["query"])[1]
            if not self._refused(name):
                self._json(self.owner.graphql(asked["query"], asked.get("variables") or {}))
        elif found := re.fullmatch(r"/files/([^/]*)/([^/]*)/([^/]*)/file_stream", path):
            if not self._refused("file_stream"):
                self._json(self.owner.stream(*map(unquote, found.groups()), json.loads(body)))
        elif path.startswith("/sdk/otel/"):  # how the SDK itself is doing
            self._json({})
        else:
            self.owner.unknown.append((f"POST {path}", body))
            self._json({"message": "the stand-in has no such page"}, 404)

    def do_PUT(self):
        path, body = urlsplit(self.path).path, self._body()
        if not self._refused(path):
            self.owner.upload(path, body)
            self._json({})

    def do_GET(self):
        if found := re.fullmatch(r"/storage/manifest/(\d+)", self.path):
            self._json(self.owner.manifest(found[1]))
            return
        self.owner.unknown.append((f"GET {self.path}", ""))
        self._json({"message": "the stand-in has no such page"}, 404)

    def _refused(self, what):
        """Whether this call was answered with the error that was asked for."""
        if self.owner.refusal is None or not self.owner.refusal[2].search(what):
            return False
        status, message, _ = self.owner.refusal
        self.owner.refused += 1
        self._json({"errors": [{"message": message}], "error": message}, status)
        return True

    def _body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while length := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(length))
                self.rfile.readline()
            self.rfile.readline()
            content = b"".join(parts)
        else:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(content) if self.headers.get("Content-Encoding") == "gzip" else content

    def _json(self, answer, status=200):
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
