# syntax=docker/dockerfile:1
# Build images of reconcile. SageMaker starts them with `docker run IMAGE serve` and `docker run IMAGE train`.
#
# For NVIDIA GPUs. The image also works without a GPU, on the CPU:
#   docker build -t reconcile .
# For CPUs only. This image is smaller:
#   docker build -t reconcile:cpu --build-arg BASE=ubuntu:24.04 --build-arg EXTRAS=serve .
# For SageMaker:
#   docker build -t reconcile:sagemaker --build-arg RUN_AS=root .
#
# A tag may name another image tomorrow. To build from one fixed image, add its digest to the tag:
#   docker buildx imagetools inspect nvidia/cuda:13.0.2-base-ubuntu24.04 --format '{{.Manifest.Digest}}'
#   docker build -t reconcile --build-arg BASE=nvidia/cuda:13.0.2-base-ubuntu24.04@sha256:… .
#
# The base image contains the CUDA runtime and the files that the NVIDIA container toolkit needs. cuBLAS, cuDNN and the
# other libraries are installed as wheels. constraints.txt pins the versions that torch and onnxruntime were built with. The
# larger base images contain these libraries as well, so the image would have them twice.
ARG BASE=nvidia/cuda:13.0.2-base-ubuntu24.04

FROM ${BASE} AS build
ARG EXTRAS=gpu,serve,train
# Versions are not pinned, because Ubuntu's mirrors remove old versions.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/reconcile
WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY models models
COPY reports reports
COPY sql sql
COPY reconcile reconcile
RUN /opt/reconcile/bin/pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt ".[${EXTRAS}]"

FROM ${BASE}
# SageMaker expects containers to run as root. Its documentation (Custom Inference Code with Hosting Services) says that
# other users may lack permissions. Nothing here needs root on other platforms, so root is not the default.
ARG RUN_AS=reconcile
# The weights have a licence of their own, which forbids commercial use. See models/MODEL_CARD.md.
LABEL org.opencontainers.image.title="reconcile" \
      org.opencontainers.image.description="Counts the items in bin photos; serves and trains as SageMaker asks" \
      org.opencontainers.image.licenses="MIT AND CC-BY-NC-SA-3.0" \
      com.amazonaws.sagemaker.capabilities.accept-bind-to-port="true"
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 reconcile \
    # Every user may write here: the user above, root, or the user of `docker run --user`.
    && install --directory --mode 0777 /opt/ml /opt/ml/model /opt/ml/output
COPY --from=build /opt/reconcile /opt/reconcile
ENV PATH=/opt/reconcile/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SM_MODEL_DIR=/opt/ml/model
WORKDIR /opt/ml
USER ${RUN_AS}
EXPOSE 8080
# The server answers 503 until the model is loaded. Until then the container is unhealthy. A container that does not serve,
# such as `docker run IMAGE run`, is healthy while it runs. Kubernetes ignores this check.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s CMD ["python3", "-c", \
    "import os, urllib.request as r; b'\\0serve' in open('/proc/1/cmdline', 'rb').read() and r.urlopen('http://127.0.0.1:' + os.environ.get('SAGEMAKER_BIND_TO_PORT', '8080') + '/ping')"]
ENTRYPOINT ["reconcile"]
CMD ["serve"]
