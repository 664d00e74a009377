# Training on the processor or, where the host lends one, on a GPU. No Java: datasets come prepared.
FROM python:3.11.13-slim-bookworm

RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
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
RUN python -m pip install --no-cache-dir --constraint constraints/default.txt '.[petastorm]' \
    && useradd --create-home --uid 10001 millstream \
    && mkdir /data \
    && chown millstream /data

USER millstream
WORKDIR /data
ENV MILLSTREAM_HOME=/data/home \
    OMP_WAIT_POLICY=PASSIVE \
    PYTHONUNBUFFERED=1
VOLUME /data
HEALTHCHECK --interval=60s --timeout=30s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import torch; torch.zeros(1) + 1"]
ENTRYPOINT ["tini", "--"]
CMD ["millstream", "--help"]
