"""Rows made from a subset, beside the subset: are they worth having?

    python examples/synthetic.py

Scikit-learn ships the data: 569 tumours, 30 measures. A diffusion model learns from a fifth of them
and makes as many rows; models are trained on either and tested on tumours that nobody has seen.
Needs PyTorch (`pip install "dask-distill[torch]"`), and says so without.
"""

import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dask_distill import distill, open_synthetic


def main(folder):
    X, y = load_breast_cancer(return_X_y=True)
    labels = np.array(["malignant", "benign"])[y]
    coreset = distill(X, labels, fraction=0.2)
    if find_spec("torch") is None:
        print("PyTorch is not installed: pip install 'dask-distill[torch]'")
        return

    made = coreset.synthesize(method="diffusion", options={"steps": 600, "width": 128})
    made.to_zarr(folder / "made.zarr")
    made = open_synthetic(folder / "made.zarr")
    print(made)

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    print(made.evaluate(coreset, X, labels, models=model, seeds=3))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary))
