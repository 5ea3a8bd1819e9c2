module lab/tools/pebble

go 1.26

require github.com/letsencrypt/pebble/v2 v2.9.0
