# Builds the TensorRT plan that Triton serves: `depthhmr tensorrt build` where TensorRT is. Runs once and ends.
#
# The base must be of the same release as the Triton image, because a plan can be read by the TensorRT that wrote it only;
# docker-compose.yml pins both by one variable, TRITON_RELEASE.
# About `# syntax=`, the argument and the build secrets: see gateway.Dockerfile.
ARG TENSORRT_IMAGE=nvcr.io/nvidia/tensorrt:26.08-py3
# The list by itself, so that a change of pyproject.toml which is not one of requirements installs nothing again.
FROM ${TENSORRT_IMAGE} AS lists
WORKDIR /lists
COPY pyproject.toml docker/requirements.py ./
RUN python3 requirements.py dependencies build-system tensorrt > plan.txt

FROM ${TENSORRT_IMAGE}
LABEL org.opencontainers.image.title="DepthHMR plan builder" \
      org.opencontainers.image.licenses="Apache-2.0"
# The image's own Python is used, as TensorRT's module is installed there; it is nobody else's, so pip may change it.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_BREAK_SYSTEM_PACKAGES=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1 \
    ORT_DISABLE_TELEMETRY=1 NUMBA_CACHE_DIR=/tmp/depthhmr-numba
WORKDIR /src
COPY --from=lists /lists/plan.txt ./
RUN --mount=type=secret,id=pip_conf,target=/run/secrets/pip.conf \
    --mount=type=secret,id=ca_bundle,target=/run/secrets/ca.crt \
    --mount=type=cache,target=/root/.cache/pip,sharing=locked \
    if [ -s /run/secrets/pip.conf ]; then export PIP_CONFIG_FILE=/run/secrets/pip.conf; fi \
 && if [ -s /run/secrets/ca.crt ]; then export PIP_CERT=/run/secrets/ca.crt; fi \
 && python3 -m pip install --quiet -r plan.txt
COPY . .
# The volume `plans` takes its owner from the folder /plans when it is made.
RUN python3 -m pip install --no-cache-dir --quiet --no-deps --no-index --no-build-isolation . \
 && cp -R model_repository /srv/ \
 && chmod -R a+rX,go-w /srv \
 && install -d -o 10001 -g 10001 -m 0755 /plans
WORKDIR /srv
USER 10001:10001
CMD ["depthhmr", "tensorrt", "build", "--model-dir", "/srv/model_repository/depthhmr", "--out", "/plans"]
