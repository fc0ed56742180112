"""A damaged copy of a model, to try gate and diagnosis with: its weights rounded to few bits.

    python benchmarks/round_weights.py MODEL OUTPUT --bits 4

Each row of each matrix is rounded to 2^bits - 1 levels between minus and plus its largest absolute
value, and written back in the dtype of the checkpoint: what simple post-training quantisation does
to the answers, without its speed.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path


def main() -> None:
    p = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    p.add_argument("model", type=Path, metavar="MODEL")
    p.add_argument("output", type=Path, metavar="OUTPUT")
    p.add_argument("--bits", type=int, default=4, choices=range(2, 9))
    options = p.parse_args()
    from safetensors.torch import load_file, save_file

    options.output.mkdir(parents=True, exist_ok=True)
    for path in options.model.iterdir():
        if path.suffix == ".safetensors":
            weights = {name: rounded(w, options.bits) for name, w in load_file(path).items()}
            save_file(weights, options.output / path.name, metadata={"format": "pt"})
        elif path.is_file():
            shutil.copyfile(path, options.output / path.name)


def rounded(weight, bits: int):
    """A tensor of the same shape and dtype; vectors (norms, biases) are left alone."""
    if weight.dim() < 2:
        return weight
    levels = 2 ** (bits - 1) - 1
    exact = weight.float()
    scale = exact.abs().amax(dim=-1, keepdim=True).clamp_min(1e-12) / levels
    return ((exact / scale).round() * scale).to(weight.dtype)


if __name__ == "__main__":
    main()
