# The course as a single-user server for a JupyterHub: see book/install.md.
# The course's own checks do not build this image.
#
#   docker build --build-arg JUPYTERHUB=5.3.0 --tag seglib .

FROM python:3.12-slim

RUN apt-get update \
 && apt-get install --yes --no-install-recommends git make \
 && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 1000 learner \
 && install --directory --owner=learner /opt/course
USER learner
WORKDIR /opt/course
ENV PIP_NO_CACHE_DIR=1

# What the lock names, and JupyterHub without moving any of it. Its version
# must be that of your Hub.
COPY --chown=learner . .
RUN python book/tools/setup.py
ARG JUPYTERHUB=5.*
RUN .venv/bin/python -m pip install \
    --constraint requirements.lock "jupyterhub==${JUPYTERHUB}"

# The learner's copies: mount a volume here, or they end with the container.
RUN .venv/bin/python book/tools/lab.py --no-server
VOLUME /opt/course/work

ENV PATH=/opt/course/.venv/bin:$PATH
EXPOSE 8888
CMD ["jupyterhub-singleuser", "--ServerApp.root_dir=/opt/course/work"]
