#!/bin/bash
# Run once, when the database server's volume is new: a role that may replicate but is no superuser,
# the shop's database, and one for the aggregates.
set -e
psql -v ON_ERROR_STOP=1 -v password="$TIDEWATER_PASSWORD" --username "$POSTGRES_USER" --dbname postgres <<'SQL'
create role tidewater login replication password :'password';
create database shop owner tidewater;
create database tidewater owner tidewater;
SQL
