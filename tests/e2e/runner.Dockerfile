# What the workflow test's jobs run in: docker build --tag runner:latest - < runner.Dockerfile
FROM debian:trixie-slim
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends bash ca-certificates git jq nodejs \
 && rm -rf /var/lib/apt/lists/*
