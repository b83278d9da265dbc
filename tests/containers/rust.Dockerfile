# In the place of the official image for Rust: a toolchain whose programs are static.
FROM init-tests/tools
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev musl-tools ca-certificates >/dev/null \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
COPY ca-certificates.crt /etc/ssl/certs/
COPY rust /usr/local
