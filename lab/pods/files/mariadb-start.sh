#!/bin/bash
# Starts MariaDB as the chart's image does: an empty directory is filled first, with MARIADB_DATABASE, what lies in
# /docker-entrypoint-initdb.d, and root's password; then the server takes this process's place.
set -eu
data=/var/lib/mysql
if [ ! -d "$data/mysql" ]; then
	mariadb-install-db --no-defaults --datadir="$data" --skip-name-resolve --force --skip-test-db \
		--auth-root-authentication-method=normal >/dev/null
	mariadbd --no-defaults --datadir="$data" --skip-networking --socket=/run/mysqld/init.sock &
	server=$!
	client=(mariadb --no-defaults --socket=/run/mysqld/init.sock --user=root)
	until "${client[@]}" --execute='DO 0' 2>/dev/null; do
		kill -0 "$server"
		sleep 0.1
	done
	"${client[@]}" --execute="CREATE DATABASE \`$MARIADB_DATABASE\`"
	for file in /docker-entrypoint-initdb.d/*.sql; do
		if [ -e "$file" ]; then "${client[@]}" "$MARIADB_DATABASE" <"$file"; fi
	done
	password=$(<"$MARIADB_ROOT_PASSWORD_FILE")
	printf "ALTER USER root@localhost IDENTIFIED BY '%s';" "$password" | "${client[@]}"
	kill "$server"
	wait "$server"
fi
exec mariadbd --datadir="$data" "$@"
