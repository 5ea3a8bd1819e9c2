// Package register has the one provider that the program uses. With all of them, and the clients of every cloud, the
// build would take four times as long.
package register

import _ "github.com/external-secrets/external-secrets/pkg/provider/vault"
