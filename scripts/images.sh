#!/bin/sh
# Builds images with docker or buildah, whichever is installed (override with BUILDER=…).
#
# Usage: scripts/images.sh [TARGET …]       default: all released images
#   PREFIX=registry.example/team/           prefix of the image names
#   FLAGS='--secret id=pip,src=pip.conf'    additional build options
set -eu
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || set -- api worker worker-cpu inference inference-cpu
builder="${BUILDER:-$(command -v docker || command -v buildah || true)}"
version="$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)"
# The commit's date instead of the current one, so that the same commit has the same labels.
revision="$(git rev-parse HEAD 2>/dev/null || echo unknown)"
created="$(TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null || true)"

case "$(basename "$builder")" in
    docker) build="build" ;;
    # The OCI format does not support HEALTHCHECK.
    buildah) build="build --format docker --layers" ;;
    *) echo "neither docker nor buildah is installed" >&2; exit 1 ;;
esac

for target in "$@"; do
    tag="${PREFIX:-}finetuned-$target:$version"
    echo "building $tag …"
    # shellcheck disable=SC2086  # intentional word splitting
    "$builder" $build --target "$target" --tag "$tag" \
        --build-arg VERSION="$version" --build-arg REVISION="$revision" \
        --build-arg CREATED="$created" ${FLAGS:-} .
done
