"""Synthetic rows, made from selected ones by a GAN, by diffusion or by condensation; and judged.

Kept apart from selection: what is made here has a class, a format and an opener of its own.
"""

from dask_distill.synthesis.judged import Fidelity, Privacy, SyntheticEvaluation
from dask_distill.synthesis.judging import evaluate_synthetic
from dask_distill.synthesis.methods import GAN, Condensation, Diffusion
from dask_distill.synthesis.run import synthesize
from dask_distill.synthesis.synthetic import Synthetic, open_synthetic

__all__ = ["GAN", "Condensation", "Diffusion", "Fidelity", "Privacy"]
__all__ += ["Synthetic", "SyntheticEvaluation"]
__all__ += ["evaluate_synthetic", "open_synthetic", "synthesize"]
