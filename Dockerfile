# syntax=docker/dockerfile:1
# reconcile in a container; `docker run IMAGE serve` and `docker run IMAGE train` are what SageMaker starts.
#
#   docker build -t reconcile .                                              for NVIDIA GPUs, and for CPUs where there is none
#   docker build -t reconcile:cpu --build-arg BASE=ubuntu:24.04 --build-arg EXTRAS=serve .          for CPUs alone, and small
#   docker build -t reconcile:sagemaker --build-arg RUN_AS=root .                                               for SageMaker
#
# The base image brings the CUDA runtime and what the NVIDIA container toolkit looks for. cuBLAS, cuDNN and the others come
# as wheels in the versions of constraints.txt, which are those that torch and onnxruntime were built with; the larger base
# images would bring them a second time.
ARG BASE=nvidia/cuda:13.0.2-base-ubuntu24.04

FROM ${BASE} AS build
ARG EXTRAS=gpu,serve,train
# The base image decides which versions Ubuntu's mirrors still have.
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
# SageMaker's documentation (Custom Inference Code with Hosting Services) says that it expects containers to run as root,
# and that other users may lack permissions there. Elsewhere nothing here needs root, so that is not the default.
ARG RUN_AS=reconcile
# The weights have a licence of their own, models/MODEL_CARD.md: not for commercial use.
LABEL org.opencontainers.image.title="reconcile" \
      org.opencontainers.image.description="Counts the items in bin photos; serves and trains as SageMaker asks" \
      org.opencontainers.image.licenses="MIT AND CC-BY-NC-SA-3.0" \
      com.amazonaws.sagemaker.capabilities.accept-bind-to-port="true"
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 reconcile \
    # whoever runs: the user above, root, or any other that `docker run --user` names
    && install --directory --mode 0777 /opt/ml /opt/ml/model /opt/ml/output
COPY --from=build /opt/reconcile /opt/reconcile
ENV PATH=/opt/reconcile/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SM_MODEL_DIR=/opt/ml/model
WORKDIR /opt/ml
USER ${RUN_AS}
EXPOSE 8080
# 503, and so unhealthy, until the model is loaded.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s CMD ["python3", "-c", \
    "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('SAGEMAKER_BIND_TO_PORT', '8080') + '/ping')"]
ENTRYPOINT ["reconcile"]
CMD ["serve"]
