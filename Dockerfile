# Uformer Hub in a container; docs/hosting.md tells how to run it.
#
#   docker build --tag uformer-hub .                                  for processors
#   docker build --build-arg TORCH=cuda --tag uformer-hub:cuda .      for NVIDIA graphics processors

ARG PYTHON=3.13
FROM python:${PYTHON}-slim-trixie AS base

# The bound of PyTorch alone, so that its layer, the largest by far, stays while other requirements change.
FROM base AS bound
COPY requirements.txt /
RUN grep '^torch>' /requirements.txt >/torch.txt

FROM base
# The licences are the hub's and those of the encoders and decoders that come along: README.md, Licences.
LABEL org.opencontainers.image.title="Uformer Hub" \
      org.opencontainers.image.description="Takes noise and blur out of photos and videos" \
      org.opencontainers.image.licenses="MIT AND GPL-2.0-or-later AND GPL-3.0-or-later AND LGPL-3.0-or-later"

# cpu; a release of CUDA, such as cu130; or cuda, for the one that PyTorch publishes as its default.
ARG TORCH=cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl
ARG DEBIAN_FRONTEND=noninteractive
ARG PIP_NO_CACHE_DIR=1
ARG PIP_DISABLE_PIP_VERSION_CHECK=1
ARG PIP_ROOT_USER_ACTION=ignore

WORKDIR /app
# Whoever runs the container, or a volume made for it, finds a user that is not root; Spaces run as this one.
RUN useradd --uid 1000 --user-group --create-home hub && install --directory --owner=hub --group=hub /data

COPY packages.txt ./
RUN apt-get update \
    && xargs --arg-file=packages.txt apt-get install --yes --no-install-recommends \
    && rm -rf /var/lib/apt/lists/*

# timm asks for torchvision, which must be built for the same device as torch.
COPY --from=bound /torch.txt ./
RUN if [ "$TORCH" = cuda ]; then index=; else index="--index-url=$TORCH_INDEX/$TORCH"; fi \
    && pip install $index --requirement torch.txt torchvision

COPY requirements.txt ./
RUN pip install --requirement requirements.txt

# Last what changes most often. All of it is root's: the hub writes to /data alone.
COPY weights/ weights/
COPY LICENSE app.py ./
COPY uformer/ uformer/
COPY hub/ hub/
# Readable for its user too where the checkout is its owner's alone.
RUN python -m compileall -q app.py uformer hub && chmod --recursive a+rX .

ENV HOME=/home/hub \
    PYTHONUNBUFFERED=1 \
    HUB_HOST=0.0.0.0 \
    HUB_PORT=7860 \
    HUB_DATA_DIR=/data
USER 1000:1000
# Uploads, results, jobs, and the models that are fetched.
VOLUME ["/data"]
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", "import http.client, os, sys; hub = http.client.HTTPConnection('127.0.0.1', int(os.environ['HUB_PORT']), timeout=4); hub.request('GET', '/health'); sys.exit(hub.getresponse().status != 200)"]
# No shell in between: SIGTERM reaches the hub, which ends in less than ten seconds.
CMD ["python", "app.py"]
