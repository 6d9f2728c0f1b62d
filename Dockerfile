# The coordinator's image: both environments, by the lock file, and a user without privileges.
# Building it needs a package index; this project's tests do not build it (docs/how-to/airflow-server.md).
FROM python:3.11.13-slim-bookworm AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /opt/huiliu
# The dependencies change seldom: a layer of their own, two environments as in the Makefile.
COPY pyproject.toml uv.lock ./
RUN UV_PROJECT_ENVIRONMENT=.venv uv sync --frozen --no-cache --no-install-project --group airflow \
 && UV_PROJECT_ENVIRONMENT=.venv-fl uv sync --frozen --no-cache --no-install-project --group fl
COPY README.md LICENSE ./
COPY fl_tasks fl_tasks
COPY plugins plugins
COPY expectations expectations
COPY dags dags
COPY scripts scripts
RUN UV_PROJECT_ENVIRONMENT=.venv uv sync --frozen --no-cache --group airflow \
 && UV_PROJECT_ENVIRONMENT=.venv-fl uv sync --frozen --no-cache --group fl

FROM python:3.11.13-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/huiliu --shell /usr/sbin/nologin huiliu \
 && install --directory --owner huiliu --group huiliu --mode 0700 /var/lib/huiliu
COPY --from=build /opt/huiliu /opt/huiliu
WORKDIR /opt/huiliu
USER huiliu
ENV HUILIU_HOME=/var/lib/huiliu GX_ANALYTICS_ENABLED=false MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true
VOLUME /var/lib/huiliu
CMD ["scripts/airflow-part.sh", "api-server"]
