# One image for every part: `memstream up` alone runs all of them, compose.yaml runs one each.
# The Python version is the one that requirements.lock was made with.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
RUN python -m venv /opt/memstream
ENV PATH=/opt/memstream/bin:$PATH
WORKDIR /source
COPY . .
# Constrained, not required: the lock pins the development tools too, and they stay out of the image.
RUN pip install --disable-pip-version-check --no-cache-dir --constraint requirements.lock ".[all]"

FROM python:${PYTHON}-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin memstream \
    && install --directory --owner memstream --group memstream /data
COPY --from=build /opt/memstream /opt/memstream
ENV PATH=/opt/memstream/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MEMSTREAM_DATA_DIR=/data \
    MEMSTREAM_HOST=0.0.0.0
USER memstream
WORKDIR /data
EXPOSE 8377
CMD ["memstream", "up"]
