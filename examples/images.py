"""Images chosen by features that a function makes of them, and written as images.

    python examples/images.py

Two ways. `features_of` is mapped over the blocks, selection sees what it gives, and the images are
carried along. Or k-center measures distances in what a function gives (`reduce`), and the images
are the features. Takes Debian's dataset-fashion-mnist where it is installed, else the digits that
scikit-learn ships.
"""

import gzip
import tempfile
from pathlib import Path

import dask.array as da
import numpy as np

from dask_distill import distill, open_coreset
from dask_distill.strategies import KCenter

FASHION = Path("/usr/share/datasets/fashion-mnist")
ROWS = 5_000


def images_and_labels():
    """(n, height, width) float32 images from 0 to 1, and their classes."""
    if FASHION.is_dir():
        pixels = gzip.decompress((FASHION / "train-images-idx3-ubyte.gz").read_bytes())
        classes = gzip.decompress((FASHION / "train-labels-idx1-ubyte.gz").read_bytes())
        images = np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, 28, 28)[:ROWS]
        labels = np.frombuffer(classes, np.uint8, offset=8)[:ROWS]
        return images.astype(np.float32) / 255, labels.astype(np.int64)
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images.astype(np.float32) / 16, digits.target


def features_of(images):
    """Edges by place and direction: (m, height, width) images to (m, r) features.

    Each image is seen for itself, so that features do not depend on the blocks.
    """
    down, across = np.gradient(images, axis=(1, 2))
    strength = np.hypot(down, across)
    direction = (np.arctan2(down, across) % np.pi) / np.pi * 4
    parts = []
    for bin_number in range(4):
        edges = np.where(direction.astype(int) % 4 == bin_number, strength, 0)
        for rows in np.array_split(edges, 4, axis=1):
            parts += [cell.sum(axis=(1, 2)) for cell in np.array_split(rows, 4, axis=2)]
    return np.stack(parts, axis=1).astype(np.float32)


def main(folder):
    images, labels = images_and_labels()
    side = images.shape[1]
    stored = da.from_array(images, chunks=(1000, side, side))

    features = stored.map_blocks(
        features_of,
        dtype=np.float32,
        drop_axis=(1, 2),
        new_axis=1,
        chunks=(stored.chunks[0], (64,)),
    )
    coreset = distill(features, labels, fraction=0.05, carry={"image": stored})
    coreset.to_zarr(folder / "for-training.zarr")
    written = open_coreset(folder / "for-training.zarr")
    print(f"for training: {written}, images {written.carry['image'].shape}")

    def flat_features_of(rows):
        return features_of(rows.reshape(len(rows), side, side))

    coreset = distill(
        stored, size=200, strategy=KCenter(reduce=flat_features_of, metric="cosine"), certify=True
    )
    coreset.to_zarr(folder / "to-look-at.zarr")
    found = coreset.certificate
    print(
        f"to look at: {len(coreset)} images, every other within {found.radius:.2f} of one of them "
        f"(random ones: {found.random_radius:.2f})"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary))
