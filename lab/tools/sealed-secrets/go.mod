module lab/tools/sealed-secrets

go 1.26.2

require github.com/bitnami-labs/sealed-secrets v0.36.6
