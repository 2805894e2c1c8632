# The gateway: REST, the web page, the embedded engine and the client of Triton. No torch, no compiler, no root.
#
#   docker build -f docker/gateway.Dockerfile -t depthhmr/gateway:local .
#   docker run --rm -p 127.0.0.1:8000:8000 -p 127.0.0.1:50051:50051 depthhmr/gateway:local
#
# There is no `# syntax=` line on purpose: it makes every build fetch a frontend image, and nothing here needs one that
# is newer than BuildKit's own. The base is an argument so that it can be pinned by digest without editing this file:
#   --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:...
#
# Where pip needs a configuration or a CA certificate of its own, hand them in as build secrets; both are optional and
# neither ends up in a layer or in the history:
#   --secret id=pip_conf,src=$HOME/.config/pip/pip.conf --secret id=ca_bundle,src=/etc/ssl/certs/ca-certificates.crt
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS requirements
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
# The locks by themselves, so that a change which is not one of requirements installs nothing again. scripts/lock writes them
# from pyproject.toml; pip takes no file whose SHA-256 is not in them, whatever index it asks.
COPY docker/build.lock docker/requirements.lock ./
# pip stays in /opt/build, which builds our wheel and is left behind with it.
RUN --mount=type=secret,id=pip_conf,target=/run/secrets/pip.conf \
    --mount=type=secret,id=ca_bundle,target=/run/secrets/ca.crt \
    --mount=type=cache,target=/root/.cache/pip,sharing=locked \
    if [ -s /run/secrets/pip.conf ]; then export PIP_CONFIG_FILE=/run/secrets/pip.conf; fi \
 && if [ -s /run/secrets/ca.crt ]; then export PIP_CERT=/run/secrets/ca.crt; fi \
 && python3 -m venv /opt/build \
 && /opt/build/bin/pip install --quiet --require-hashes --only-binary :all: -r build.lock \
 && python3 -m venv --without-pip /opt/depthhmr \
 && /opt/build/bin/pip --python /opt/depthhmr/bin/python install --quiet --require-hashes --only-binary :all: -r requirements.lock
# Nothing of this is imported by a service: the tests of others, and ONNX Runtime's tools for preparing models.
# The root file system is read-only at run time, so Python could not keep what it compiles: it is compiled here, with
# hashes that nobody checks, because the files cannot change and their times differ from one build to the next.
RUN packages=$(/opt/depthhmr/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))") \
 && find "$packages" -depth -type d -name tests -exec rm -rf {} + \
 && for tool in transformers quantization tools datasets; do rm -rf "$packages/onnxruntime/$tool"; done \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash "$packages" \
 && chmod -R a+rX,go-w /opt/depthhmr

FROM requirements AS code
COPY . .
# A prefix of its own, so that a release of ours that keeps its requirements is a layer of 12 MB. The model lies in /srv, beside
# Triton's configuration, and not once more in the wheel.
RUN /opt/build/bin/hatchling build --target wheel --directory /tmp/wheel \
 && /opt/build/bin/pip --python /opt/depthhmr/bin/python install --quiet --no-deps --no-index --prefix /opt/code /tmp/wheel/*.whl \
 && rm -r /opt/code/lib/python3*/site-packages/*/shipped \
 && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/code/lib \
 && cp -R /opt/code/. /opt/depthhmr/ \
 && mkdir -p /srv/numba-cache \
 && cp -R model_repository docker/entrypoint.sh docker/healthcheck.py LICENSE NOTICE /srv/
# The kernels of skinning and drawing, compiled now rather than at somebody's first overlay (2 s). `generic` code runs on
# every processor of this architecture and was measured no slower; numba looks in its cache by the processor's name, so
# without it a container on another kind of processor would compile again after each start.
ENV NUMBA_CPU_NAME=generic
WORKDIR /srv
RUN NUMBA_CACHE_DIR=/srv/numba-cache /opt/depthhmr/bin/depthhmr reconstruct /src/demo/people.jpg -o /tmp/people.zip \
 && test -n "$(find /srv/numba-cache -name '*.nbc')" \
 && chmod -R a+rX,go-w /srv /opt/code

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="DepthHMR gateway" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin depthhmr
COPY --from=requirements /opt/depthhmr /opt/depthhmr
COPY --from=code /opt/code /opt/depthhmr
COPY --from=code /srv /srv
# The model is found here: model_repository/depthhmr in the working directory.
WORKDIR /srv
# 0.0.0.0 is inside the container's own network; what the outside reaches is decided where a port is published.
ENV PATH=/opt/depthhmr/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    # ONNX Runtime of PyPI reports its use to its maker unless told not to; a service that is sent photos does not.
    ORT_DISABLE_TELEMETRY=1 \
    NUMBA_CPU_NAME=generic \
    NUMBA_CACHE_DIR=/tmp/depthhmr-numba \
    DEPTHHMR_HOST=0.0.0.0 \
    DEPTHHMR_PORT=8000
USER 10001:10001
EXPOSE 8000 50051
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --start-interval=1s --retries=3 \
    CMD ["/opt/depthhmr/bin/python", "-I", "-S", "/srv/healthcheck.py"]
ENTRYPOINT ["/srv/entrypoint.sh"]
CMD ["depthhmr", "serve"]
