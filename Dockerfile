# dbcrypt in PostgreSQL's official image, or in another of its layout (Debian's packages,
# the variable PG_MAJOR):
#
#   docker build -t postgres-dbcrypt --build-arg BASE=postgres:17-bookworm .
ARG BASE=postgres:17-bookworm

FROM ${BASE} AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
        g++ libssl-dev make "postgresql-server-dev-$PG_MAJOR" \
    && { [ "$(dpkg --print-architecture)" != amd64 ] || apt-get install -y --no-install-recommends libipsec-mb-dev; }
COPY . /src
# The library that values are fast with goes along: its package has another name in each
# release of Debian. Below /usr, because /lib is a link in the image.
RUN cd /src && export PG_CONFIG="/usr/lib/postgresql/$PG_MAJOR/bin/pg_config" \
    && make -j"$(nproc)" && make install DESTDIR=/out \
    && for library in $(ldd dbcrypt.so | awk '/IPSec_MB/ { print $3 }'); do \
        folder=/out$(realpath "$(dirname "$library")") && mkdir -p "$folder" && cp -L "$library" "$folder"; done

FROM ${BASE}
RUN apt-get update && apt-get install -y --no-install-recommends libssl3 libstdc++6 && rm -rf /var/lib/apt/lists/*
COPY --from=build /out /
