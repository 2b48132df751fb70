FROM python:3.12-slim
ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1
ARG API_TOKEN
WORKDIR srv/api
COPY requirements.txt .
RUN pip install -r requirements.txt
COPY src/ src/
HEALTHCHECK --interval=30s CMD ["python", "-m", "api.health"]
HEALTHCHECK --interval=10s CMD ["python", "-m", "api.health", "--fast"]
USER 1000:1000
ENTRYPOINT ["python"]
ENTRYPOINT ["python", "-m", "api"]
CMD ["--port", "8000"]
