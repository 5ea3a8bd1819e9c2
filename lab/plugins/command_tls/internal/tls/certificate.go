package tls

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"time"

	provider "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
)

// now is replaced by tests.
var now = time.Now

// SelfSignedCert is `tls:index/selfSignedCert:SelfSignedCert`, without the write-only key. A new earlyRenewalHours is an
// update; any other change, or the time of renewal, makes another certificate.
type SelfSignedCert struct{}

// Annotate sets the token.
func (c *SelfSignedCert) Annotate(a infer.Annotator) {
	a.SetToken("index/selfSignedCert", "SelfSignedCert")
}

// CertInputs are what a program can set.
type CertInputs struct {
	PrivateKeyPEM       string    `pulumi:"privateKeyPem" provider:"secret"`
	ValidityPeriodHours int       `pulumi:"validityPeriodHours"`
	AllowedUses         []string  `pulumi:"allowedUses"`
	Subject             *Subject  `pulumi:"subject,optional"`
	DNSNames            *[]string `pulumi:"dnsNames,optional"`
	IPAddresses         *[]string `pulumi:"ipAddresses,optional"`
	URIs                *[]string `pulumi:"uris,optional"`
	EarlyRenewalHours   *int      `pulumi:"earlyRenewalHours,optional"`
	IsCACertificate     *bool     `pulumi:"isCaCertificate,optional"`
	MaxPathLength       *int      `pulumi:"maxPathLength,optional"`
	SetSubjectKeyID     *bool     `pulumi:"setSubjectKeyId,optional"`
	SetAuthorityKeyID   *bool     `pulumi:"setAuthorityKeyId,optional"`
}

// Annotate sets the defaults.
func (in *CertInputs) Annotate(a infer.Annotator) {
	a.SetDefault(&in.EarlyRenewalHours, 0)
	a.SetDefault(&in.IsCACertificate, false)
	a.SetDefault(&in.SetSubjectKeyID, false)
	a.SetDefault(&in.SetAuthorityKeyID, false)
}

// CertState is what the engine keeps.
type CertState struct {
	CertInputs

	CertPEM           string `pulumi:"certPem"`
	KeyAlgorithm      string `pulumi:"keyAlgorithm"`
	ValidityStartTime string `pulumi:"validityStartTime"`
	ValidityEndTime   string `pulumi:"validityEndTime"`
	ReadyForRenewal   bool   `pulumi:"readyForRenewal"`
}

// WireDependencies keeps the certificate known in the preview of an update: only its key is behind it, and another key
// makes another certificate.
func (*SelfSignedCert) WireDependencies(f infer.FieldSelector, in *CertInputs, state *CertState) {
	for _, field := range []any{
		&state.CertPEM, &state.KeyAlgorithm, &state.ValidityStartTime, &state.ValidityEndTime, &state.ReadyForRenewal,
	} {
		f.OutputField(field).DependsOn(f.InputField(&in.PrivateKeyPEM).Computed())
	}
}

// Check refuses negative periods and unknown uses. A value that is not known yet arrives as its type's zero.
func (*SelfSignedCert) Check(ctx context.Context, req infer.CheckRequest) (infer.CheckResponse[CertInputs], error) {
	inputs, failures, err := infer.DefaultCheck[CertInputs](ctx, req.NewInputs)
	atLeast := func(property string, least int, value *int) {
		if value != nil && *value < least {
			failures = append(failures, provider.CheckFailure{
				Property: property, Reason: fmt.Sprintf("value must be at least %d, got %d", least, *value),
			})
		}
	}
	atLeast("validityPeriodHours", 0, &inputs.ValidityPeriodHours)
	atLeast("earlyRenewalHours", 0, inputs.EarlyRenewalHours)
	atLeast("maxPathLength", -1, inputs.MaxPathLength)
	for _, use := range inputs.AllowedUses {
		if use != "" {
			failures = append(failures, oneOf("allowedUses", use, uses())...)
		}
	}
	return infer.CheckResponse[CertInputs]{Inputs: inputs, Failures: failures}, err
}

// Diff compares property by property, and looks at the clock.
func (*SelfSignedCert) Diff(_ context.Context, req infer.DiffRequest[CertInputs, CertState]) (infer.DiffResponse, error) {
	if req.Inputs.MaxPathLength == nil {
		req.Inputs.MaxPathLength = req.State.MaxPathLength
	}
	changes := map[string]provider.PropertyDiff{}
	before, after := reflect.ValueOf(req.State.CertInputs), reflect.ValueOf(req.Inputs)
	for i := range before.NumField() {
		if reflect.DeepEqual(before.Field(i).Interface(), after.Field(i).Interface()) {
			continue
		}
		name, _, _ := strings.Cut(before.Type().Field(i).Tag.Get("pulumi"), ",")
		change := provider.PropertyDiff{Kind: provider.UpdateReplace, InputDiff: true}
		if name == "earlyRenewalHours" {
			change.Kind = provider.Update
		}
		changes[name] = change
	}
	due, err := renewable(req.State.ValidityEndTime, req.Inputs.EarlyRenewalHours)
	if due {
		changes["readyForRenewal"] = provider.PropertyDiff{Kind: provider.UpdateReplace}
	}
	return infer.DiffResponse{HasChanges: len(changes) > 0, DetailedDiff: changes}, err
}

// renewable tells whether a certificate has ended, or ends within that many hours.
func renewable(end string, early *int) (bool, error) {
	at, err := time.Parse(time.RFC3339, end)
	return err == nil && !at.Add(-hours(*early)).After(now()), err
}

func hours(count int) time.Duration { return time.Duration(count) * time.Hour }

// renewableFromTheStart tells whether no time of the validity is left outside of the early renewal.
func (in CertInputs) renewableFromTheStart() bool {
	return *in.EarlyRenewalHours >= in.ValidityPeriodHours
}

// Create issues a certificate.
func (*SelfSignedCert) Create(_ context.Context, req infer.CreateRequest[CertInputs]) (infer.CreateResponse[CertState], error) {
	response := infer.CreateResponse[CertState]{Output: CertState{CertInputs: req.Inputs}}
	if req.DryRun {
		return response, nil
	}
	key, algorithm, err := parse(req.Inputs.PrivateKeyPEM)
	if err != nil {
		return response, err
	}
	template, err := req.Inputs.template(key.Public())
	if err != nil {
		return response, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128)); err != nil {
		return response, err
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return response, err
	}
	response.ID = template.SerialNumber.String()
	response.Output.CertPEM, response.Output.KeyAlgorithm = armour("CERTIFICATE", certificate), algorithm
	response.Output.ValidityStartTime = template.NotBefore.Format(time.RFC3339Nano)
	response.Output.ValidityEndTime = template.NotAfter.Format(time.RFC3339Nano)
	response.Output.ReadyForRenewal = req.Inputs.renewableFromTheStart()
	return response, nil
}

// Read finds out whether the certificate has become ready for renewal.
func (*SelfSignedCert) Read(_ context.Context, req infer.ReadRequest[CertInputs, CertState]) (infer.ReadResponse[CertInputs, CertState], error) {
	if req.State.CertPEM == "" {
		return infer.ReadResponse[CertInputs, CertState]{}, errNoImport
	}
	due, err := renewable(req.State.ValidityEndTime, req.State.EarlyRenewalHours)
	req.State.ReadyForRenewal = req.State.ReadyForRenewal || due
	return infer.ReadResponse[CertInputs, CertState](req), err
}

// Update takes the new hours of early renewal.
func (*SelfSignedCert) Update(_ context.Context, req infer.UpdateRequest[CertInputs, CertState]) (infer.UpdateResponse[CertState], error) {
	state := req.State
	state.CertInputs = req.Inputs
	if state.MaxPathLength == nil {
		state.MaxPathLength = req.State.MaxPathLength
	}
	state.ReadyForRenewal = req.Inputs.renewableFromTheStart()
	return infer.UpdateResponse[CertState]{Output: state}, nil
}
