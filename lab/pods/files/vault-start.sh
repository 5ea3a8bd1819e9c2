#!/bin/sh
# Starts Vault as the chart's image does: with the configuration in a directory, in this process's place.
exec vault "$@" -config=/vault/config
