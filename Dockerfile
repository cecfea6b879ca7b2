# shp-miner in a container, for cron and for the workers of a cluster:
#
#   docker build -t shp-miner .
#   docker run --rm -v "$PWD/data:/data" shp-miner demo --out demo
#   docker run --rm -v "$PWD/data:/data" -v "$PWD/eli5.toml:/eli5.toml:ro" shp-miner run /eli5.toml
#
# Stores, exports and logs belong below /data, which outlives the container; paths in a pipeline file start there.
# For workers of a cluster (docs/cluster.md), with the extras that they need:
#
#   docker build --build-arg EXTRAS=ray,objects -t shp-miner:ray .
#
# Credentials come from the environment (`docker run --env-file`), never from the image.

FROM python:3.13-slim AS built
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY docs docs
COPY shp_miner shp_miner
ARG EXTRAS=""
# Exact versions, into an environment that the second stage takes whole: no compiler, no pip, no sources there.
RUN python -m venv /opt/shp-miner \
 && /opt/shp-miner/bin/python -m pip install --no-cache-dir --disable-pip-version-check -c constraints.txt ".${EXTRAS:+[$EXTRAS]}"

FROM python:3.13-slim
COPY --from=built /opt/shp-miner /opt/shp-miner
ENV PATH=/opt/shp-miner/bin:$PATH PYTHONDONTWRITEBYTECODE=1 HF_HUB_DISABLE_TELEMETRY=1
# Not root: what a run writes belongs to the user that `docker run --user` names, else to this one.
RUN useradd --uid 1000 --create-home miner && install -d -o miner /data
USER miner
WORKDIR /data
# SIGTERM ends a run in order; give it time: `docker stop --time 60`.
STOPSIGNAL SIGTERM
ENTRYPOINT ["shp-miner"]
CMD ["--help"]
