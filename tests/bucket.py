"""An object store that outlives the processes that use it: one file a key, in a folder.

`memory://` ends with its process. Here a key is there whole or not at all, as in S3, and there
are no folders; whoever wants to may be told before a key changes, and may end the process then.
"""

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, unquote

import fsspec
from fsspec import AbstractFileSystem

PROTOCOL = "bucket"


class Bucket(AbstractFileSystem):
    """Keys below ``root``, which all processes share."""

    protocol = PROTOCOL
    cachable = False
    # told of each change before it is made
    about_to: Callable[[str, str], None] = staticmethod(lambda call, key: None)

    def __init__(self, root, **options):
        super().__init__(**options)
        self.root = Path(root)

    def find(self, path, maxdepth=None, withdirs=False, detail=False, **_):
        path = self._strip_protocol(path)
        names = sorted(unquote(name) for name in os.listdir(self.root) if name[0] != "~")
        found = [name for name in names if name == path or name.startswith(f"{path}/")]
        return {name: self.info(name) for name in found} if detail else found

    def info(self, path, **_):
        path = self._strip_protocol(path)
        file = self._file(path)
        if file.exists():
            return {"name": path, "size": file.stat().st_size, "type": "file"}
        if self.find(path):
            return {"name": path, "size": 0, "type": "directory"}
        raise FileNotFoundError(path)

    def ls(self, path, detail=True, **_):
        path = self._strip_protocol(path)
        below = [name[len(path) + 1 :].split("/")[0] for name in self.find(path)]
        if not below:
            raise FileNotFoundError(path)
        names = [path if name == "" else f"{path}/{name}" for name in dict.fromkeys(below)]
        return [self.info(name) for name in names] if detail else names

    def cat_file(self, path, start=None, end=None, **_):
        return self._file(self._strip_protocol(path)).read_bytes()[start:end]

    def pipe_file(self, path, value, mode="overwrite", **_):
        path = self._strip_protocol(path)
        self.about_to("put", path)
        partial = self.root / f"~{uuid.uuid4().hex}"
        partial.write_bytes(value)
        partial.replace(self._file(path))

    def cp_file(self, path1, path2, **_):
        data = self.cat_file(path1)
        path2 = self._strip_protocol(path2)
        self.about_to("copy", path2)
        partial = self.root / f"~{uuid.uuid4().hex}"
        partial.write_bytes(data)
        partial.replace(self._file(path2))

    def rm(self, path, recursive=False, maxdepth=None):
        for one in [path] if isinstance(path, str) else path:
            for key in self.find(one) if recursive else [self._strip_protocol(one)]:
                self.rm_file(key)

    def rm_file(self, path):
        path = self._strip_protocol(path)
        self.about_to("remove", path)
        self._file(path).unlink()

    def _file(self, key):
        return self.root / quote(key, safe="")


fsspec.register_implementation(PROTOCOL, Bucket, clobber=True)
