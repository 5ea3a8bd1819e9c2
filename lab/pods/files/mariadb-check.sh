#!/bin/sh
# Whether the server takes connections. A refused login counts: it comes from a server that is there.
exec mariadb-admin --no-defaults --protocol=tcp --host=127.0.0.1 --user=nobody --connect-timeout=3 ping
