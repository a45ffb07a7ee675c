# Sourced by the scripts here and below: makes .venv in the repository and installs metalstm with the extra named in $1.
# Reads PYTHON (default: python3), which must be 3.10 to 3.13.

repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="$repository/.venv"
extra="$1"
stamp="$venv/.installed-$extra"

if [ ! -x "$venv/bin/python" ]; then
    python="${PYTHON:-python3}"
    "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))' || {
        echo "error: $python is not Python 3.10 to 3.13" >&2
        echo "  fix: set PYTHON to one that is, e.g. PYTHON=python3.11" >&2
        exit 2
    }
    "$python" -m venv "$venv"
fi
if [ ! "$stamp" -nt "$repository/pyproject.toml" ]; then
    echo "installing metalstm[$extra] into $venv ..." >&2
    # torch first and by itself: a pip that keeps wheels on disk then finds the pair that fits.
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "torch>=2.10,<2.15" "torchvision>=0.25,<0.30"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$repository[$extra]"
    touch "$stamp"
fi
