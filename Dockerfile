# The image behind action.yml. Both stages start from the same base, so that the virtual
# environment made in the first finds its interpreter in the second.
FROM python:3.13-slim-trixie AS build

# Nothing of gatekeeper is needed up to here: this layer lasts until a dependency changes.
COPY requirements.lock /source/
RUN python -m venv --without-pip /opt/gatekeeper \
 && pip --python /opt/gatekeeper/bin/python install --no-cache-dir --require-hashes -r /source/requirements.lock \
 && python -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir hatchling==1.28.0

COPY pyproject.toml README.md LICENSE /source/
COPY policies /source/policies
COPY gatekeeper /source/gatekeeper
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation -w /wheel /source \
 && pip --python /opt/gatekeeper/bin/python install --no-cache-dir --no-deps /wheel/*.whl


FROM python:3.13-slim-trixie

LABEL org.opencontainers.image.title="gatekeeper" \
      org.opencontainers.image.description="Rehearses Alembic migrations on an ephemeral PostgreSQL before they reach yours." \
      org.opencontainers.image.licenses="MIT"

# The workspace belongs to the runner's user and the step runs as root: git calls that
# dubious and stops. What is trusted here is the runner's own checkout. A deploy backs up and
# restores with PostgreSQL's client programs.
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends git postgresql-client \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
 && git config --system --add safe.directory '*' \
 && useradd --system --no-create-home --shell /usr/sbin/nologin postgres
# The last is whom PostgreSQL runs under: not `nobody`, who runs the project's code.

# The base image leaves out the bytecode of Python's own modules, and nothing is written here
# later: every process, the project's too, would compile them anew.
RUN python -m compileall -q -x '/(test|site-packages|idlelib|tkinter)/' \
    "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"

COPY --from=build /opt/gatekeeper /opt/gatekeeper

# Only the command goes onto PATH: `python` and `pip` of a project's own `install` command
# must not be gatekeeper's.
RUN ln -s /opt/gatekeeper/bin/gatekeeper /usr/local/bin/gatekeeper

# No __pycache__ in the author's tree. Environments are made in the container where the input
# `cache` names no other place: its home is a folder of the runner, which later steps see.
ENV PYTHONDONTWRITEBYTECODE=1 \
    GATEKEEPER_CACHE=/var/cache/gatekeeper \
    PYTHONUNBUFFERED=1 \
    LANG=C.UTF-8

ENTRYPOINT ["gatekeeper", "action"]
