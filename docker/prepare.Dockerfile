# Spark with Millstream's preparation: driver, master or worker of a cluster.
FROM python:3.11.13-slim-bookworm

RUN apt-get update \
    && apt-get install --yes --no-install-recommends openjdk-17-jre-headless procps tini \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/millstream
COPY constraints/default.txt constraints/default.txt
COPY pyproject.toml README.md LICENSE ./
COPY millstream millstream
COPY experiments experiments
COPY pipelines pipelines
COPY tracking tracking
COPY training training
COPY verbs verbs
COPY recipes recipes
# workers score models, so they need what a model needs
RUN python -m pip install --no-cache-dir --constraint constraints/default.txt '.[petastorm]' \
    && useradd --create-home --uid 10001 millstream \
    && mkdir /data \
    && chown millstream /data

USER millstream
WORKDIR /data
ENV MILLSTREAM_HOME=/data/home \
    PYTHONUNBUFFERED=1
VOLUME /data
HEALTHCHECK --interval=30s --timeout=30s --start-period=20s --retries=3 \
    CMD ["python", "-c", "from millstream.pipelines.spark.session import find_java; print(find_java())"]
ENTRYPOINT ["tini", "--"]
CMD ["millstream", "--help"]
