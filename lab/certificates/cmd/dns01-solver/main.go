// Command dns01-solver stands in for cert-manager-webhook-pdns, which is not published as a Go module.
//
// The API server that cert-manager calls is real: it comes from cert-manager's library for such webhooks, takes the same
// flags and GROUP_NAME, and asks the Kubernetes API who may call it. Only what it does at PowerDNS is played, from the
// same configuration: it puts the challenge's TXT record beside others of its name, and takes it away again.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/cert-manager/cert-manager/pkg/acme/webhook/apis/acme/v1alpha1"
	"github.com/cert-manager/cert-manager/pkg/acme/webhook/cmd"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
)

func main() {
	cmd.RunWebhookServer(os.Getenv("GROUP_NAME"), &solver{})
}

type solver struct {
	secrets *kubernetes.Clientset
}

// settings is the solver's part of an issuer; a key that the real webhook does not know is refused.
type settings struct {
	Host         string                   `json:"host"`
	APIKey       cmmeta.SecretKeySelector `json:"apiKeySecretRef"`
	ServerID     string                   `json:"serverID"`
	TTL          int                      `json:"ttl"`
	Timeout      int                      `json:"timeout"`
	AllowedZones []string                 `json:"allowed-zones"`
}

type record struct {
	Content  string `json:"content"`
	Disabled bool   `json:"disabled"`
}

type rrset struct {
	Name       string   `json:"name"`
	Type       string   `json:"type"`
	TTL        int      `json:"ttl"`
	ChangeType string   `json:"changetype,omitempty"`
	Records    []record `json:"records"`
}

type zone struct {
	RRSets []rrset `json:"rrsets"`
}

func (s *solver) Name() string { return "pdns" }

func (s *solver) Initialize(config *rest.Config, _ <-chan struct{}) error {
	client, err := kubernetes.NewForConfig(config)
	s.secrets = client
	return err
}

func (s *solver) Present(challenge *v1alpha1.ChallengeRequest) error {
	return s.change(challenge, func(records []record, own record) []record {
		if slices.Contains(records, own) {
			return records
		}
		return append(records, own)
	})
}

func (s *solver) CleanUp(challenge *v1alpha1.ChallengeRequest) error {
	return s.change(challenge, func(records []record, own record) []record {
		return slices.DeleteFunc(records, func(other record) bool { return other == own })
	})
}

// change replaces the TXT records of the challenge's name with what edit makes of them and of the challenge's own.
func (s *solver) change(challenge *v1alpha1.ChallengeRequest, edit func([]record, record) []record) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var configured settings
	decoder := json.NewDecoder(bytes.NewReader(challenge.Config.Raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&configured); err != nil {
		return fmt.Errorf("the solver's configuration: %w", err)
	}
	if !allowed(configured.AllowedZones, challenge.ResolvedZone) {
		return fmt.Errorf("zone %s is not among %v", challenge.ResolvedZone, configured.AllowedZones)
	}
	secret, err := s.secrets.CoreV1().Secrets(challenge.ResourceNamespace).Get(ctx, configured.APIKey.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	key, there := secret.Data[configured.APIKey.Key]
	if !there {
		return fmt.Errorf("Secret %s/%s has no key %q", challenge.ResourceNamespace, configured.APIKey.Name, configured.APIKey.Key)
	}
	server := configured.ServerID
	if server == "" {
		server = "localhost"
	}
	address := fmt.Sprintf("%s/api/v1/servers/%s/zones/%s", configured.Host, server, challenge.ResolvedZone)
	var found zone
	if err := call(ctx, http.MethodGet, address, string(key), nil, &found); err != nil {
		return err
	}
	wanted := rrset{Name: challenge.ResolvedFQDN, Type: "TXT", TTL: configured.TTL, ChangeType: "REPLACE", Records: []record{}}
	for _, set := range found.RRSets {
		if set.Name == wanted.Name && set.Type == wanted.Type {
			wanted.Records = set.Records
		}
	}
	wanted.Records = edit(wanted.Records, record{Content: `"` + challenge.Key + `"`})
	return call(ctx, http.MethodPatch, address, string(key), zone{RRSets: []rrset{wanted}}, nil)
}

func allowed(zones []string, wanted string) bool {
	return len(zones) == 0 || slices.ContainsFunc(zones, func(zone string) bool {
		return wanted == zone || strings.HasSuffix(wanted, "."+zone)
	})
}

// call sends one request to PowerDNS; an answer other than success is an error, which shows no key.
func call(ctx context.Context, method, address, key string, body, answer any) error {
	content, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(content))
	if err != nil {
		return err
	}
	request.Header.Set("X-API-Key", key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return err
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s %s: %s: %s", method, address, response.Status, text)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
}
