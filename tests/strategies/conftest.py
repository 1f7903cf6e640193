"""Fixtures of the strategies' tests."""

import importlib.util
import sys
from pathlib import Path

# test folders are no packages: the helper is imported by its path
if "blocks" not in sys.modules:
    spec = importlib.util.spec_from_file_location("blocks", Path(__file__).parent / "blocks.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["blocks"] = module
    spec.loader.exec_module(module)
