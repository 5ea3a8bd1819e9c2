package provider

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/siderolabs/crypto/x509"
	"github.com/siderolabs/talos/pkg/machinery/client"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	defaultTimeout = 10 * time.Minute
	firstPause     = 500 * time.Millisecond
	longestPause   = 10 * time.Second
)

func decode64(text string) ([]byte, error) { return base64.StdEncoding.DecodeString(text) }
func encode64(content []byte) string       { return base64.StdEncoding.EncodeToString(content) }

// credentials builds a talosconfig from the property clientConfiguration, or its write-only sibling.
func credentials(name string, state resource.PropertyMap) (*clientconfig.Config, error) {
	property := "clientConfiguration"
	if isSet(state, property+"Wo") {
		property += "Wo"
	}

	var parts [3][]byte
	for i, key := range []string{"caCertificate", "clientCertificate", "clientKey"} {
		var err error
		if parts[i], err = decode64(str(state, property, key)); err != nil {
			return nil, fmt.Errorf("%s.%s is not base64: %w", property, key, err)
		}
	}
	return clientconfig.NewConfig(name, nil, parts[0], &x509.PEMEncodedCertificateAndKey{Crt: parts[1], Key: parts[2]}), nil
}

// withNode runs an operation the way the official provider does: it first tries the node without credentials, which a
// node in maintenance mode answers, and after any failure with them.
func withNode(ctx context.Context, state resource.PropertyMap, operation func(ctx context.Context, c *client.Client) error) error {
	config, err := credentials("dynamic", state)
	if err != nil {
		return err
	}

	node := str(state, "node")

	endpoint := str(state, "endpoint")
	if endpoint == "" {
		endpoint = node
	}

	ctx = client.WithNode(ctx, node)

	c, err := insecureClient(ctx, endpoint)
	if err != nil {
		return err
	}

	if _, err = c.Disks(ctx); err != nil {
		_ = c.Close()
		if c, err = client.New(ctx, client.WithConfig(config), client.WithEndpoints(endpoint)); err != nil {
			return err
		}
	}
	defer c.Close() //nolint:errcheck // nothing to do about it
	return operation(ctx, c)
}

func insecureClient(ctx context.Context, endpoint string) (*client.Client, error) {
	return client.New(ctx, client.WithEndpoints(endpoint), client.WithTLSConfig(&tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // a node in maintenance mode has nothing that could be verified
	}))
}

// retry repeats an operation until the time-out of the resource's property timeouts. Only InvalidArgument is final.
func retry(ctx context.Context, state resource.PropertyMap, which string, operation func(ctx context.Context) error) error {
	limit, err := timeout(state, which)
	if err != nil {
		return err
	}

	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := operation(ctx)
		if err == nil || status.Code(err) == codes.InvalidArgument {
			return err
		}

		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); cause == errCancelled { //nolint:errorlint // set by this package, unwrapped
				return fmt.Errorf("%w; the last answer was: %w", errCancelled, err)
			}
			return fmt.Errorf("no success within %s: %w", limit, err)
		case <-time.After(pause):
		}
	}
}

// timeout reads timeouts.<which>, a Go duration.
func timeout(state resource.PropertyMap, which string) (time.Duration, error) {
	given := str(state, "timeouts", which)
	if given == "" {
		return defaultTimeout, nil
	}

	limit, err := time.ParseDuration(given)
	if err != nil {
		return 0, fmt.Errorf("timeouts.%s: %q is not a duration like 30s or 2h45m", which, given)
	}
	return limit, nil
}
