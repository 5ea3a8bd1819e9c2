module lab/tools/external-secrets

go 1.26.1

require github.com/external-secrets/external-secrets v0.16.2

// As its own go.mod has it: what a main module does not repeat has no effect.
replace github.com/Masterminds/sprig/v3 => github.com/external-secrets/sprig/v3 v3.3.0
