FROM python:3.12 AS base
WORKDIR /load
RUN pip install pandas

FROM base AS test
COPY . .
RUN pytest

FROM base AS base
COPY loader.py .
ENTRYPOINT python loader.py
CMD --all
