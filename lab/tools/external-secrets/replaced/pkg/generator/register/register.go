// Package register has the one generator that the program uses.
package register

import _ "github.com/external-secrets/external-secrets/pkg/generator/password"
